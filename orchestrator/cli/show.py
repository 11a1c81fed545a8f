"""reprise show"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("show")
@click.argument("run")
@click.option("--packages", is_flag=True, help="List the packages that were found in the container.")
@click.option("--series", is_flag=True, help="With --json: every point of every metric, too.")
@json_option
def command(run: str, packages: bool, series: bool, as_json: bool) -> None:
    """Show one run.

    JSON: the run as one object, with `state`, `failure`, `image`, `program`, `metrics`, `outputs`,
    `packages`, `fingerprint`, `git`, `readbacks`, `flags_changed`, `log`, `notes`, the rest of the
    record, and `verdicts` in which it is the rerun or the original.
    """
    from orchestrator.cli.box import find_run, opened
    from orchestrator.cli.console import line, table
    from orchestrator.cli.document import print_document, run_document
    from orchestrator.cli.summary import print_next, print_run, print_verdict_lines

    with opened(adopting=True) as session:
        record = find_run(session, run)
        verdicts = session.record.verdicts(record.id)
    if as_json:
        print_document(run_document(record, series) | {"verdicts": verdicts})
        return
    print_run(record)
    if packages:
        line()
        table(("package", "version"), sorted(record.packages.items()))
    print_verdict_lines(record, verdicts)
    print_next(record)
