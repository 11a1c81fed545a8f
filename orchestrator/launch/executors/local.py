"""This box: `reprise submit` executes the run in its own process, so Ctrl-C reaches the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from orchestrator.launch.executors.executor import OwnBox
from orchestrator.record.run_record import OWN_BOX

if TYPE_CHECKING:
    from orchestrator.launch.session import Session


class LocalExecutor(OwnBox):
    kind = OWN_BOX

    @classmethod
    def connect(cls, session: Session) -> Self:
        del session
        return cls()
