"""The exit code of a verb that waited for a run."""

from __future__ import annotations

from orchestrator.errors import ExitCode
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Failure, State
from orchestrator.verdict.verdict_model import Outcome, Verdict


def exit_code_of(run: RunRecord) -> ExitCode:
    if run.state is State.SUCCEEDED:
        return ExitCode.OK
    if run.state is State.CANCELLED:
        return ExitCode.INTERRUPTED
    if run.state is State.LOST or run.failure is Failure.INFRASTRUCTURE:
        return ExitCode.INFRASTRUCTURE
    return ExitCode.JOB_FAILED


def exit_code_of_rerun(run: RunRecord, verdict: Verdict | None) -> ExitCode:
    """The verdict's code; the run's own code if it could not be judged."""
    if verdict is None or verdict.outcome is Outcome.FAILED:
        return exit_code_of(run) or (verdict.outcome.exit_code if verdict else ExitCode.OK)
    return verdict.outcome.exit_code
