"""An executor that only tests have: processes of this machine, each with a folder for its output."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

from orchestrator.launch.executors.executor import AttemptStatus, Launcher, LaunchRequest, Stage
from orchestrator.launch.executors.launched_command import execute_command, execute_environment
from orchestrator.launch.session import Session


class ProcessExecutor(Launcher):
    kind = "processes"

    def __init__(self, session: Session) -> None:
        home = session.settings.home
        self._folder = session.settings.attempts / "processes"
        own = {"REPRISE_HOME": str(home)}
        self._environment = {**os.environ, **execute_environment(session.settings), **own}

    @classmethod
    def connect(cls, session: Session) -> Self:
        return cls(session)

    def submit(self, attempt: LaunchRequest) -> str:
        folder = self._folder / attempt.name
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # launched already
            return attempt.name
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                execute_command(attempt.run, attempt.number),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (folder / "number").write_text(str(process.pid))
        (folder / "number").rename(folder / "pid")
        return attempt.name

    def poll(self, ref: str) -> AttemptStatus:
        folder = self._folder / ref
        if not folder.exists():
            return AttemptStatus(stage=Stage.UNKNOWN)
        if not (folder / "pid").exists():
            return AttemptStatus(stage=Stage.WAITING)
        return AttemptStatus(stage=Stage.RUNNING if self._alive(ref) else Stage.ENDED)

    def cancel(self, ref: str) -> None:
        if self._alive(ref):
            with suppress(ProcessLookupError):
                os.kill(self._pid(ref), signal.SIGTERM)

    def logs(self, ref: str, start: int = 0) -> bytes:
        path = self._folder / ref / "log"
        return path.read_bytes()[start:] if path.exists() else b""

    def _pid(self, ref: str) -> int:
        return int((self._folder / ref / "pid").read_text())

    def _alive(self, ref: str) -> bool:
        """A process that has ended stays a zombie until the one that started it has ended, too."""
        with suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{self._pid(ref)}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        return False
