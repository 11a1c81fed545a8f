"""Runs that differ in nothing but the seed, taken together."""

from __future__ import annotations

from support.records import run_line

from orchestrator.run.attempt_model import State
from orchestrator.view.dashboard.run_groups import grouped


def test_a_cancelled_run_did_not_fail() -> None:
    states = (State.SUCCEEDED, State.FAILED, State.LOST, State.CANCELLED, State.RUNNING)
    (group,) = grouped([run_line(id=f"{number:016x}", state=state) for number, state in enumerate(states)])
    assert (len(group.runs), group.failed) == (5, 2)
