"""reprise localise"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option, quiet_option


@click.command("localise")
@click.argument("original", metavar="RUN")
@click.argument("rerun", metavar="RUN")
@click.option(
    "--step",
    metavar="N",
    type=click.IntRange(min=0),
    help="Look at this optimizer step, not at the first whose traces differ.",
)
@quiet_option
@json_option
def command(original: str, rerun: str, step: int | None, quiet: bool, as_json: bool) -> int:
    """Name the operation in which two runs part, by a slow pass over each.

    Runs both once more here, from their own images, with every operation of one optimizer step digested.
    The passes are recorded. A run that was made on another box is compared by the pass made there, where
    the record has one. The exit code is 3 where the passes differ, 0 where the runs are identical, and 4
    where it cannot be told.

    JSON: `original`, `rerun`, `passes`, `step`, `conclusion` (`operation`, `input`, `path`, `equal`,
    `unknown`), `difference` (null, or `kind`, `op`, `step`, `call`, `phase`, `where`, `random`, `tensor`,
    `original`, `rerun`, `other`, `rank`, `equal`), `operations`, `summary`, `state`.
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.errors import ExitCode
    from orchestrator.launch.judge.localise_difference import localise
    from orchestrator.run.attempt_model import State

    with opened() as session:
        first, second = find_run(session, original), find_run(session, rerun)
        with watching(as_json, quiet) as watch:
            found = localise(session, first, second, step, watch)
    if as_json:
        print_document(found)
    elif quiet:
        line(found.difference.op if found.difference else found.conclusion.value)
    else:
        line(f"\n{found.conclusion.value.upper()}  {found.summary}")
        line(f"  passes: {' '.join(found.passes)}" if found.passes else "")
    return ExitCode.INTERRUPTED if found.state is State.CANCELLED else found.conclusion.exit_code
