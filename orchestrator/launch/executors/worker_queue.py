"""Boxes that take queued runs by themselves: nothing is sent anywhere, so a launch is the queue itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.launch.executors.executor import AttemptStatus, LaunchRequest, Stage
from orchestrator.launch.executors.kinds import WORKER
from orchestrator.launch.workers.box_fit import why_queued
from orchestrator.run.attempt_model import State

if TYPE_CHECKING:
    from orchestrator.launch.session import Session


class WorkerQueue:
    kind = WORKER
    adopts = True  # a worker that starts again carries its own attempts on

    def __init__(self, session: Session) -> None:
        self._session = session

    def submit(self, attempt: LaunchRequest) -> str:
        """The row is there; the next free worker that fits takes it."""
        return f"{attempt.run}-{attempt.number}"

    def poll(self, ref: str) -> AttemptStatus:
        run, _, number = ref.partition("-")
        opened = self._session.record.open_run(run)
        if opened.state is State.QUEUED and opened.attempt < int(number):
            return AttemptStatus(stage=Stage.WAITING, detail=why_queued(self._session, run))
        at_it = opened.attempt == int(number) and not opened.state.final and opened.state is not State.QUEUED
        return AttemptStatus(stage=Stage.RUNNING if at_it else Stage.ENDED)

    def cancel(self, ref: str) -> None:
        """The process at it looks at the record every second."""

    def logs(self, ref: str, start: int = 0) -> bytes:
        """Empty: `worker.log` in the home of the box has what its processes printed."""
        del ref, start
        return b""


def connect(session: Session) -> WorkerQueue:
    return WorkerQueue(session)
