"""reprise compare"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option, quiet_option

if TYPE_CHECKING:
    from orchestrator.record.run_record import RunRecord


@click.command("compare")
@click.argument("original", metavar="RUN")
@click.argument("rerun", metavar="RUN")
@click.option("--record", is_flag=True, help="Write the verdict down, as one on the second run.")
@quiet_option
@json_option
def command(original: str, rerun: str, record: bool, quiet: bool, as_json: bool) -> int:
    """Give a verdict over two recorded runs.

    Judges as `rerun` does, with the first run as the original (its tolerances hold) and the second as
    the rerun. Nothing is run, and nothing is written without --record. `diff` shows what differs in
    everything else. The exit code is the verdict's.

    JSON: `verdict`, `explanation`, `recorded`.
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.terminal.run_progress import notes_only
    from orchestrator.cli.terminal.summary import explanation_of, print_verdict
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.launch.judge.judge_rerun import record_verdict, verdict_of

    with opened(adopting=True) as session:
        first, second = find_run(session, original), find_run(session, rerun)
        if record:
            _refuse(first.id, second.id, first.state.final and second.state.final)
            _refuse_nothing_said(second)
        verdict = verdict_of(session, first, second, notes_only())
        if record:
            record_verdict(session, verdict, second)
    explanation = explanation_of(verdict, first, second)
    if as_json:
        print_document({"verdict": verdict, "explanation": explanation, "recorded": record})
    elif quiet:
        line(verdict.outcome.value)
    else:
        line(f"original: {first.id} ({first.job})\nrerun:    {second.id} ({second.job})")
        print_verdict(verdict, explanation)
    return verdict.outcome.exit_code


def _refuse_nothing_said(rerun: RunRecord) -> None:
    from orchestrator.errors import UsageError
    from orchestrator.verdict.comparability import failure_of, says_nothing

    if says_nothing(rerun):
        raise UsageError(
            f"--record: run {rerun.id} {failure_of(rerun)}: that is no verdict", "rerun it first"
        )


def _refuse(original: str, rerun: str, both_over: bool) -> None:
    """What would stand in the record as a verdict and be none."""
    from orchestrator.errors import UsageError

    if original == rerun:
        raise UsageError(
            "--record: a run compared with itself shows nothing", "name the run that repeated it"
        )
    if not both_over:
        raise UsageError("--record: one of the runs is not over yet", "wait for its end, or leave it out")
