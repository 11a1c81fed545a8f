"""Which box can take which queued run, and if none can: why."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.errors import StoreError
from orchestrator.launch.session import Session
from orchestrator.message_wording import count
from orchestrator.record.run_record import BoxFacts, BoxLine, Queued, Submission
from orchestrator.run.attempt_model import State

SILENT = 60.0  # seconds without a heartbeat after which a box is taken for gone


def unfit(run: Queued, box: BoxFacts) -> str | None:
    """Why this box, idle, could not execute the run; None where it could."""
    wanted, resources = run.wanted, run.resources
    if wanted.box is not None and wanted.box != box.id:
        return "the run is for another box"
    if wanted.not_box == box.id:
        return "the run is for any box but this one"
    if run.gpus:
        model = (resources.gpu or "").lower()
        fitting = [gpu for gpu in box.gpus if model in gpu.name.lower()]
        if len(fitting) < run.gpus:
            have = ", ".join(gpu.name for gpu in box.gpus) or "no GPU"
            asked = count(run.gpus, "GPU") + (f" of model {resources.gpu}" if resources.gpu else "")
            return f"the run asks for {asked}; the box has {have}"
    if resources.memory is not None and resources.memory > box.memory:
        return f"the run asks for {resources.memory} bytes of memory; the box has {box.memory}"
    return None


def alive(box: BoxLine) -> bool:
    """Whether its worker takes runs, by its last heartbeat."""
    return box.state == "up" and box.silence < SILENT


def state_of(box: BoxLine) -> str:
    """up, draining, down, or `silent`: it has said nothing for a minute."""
    return "silent" if box.state != "down" and box.silence >= SILENT else box.state


def boxes_now(session: Session) -> list[BoxLine]:
    """All boxes with a worker, each with its `state_of` this moment."""
    return [box.model_copy(update={"state": state_of(box)}) for box in session.record.boxes.all()]


def why_waiting(run: Queued, boxes: Iterable[BoxLine]) -> str:
    """In one line, why a run is still queued."""
    boxes = tuple(boxes)
    up = [box for box in boxes if alive(box)]
    if not up:
        return (
            "no box with a worker is up" if boxes else "no worker was ever started (`reprise worker start`)"
        )
    reasons = {box.name: unfit(run, box) for box in up}
    fitting = [name for name, why in reasons.items() if why is None]
    troubles = {box.name: box.trouble for box in up if box.trouble}
    ready = [name for name in fitting if name not in troubles]
    if ready:
        return f"waiting for a free place on {', '.join(ready)}"
    if fitting:
        return "; ".join(f"{name} takes nothing now: {troubles[name]}" for name in fitting)
    return "no box fits: " + "; ".join(f"{name}: {why}" for name, why in reasons.items())


def why_queued(session: Session, run: str, boxes: Iterable[BoxLine]) -> str:
    """In one line, why a run still waits for a worker of these boxes; empty where it does not wait."""
    record = session.record.run(run)
    if record.state is not State.QUEUED:
        return ""
    queued = as_queued(record, record.attempt)
    why = why_waiting(queued, boxes)
    try:
        absent = session.input_reach.absent_from_store(queued)
    except StoreError as error:
        return f"{why}; whether the store has its inputs is not known: {error.message}"
    if absent:
        why += f"; in the store there is no input {', '.join(absent)}: only a box that has it takes the run"
    return why


def as_queued(run: Submission, attempt: int) -> Queued:
    return Queued(
        id=run.id,
        attempt=attempt,
        gpus=run.program.gpus,
        resources=run.resources,
        wanted=run.wanted,
        cancel_requested=False,
        inputs=run.program.inputs,
        input_paths=run.input_paths,
    )
