"""reprise diff"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.record.run_record import RunRecord
    from orchestrator.verdict.source_difference import FilePatch


@click.command("diff")
@click.argument("run_a", metavar="RUN")
@click.argument("run_b", metavar="RUN")
@click.option("--all", "everything", is_flag=True, help="Show equal fields, too, and long lists whole.")
@click.option("--code", is_flag=True, help="Show the source files that differ, as a patch, and no more.")
@json_option
def command(run_a: str, run_b: str, everything: bool, code: bool, as_json: bool) -> None:
    """Show what differs between two runs.

    Job, parameters, inputs with their files, code, git, packages, hardware, flags, metrics and outputs;
    equal fields are hidden.
    The exit code is 0 whether they differ or not: `compare` gives a verdict.

    JSON: `a`, `b`, `sections` (`name`, `differing`, and with --all `equal`; each entry has `name`, `a`,
    `b`, `delta`). With --code: `a`, `b`, `code`, each with `path`, `change` (added, removed, changed),
    `patch`, and `why` where no patch can be shown.
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.verdict.run_difference import difference, inputs_apart
    from orchestrator.view.runs.difference_view import code_view, difference_view

    with opened(adopting=True) as session:
        a, b = find_run(session, run_a), find_run(session, run_b)
        if code:
            view = code_view(a, b, _code(session, a, b))
        else:
            folders = session.record.history.files_of_folders(inputs_apart(a, b))
            view = difference_view(difference(a, b, folders), everything)
    print_view(view, as_json)


def _code(session: Session, a: RunRecord, b: RunRecord) -> tuple[FilePatch, ...]:
    from orchestrator.cli.terminal.run_progress import notes_only
    from orchestrator.launch.judge.run_source import source_of
    from orchestrator.verdict.source_difference import code_difference

    watch = notes_only()
    one = source_of(session, a, watch)
    return code_difference(one, one if a.image == b.image else source_of(session, b, watch))
