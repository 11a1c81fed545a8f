"""The session of a verb: opened late, closed always, and the place where orphaned runs are taken over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.record.model import RunRecord


@contextmanager
def opened(adopting: bool = False) -> Iterator[Session]:
    """This box. With `adopting`, runs whose orchestrator died are finished in the background meanwhile."""
    from orchestrator.launch.session import Session

    with Session.open() as session:
        if adopting:
            _adopt(session)
        yield session


def _adopt(session: Session) -> None:
    """Where no run is open, which is usual, the engine's libraries are not even imported (0.1 s)."""
    from orchestrator.record.model import HistoryFilter
    from orchestrator.run.model import State

    open_states = tuple(state for state in State if not state.final)
    if session.record.history(HistoryFilter(states=open_states, limit=1)):
        from orchestrator.cli.progress import notes_only
        from orchestrator.launch.recover import adopt, dispatch_soon

        adopt(session, notes_only(), wait=False)
        dispatch_soon(session)


def find_run(session: Session, text: str) -> RunRecord:
    """The run that an id, or its beginning (four characters or more), names."""
    return session.record.run(session.record.find(text))
