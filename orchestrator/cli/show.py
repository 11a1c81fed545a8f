"""reprise show"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.record.model import RunRecord


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
        waiting = why_waiting(session, record)
    if as_json:
        print_document(run_document(record, series) | {"verdicts": verdicts})
        return
    print_run(record)
    if packages:
        line()
        table(("package", "version"), sorted(record.packages.items()))
    if waiting:
        line(f"queued: {waiting}")
    print_verdict_lines(record, verdicts)
    print_next(record)


def why_waiting(session: Session, record: RunRecord) -> str:
    """Of a run that is queued for other boxes; nothing for any other."""
    from orchestrator.run.model import State

    if record.state is not State.QUEUED or record.wanted.executor != "worker":
        return ""
    from orchestrator.launch.fit import why_queued

    return why_queued(session, record.id)
