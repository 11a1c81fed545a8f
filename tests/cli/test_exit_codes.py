"""The exit codes of runs and verdicts."""

from __future__ import annotations

import pytest
from support.finished_run import make_run

from orchestrator.cli.exit_codes import exit_code_of, exit_code_of_rerun
from orchestrator.run.attempt_model import Failure, State
from orchestrator.verdict.verdict_model import Outcome, Verdict


def verdict_of(outcome: Outcome) -> Verdict:
    return Verdict(outcome=outcome, original="a", rerun="b", summary="")


@pytest.mark.parametrize(
    ("state", "failure", "code"),
    [
        (State.SUCCEEDED, None, 0),
        (State.FAILED, Failure.JOB, 1),
        (State.FAILED, Failure.MEMORY, 1),
        (State.FAILED, Failure.TIMEOUT, 1),
        (State.FAILED, Failure.POLICY, 1),
        (State.FAILED, Failure.INFRASTRUCTURE, 5),
        (State.LOST, None, 5),
        (State.CANCELLED, None, 130),
    ],
)
def test_exit_codes_of_runs(state: State, failure: Failure | None, code: int) -> None:
    run = make_run(state=state, failure=failure)
    assert exit_code_of(run) == code
    assert exit_code_of_rerun(run, None) == code
    assert exit_code_of_rerun(run, verdict_of(Outcome.FAILED)) == (code or 1)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.FAILED])
def test_exit_codes_of_verdicts(outcome: Outcome) -> None:
    assert exit_code_of_rerun(make_run(), verdict_of(outcome)) == outcome.exit_code
