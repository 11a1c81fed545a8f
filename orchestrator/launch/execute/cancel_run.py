"""cancel: the wish is recorded first, so that whoever finishes the run knows why its container died."""

from __future__ import annotations

from contextlib import suppress

from orchestrator.errors import FencedError
from orchestrator.launch.dispatch.dispatch_run import advance, take_back
from orchestrator.launch.execute.execute_attempt import execute_if_free
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.launch.workers.box_fit import state_of
from orchestrator.record.run_record import OpenRun, RunRecord
from orchestrator.run.attempt_model import State
from orchestrator.run.hardware import box_id


def cancel(session: Session, run: str, watch: Watch) -> RunRecord:
    """Ask for the end of an open run. A run that nobody executes is ended at once."""
    record = session.record
    state = record.request_cancel(run)
    if state.final:
        watch.note(f"run {run} is over already: {state.value}")
        return record.run(run)
    if advance(session, run).state.final:  # it was queued
        return record.run(run)
    opened = record.open_run(run)
    if opened.box == box_id(session.settings):
        finished = execute_if_free(session, run, watch)
        if finished is not None:
            return finished
    elif _box_is_gone(session, opened):
        with suppress(FencedError):
            record.requeue(run, opened.attempt, "its box does not answer, and what ran there is not known")
        return record.run(run)
    take_back(session, run)
    watch.note("asked; the process that executes the run ends it within seconds")
    return record.run(run)


def _box_is_gone(session: Session, opened: OpenRun) -> bool:
    """Whether the run is at a worker that is silent, and so would not see the wish."""
    if opened.state is State.QUEUED:
        return False
    return any(box.id == opened.box and state_of(box) == "silent" for box in session.record.boxes.all())
