"""This box, by a process of its own: what adopts an orphan, and what the conformance suite holds others to.

`reprise submit` does the same inside its own process: nothing is launched, and Ctrl-C reaches the job.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.executors.executor import AttemptStatus, LaunchRequest, Stage
from orchestrator.launch.executors.launched_command import execute_command

if TYPE_CHECKING:
    from orchestrator.launch.session import Session


class LocalExecutor:
    kind = "local"
    adopts = True

    def __init__(self, session: Session) -> None:
        self._session = session

    def submit(self, attempt: LaunchRequest) -> str:
        with run_lock(self._session.settings, attempt.run) as free:
            pass
        if free:
            subprocess.Popen(
                execute_command(attempt.run, attempt.number),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return f"{attempt.run}-{attempt.number}"

    def poll(self, ref: str) -> AttemptStatus:
        """By the run's lock: the kernel releases it when its holder dies."""
        run = ref.partition("-")[0]
        with run_lock(self._session.settings, run) as free:
            return AttemptStatus(stage=Stage.ENDED if free else Stage.RUNNING)

    def cancel(self, ref: str) -> None:
        """The process itself looks at the record every second."""

    def logs(self, ref: str, start: int = 0) -> bytes:
        del ref, start
        return b""


def connect(session: Session) -> LocalExecutor:
    return LocalExecutor(session)
