"""Follows an attempt of this box while it runs: for whoever looks here, and for the relay to other boxes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import BinaryIO

from orchestrator.errors import EngineError, RepriseError
from orchestrator.launch.execute.attempt_plan import stored_plan
from orchestrator.launch.session import Session
from orchestrator.record.run_record import RunRecord
from orchestrator.run.collect.trace_line import LONGEST_LINE
from orchestrator.run.engine.engine import Engine
from orchestrator.run.live.live_attempt import LiveAttempt
from orchestrator.run.live.live_state import LiveUse
from orchestrator.run.live.usage import UsageReader
from orchestrator.run.plan import container_name
from orchestrator.run.workspace import folders_of


def follow_attempt(session: Session, run: RunRecord, attempt: int) -> LiveAttempt:
    """The caller closes it, and looks from one thread."""
    folders = folders_of(session.settings, run.id, attempt)
    original = _original(session, run) if run.rerun_of is not None else None
    use = _Use(session, run, attempt)
    return LiveAttempt(folders, run.program.metrics, original, use.look, lambda: use.began)


def _original(session: Session, run: RunRecord) -> Callable[[int], BinaryIO | None]:
    """The trace of a rank of the original, behind its header; None where it left none, or it is gone.

    None, too, where it left several: processes of a rank have no order, and beside the wrong one every step
    differs. The verdict pairs them by what they say.
    """
    from orchestrator.launch.judge.open_evidence import open_evidence

    def opened(rank: int) -> BinaryIO | None:
        try:
            before = session.record.run(run.rerun_of or "")
            files = [one for one in before.traces if one.rank == rank]
            if len(files) != 1:
                return None
            file = files[0]
            stream = open_evidence(session.store, before)(file.digest)
        except RepriseError:  # then nothing is compared; the verdict says why, at the end
            return None
        stream.readline(LONGEST_LINE)
        return stream

    return opened


AGAIN = 1.0  # seconds between two looks for a container that does not run yet


class _Use:
    """What the attempt's container takes, as soon as it runs. Another thread asks: by its own connection."""

    def __init__(self, session: Session, run: RunRecord, attempt: int) -> None:
        self._session, self._run, self._attempt = session, run, attempt
        self.began: float | None = None  # when the container did, in seconds since 1970
        self._reader: UsageReader | None = None
        self._due = 0.0

    def look(self) -> LiveUse | None:
        if self._reader is None and time.monotonic() >= self._due:
            self._due = time.monotonic() + AGAIN
            self._reader = self._found()
        return self._reader.look() if self._reader is not None else None

    def _found(self) -> UsageReader | None:
        try:
            engine = Engine.connect()
            try:
                state = engine.inspect(container_name(self._run.id, self._attempt))
            finally:
                engine.close()
        except EngineError:
            return None
        if state is None or state.pid <= 0:
            return None
        self.began = None if state.started_at is None else state.started_at.timestamp()
        return UsageReader(state.pid, self._gpus(), self._run.resources.memory)

    def _gpus(self) -> tuple[str, ...]:
        plan = stored_plan(self._session.record.open_run(self._run.id))
        return plan.gpu_uuids if plan is not None else ()
