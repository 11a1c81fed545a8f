"""A run of the same digest that is recorded already: it is the same experiment, and need not be run again."""

from __future__ import annotations

from orchestrator.digest import Digest
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import HistoryFilter, RunLine, RunRecord
from orchestrator.run.attempt_model import State

_OFFER = "; --reuse takes that run, `reprise rerun` compares"


def earlier_run(session: Session, image: Digest, reuse: bool, watch: Watch) -> RunRecord | None:
    """Say that the digest ran before. With `reuse`, its latest run that succeeded; None where none did."""
    line = _latest(session, image, (State.SUCCEEDED,))
    if line is not None:
        watch.note(f"ran before as {line.id}, identical: the same digest" + ("" if reuse else _OFFER))
        return session.record.run(line.id) if reuse else None
    line = _latest(session, image, tuple(state for state in State if state is not State.SUCCEEDED))
    if line is not None:
        watch.note(f"submitted before as {line.id}, identical: the same digest; it is {line.state.value}")
    return None


def _latest(session: Session, image: Digest, states: tuple[State, ...]) -> RunLine | None:
    where = f"image == '{image}'"
    wanted = HistoryFilter(where=where, states=states, archived=False, reruns=False, limit=1)
    found = session.record.history.lines(wanted)
    return found[0] if found else None
