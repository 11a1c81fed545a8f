"""cancel: durable first, so that whoever finishes the run knows why its container died."""

from __future__ import annotations

from orchestrator.launch.execute import execute_if_free
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.model import RunRecord
from orchestrator.run.hardware import box_id
from orchestrator.run.model import State


def cancel(session: Session, run: str, watch: Watch) -> RunRecord:
    """Ask for the end of an open run; a run without a living executor is ended here and now."""
    record = session.record
    state = record.request_cancel(run)
    if state.final:
        watch.note(f"run {run} is over already: {state.value}")
        return record.run(run)
    opened = record.open_run(run)
    if opened.state is State.QUEUED or opened.box == box_id(session.settings):
        finished = execute_if_free(session, run, watch)
        if finished is not None:
            return finished
    watch.note("asked; the process that executes the run ends it within seconds")
    return record.run(run)
