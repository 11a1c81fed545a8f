"""reprise diff"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.record.run_record import RunRecord
    from orchestrator.verdict.source_difference import FilePatch


@click.command("diff")
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Show equal fields, too, and long lists whole.")
@click.option("--code", is_flag=True, help="Show the source files that differ, as a patch, and no more.")
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print CSV: a line for each run, a column for each field."
)
@json_option
def command(runs: tuple[str, ...], everything: bool, code: bool, as_csv: bool, as_json: bool) -> None:
    """Show what differs between two runs, or among many.

    Job, parameters, inputs with their files, code, git, packages, hardware, flags, metrics and outputs;
    equal fields are hidden. More than two runs, 100 at most, make one table. The exit code is 0 whether
    they differ or not: `compare` gives a verdict.

    JSON: `a`, `b`, `sections` (`name`, `differing`, and with --all `equal`; each entry has `name`, `a`,
    `b`, `delta`). With --code: `a`, `b`, `code`, each with `path`, `change` (added, removed, changed),
    `patch`, and `why` where no patch can be shown. Of more runs: `runs`, `fields` (name -> one value a run,
    of those that differ), `equal` (how many others there are).
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.verdict.run_difference import difference, inputs_apart
    from orchestrator.view.runs.difference_view import code_view, difference_view

    if len(runs) < 2:
        raise click.UsageError("a second run is missing")
    if code and (len(runs) > 2 or as_csv):
        raise click.UsageError("--code shows the sources of two runs, as a patch")
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    if len(runs) > 2 or as_csv:
        _many(runs, everything, as_csv, as_json)
        return
    with opened(adopting=True) as session:
        a, b = (find_run(session, run) for run in runs)
        if code:
            view = code_view(a, b, _code(session, a, b))
        else:
            folders = session.record.history.files_of_folders(inputs_apart(a, b))
            view = difference_view(difference(a, b, folders), everything)
    print_view(view, as_json)


def _many(runs: tuple[str, ...], everything: bool, as_csv: bool, as_json: bool) -> None:
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import opened
    from orchestrator.redaction import redact_known
    from orchestrator.verdict.many_runs_difference import MOST, difference_table
    from orchestrator.view.runs.difference_view import table_csv, table_view

    if len(runs) > MOST:
        raise click.UsageError(f"{len(runs)} runs; {MOST} at most are compared at a time")
    with opened(adopting=True) as session:
        record = session.record
        found = list(dict.fromkeys(record.find(run) for run in runs))
        table = difference_table(record.run(run) for run in found)
    if as_csv:
        sys.stdout.write(redact_known(table_csv(table)))
    else:
        print_view(table_view(table, everything, shutil.get_terminal_size().columns), as_json)


def _code(session: Session, a: RunRecord, b: RunRecord) -> tuple[FilePatch, ...]:
    from orchestrator.cli.terminal.run_progress import notes_only
    from orchestrator.launch.judge.run_source import source_of
    from orchestrator.verdict.source_difference import code_difference

    watch = notes_only()
    one = source_of(session, a, watch)
    return code_difference(one, one if a.image == b.image else source_of(session, b, watch))
