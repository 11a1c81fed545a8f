"""A cluster engine that fails for a moment gets a run all the same, once; else the run waits for its turn."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings, strategies
from support.records import new_run

from orchestrator.errors import ExitCode, InfrastructureError
from orchestrator.launch.dispatch import dispatch_run, hand_over
from orchestrator.launch.dispatch.hand_over import NotHandedOverError, queue
from orchestrator.launch.executors.executor import AttemptStatus, Launcher, LaunchRequest, Stage
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.record.run_record import Wanted
from orchestrator.run.attempt_model import State


@dataclass
class Flaky(Launcher):
    """It fails so many times: before it took the job, or after, so that only its answer is lost."""

    faults: list[str]
    kind = "slurm"
    jobs: list[str] = field(default_factory=list)

    @classmethod
    def connect(cls, session: Session) -> Flaky:
        return cls([])

    def submit(self, attempt: LaunchRequest) -> str:
        fault = self.faults.pop(0) if self.faults else None
        if fault != "before" and attempt.name not in self.jobs:
            self.jobs.append(attempt.name)
        if fault is not None:
            raise InfrastructureError("Slurm: sbatch: Socket timed out on send/recv operation")
        return f"{1 + self.jobs.index(attempt.name)}@here/ada"

    def poll(self, ref: str) -> AttemptStatus:
        return AttemptStatus(stage=Stage.WAITING)

    def cancel(self, ref: str) -> None:
        pass

    def logs(self, ref: str, start: int = 0) -> bytes:
        return b""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(faults=strategies.lists(strategies.sampled_from(["before", "after"]), max_size=5))
def test_it_is_handed_over_once_after_any_faults(session: Session, faults: list[str]) -> None:
    flaky = Flaky([*faults])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hand_over, "HANDING_PAUSE", 0.0)
        patched.setattr(dispatch_run, "launcher_of", lambda _session, _kind: flaky)
        run, created = queue(session, new_run(wanted=Wanted(executor="slurm")), Silent())
    assert created
    assert flaky.jobs == [f"reprise-{run}-1"]
    (there,) = session.record.launched(run)
    assert there.ref == "1@here/ada"
    assert session.record.state(run) is State.QUEUED


def test_one_that_fails_for_longer_leaves_the_run_queued_and_the_error_names_it(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky = Flaky(["before"] * 10_000)
    monkeypatch.setattr(hand_over, "HANDING", 0.2)
    monkeypatch.setattr(hand_over, "HANDING_PAUSE", 0.05)
    monkeypatch.setattr(dispatch_run, "launcher_of", lambda _session, _kind: flaky)
    new = new_run(wanted=Wanted(executor="slurm"))
    with pytest.raises(NotHandedOverError) as caught:
        queue(session, new, Silent())
    assert new.id in caught.value.message
    assert "do not submit it again" in (caught.value.hint or "")
    assert caught.value.exit_code is ExitCode.INFRASTRUCTURE
    assert session.record.state(new.id) is State.QUEUED
    flaky.faults.clear()
    monkeypatch.setattr(dispatch_run, "LAUNCHING", -1.0)  # whoever announced it had its time
    assert "launched as 1@" in dispatch_run.advance(session, new.id).detail
    assert len(flaky.jobs) == 1
