"""reprise compare"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option, quiet_option

if TYPE_CHECKING:
    from orchestrator.record.run_record import RunRecord


@click.command("compare")
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True)
@click.option("--record", is_flag=True, help="Record the verdict, as one on the second run.")
@click.option(
    "--operations",
    is_flag=True,
    help="Run both once more here, slowly, and name the first operation that gave other bytes.",
)
@click.option(
    "--step",
    metavar="N",
    type=click.IntRange(min=0),
    help="With --operations: of this optimizer step, not of the first whose traces differ.",
)
@quiet_option
@json_option
def command(
    runs: tuple[str, ...],
    record: bool,
    operations: bool,
    step: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Give a verdict over two recorded runs, or over each of many beside the first.

    Judges as `rerun` does, with the first run as the original (its tolerances hold) and the second as
    the rerun. Nothing is run, and nothing is written without --record. `diff` shows what differs in
    everything else. The exit code is the verdict's; of more than two runs, 100 at most, the worst one.

    With --operations both are run once more here, from their own images, with every operation of one
    optimizer step digested; these slow passes are recorded. A run that was made on another box is compared
    by the pass made there, where the record has one. The exit code is 3 where the passes differ, 0 where
    the runs are identical, and 4 where it cannot be told.

    JSON: `verdict`, `explanation`, `recorded`. With --operations: `original`, `rerun`, `passes`, `step`,
    `conclusion` (`operation`, `input`, `path`, `equal`, `unknown`), `difference` (null, or `kind`, `op`,
    `step`, `call`, `phase`, `where`, `random`, `tensor`, `original`, `rerun`, `other`, `rank`, `equal`),
    `operations`, `summary`, `state`. Of more runs: `original`, `verdicts`, one a run.
    """
    if len(runs) < 2:
        raise click.UsageError("a second run is missing")
    if len(runs) > 2 and (operations or record):
        raise click.UsageError("--operations and --record take two runs")
    if operations and record:
        raise click.UsageError("--operations gives no verdict, so there is nothing to --record")
    if step is not None and not operations:
        raise click.UsageError("--step goes with --operations")
    if len(runs) > 2:
        return _many(runs, quiet, as_json)
    original, rerun = runs
    if operations:
        return _operations(original, rerun, step, quiet, as_json)
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import notes_only
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.launch.judge.judge_rerun import record_verdict, verdict_of
    from orchestrator.view.verdict_view import comparison_view

    with opened(adopting=True) as session:
        first, second = find_run(session, original), find_run(session, rerun)
        if record:
            _refuse_empty(first, second)
        verdict = verdict_of(session, first, second, notes_only())
        if record:
            record_verdict(session, verdict, second)
    print_view(comparison_view(verdict, first, second, record), as_json, quiet)
    return verdict.outcome.exit_code


def _many(runs: tuple[str, ...], quiet: bool, as_json: bool) -> int:
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import notes_only
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.judge.judge_rerun import verdict_of
    from orchestrator.verdict.many_runs_difference import MOST
    from orchestrator.view.verdict_view import verdicts_view

    if len(runs) > MOST:
        raise click.UsageError(f"{len(runs)} runs; {MOST} at most are compared at a time")
    with opened(adopting=True) as session:
        record = session.record
        first, *others = dict.fromkeys(record.find(run) for run in runs)
        original = record.run_with_points(first)  # once, and not again beside each of the others
        verdicts = [verdict_of(session, original, record.run(run), notes_only()) for run in others]
    print_view(verdicts_view(original, verdicts), as_json, quiet)
    return max((verdict.outcome.exit_code for verdict in verdicts), default=0)


def _operations(original: str, rerun: str, step: int | None, quiet: bool, as_json: bool) -> int:
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.errors import ExitCode
    from orchestrator.launch.judge.localise_difference import localise
    from orchestrator.run.attempt_model import State
    from orchestrator.view.verdict_view import operations_view

    with opened() as session:
        first, second = find_run(session, original), find_run(session, rerun)
        with watching(as_json, quiet) as watch:
            found = localise(session, first, second, step, watch)
    print_view(operations_view(found), as_json, quiet)
    return ExitCode.INTERRUPTED if found.state is State.CANCELLED else found.conclusion.exit_code


def _refuse_empty(original: RunRecord, rerun: RunRecord) -> None:
    """UsageError for two runs whose verdict would say nothing: it is not recorded."""
    from orchestrator.errors import UsageError
    from orchestrator.verdict.comparability import failure_of, says_nothing

    if original.id == rerun.id:
        why, hint = "a run compared with itself shows nothing", "name the run that repeated it"
    elif not original.state.final or not rerun.state.final:
        why, hint = "one of the runs is not over yet", "wait for its end, or leave --record out"
    elif says_nothing(rerun):
        why, hint = f"run {rerun.id} {failure_of(rerun)}: that says nothing of its bits", "rerun it first"
    else:
        return
    raise UsageError(f"--record: {why}", hint)
