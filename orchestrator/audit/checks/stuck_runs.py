"""Open runs that no process seems to execute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from orchestrator.audit.findings import Finding, Kind
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.session import Session
from orchestrator.launch.workers.box_fit import state_of
from orchestrator.message_wording import count
from orchestrator.record.run_record import HistoryFilter
from orchestrator.run.attempt_model import OPEN_STATES, State
from orchestrator.run.hardware import box_id

LONG = timedelta(hours=24)  # how long a run may wait in a queue, or be on an unknown box


def stuck_findings(session: Session) -> Iterator[Finding]:
    """Found by the run's lock on this box, by the worker's silence on other boxes, else by the run's age."""
    here = box_id(session.settings)
    boxes = {box.id: box for box in session.record.boxes.all()}
    moment = session.record.now()
    for line in session.record.history.lines(HistoryFilter(states=OPEN_STATES)):
        opened = session.record.open_run(line.id)
        if opened.state.final:  # it ended meanwhile
            continue
        age = moment - line.created_at
        detail = None
        if opened.box == here and opened.state is not State.QUEUED:
            with run_lock(session.settings, line.id) as free:
                # Its orchestrator writes the end first, then frees the lock.
                state = session.record.state(line.id)
                ended = state is None or state.final
                detail = "its orchestrator on this box is gone" if free and not ended else None
        elif opened.box in boxes and state_of(boxes[opened.box]) in ("silent", "down"):
            detail = f"its box {boxes[opened.box].name} is {state_of(boxes[opened.box])}"
        elif age > LONG:
            detail = f"submitted {count(age.days, 'day')} ago"
        if detail is not None:
            yield Finding.of_run(Kind.RUN_STUCK, line.id, f"{opened.state.value}; {detail}")
