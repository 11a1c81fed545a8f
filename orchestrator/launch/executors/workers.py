"""Boxes with a worker, each of which takes queued runs by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from orchestrator.launch.executors.executor import WorkerQueue
from orchestrator.launch.workers.box_fit import why_queued

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.record.run_record import BoxLine


class Workers(WorkerQueue):
    kind = "worker"

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    def connect(cls, session: Session) -> Self:
        return cls(session)

    def why_queued(self, run: str, boxes: Iterable[BoxLine]) -> str:
        return why_queued(self._session, run, boxes)
