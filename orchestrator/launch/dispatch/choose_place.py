"""Where a run is to execute, from the words that a person typed."""

from __future__ import annotations

from orchestrator.errors import UsageError
from orchestrator.launch.executors.kinds import KINDS, QUEUE, executor_of, stays_on_its_box
from orchestrator.launch.session import Session
from orchestrator.launch.workers.box_fit import alive, as_queued, unfit, why_waiting
from orchestrator.record.run_record import NewRun, Wanted
from orchestrator.run.hardware import box_id


def here(session: Session) -> Wanted:
    return Wanted(box=box_id(session.settings))


def wanted_on(session: Session, place: str) -> Wanted:
    """From the word after `--on`: a kind of executor, or the name or id of a box with a worker."""
    if stays_on_its_box(place):
        return here(session)
    if place in KINDS:
        executor_of(session, place)  # UsageError before anything is recorded
        return Wanted(executor=place)
    boxes = session.record.boxes.all()
    found = [box for box in boxes if box.name == place or box.id == place]
    found = found or [box for box in boxes if len(place) >= 4 and box.id.startswith(place)]
    if not found:
        names = ", ".join(sorted({box.name for box in boxes})) or "none has a worker yet"
        raise UsageError(f"no box {place!r} is known", f"boxes: {names}; or one of {', '.join(KINDS)}")
    if len(found) > 1:
        ids = ", ".join(box.id for box in found)
        raise UsageError(f"{len(found)} boxes are called {place!r}", f"name one by its id: {ids}")
    return Wanted(executor=QUEUE, box=found[0].id)


def wanted_elsewhere(session: Session, new: NewRun, box: str) -> Wanted:
    """Any box but `box`. UsageError if none that is up fits: the run would wait for ever."""
    wanted = Wanted(executor=QUEUE, not_box=box)
    boxes = session.record.boxes.all()
    run = as_queued(new.model_copy(update={"wanted": wanted}), 0)
    if not any(alive(box) and unfit(run, box) is None for box in boxes):
        raise UsageError(
            f"nowhere else to run it: {why_waiting(run, boxes)}",
            "`reprise worker list` shows them; start a worker there",
        )
    return wanted
