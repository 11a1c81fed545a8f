"""Recording a run that another box executes, and handing it to its executor."""

from __future__ import annotations

import time

from orchestrator.errors import InfrastructureError
from orchestrator.image.stored_image import stored_image
from orchestrator.launch.dispatch.dispatch_run import Standing, advance
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import NewRun
from orchestrator.run.hardware import box_id

HANDING = 60.0  # seconds of attempts to hand a run to an executor that fails
HANDING_PAUSE = 3.0  # seconds between two tries


class NotHandedOverError(InfrastructureError):
    """The run is recorded, but its executor does not answer. It is handed over later."""


def queue(session: Session, new: NewRun, watch: Watch) -> tuple[str, bool]:
    """Record a run whose image other boxes can get, and hand it to its executor.

    NotHandedOverError where the executor does not answer for HANDING seconds. The run stays queued.
    """
    run, created = session.record.submit(new)
    if created:
        standing = _handed_over(session, run, watch)
        watch.phase("queue", f"run {run}, {standing.detail or standing.state.value}")
    return run, created


def _handed_over(session: Session, run: str, watch: Watch) -> Standing:
    begun = time.monotonic()
    announced = False
    while True:
        try:
            return advance(session, run, announced=announced)
        except InfrastructureError as error:
            waited = time.monotonic() - begun
            if waited >= HANDING:
                raise NotHandedOverError(
                    f"run {run} is recorded and queued, and could not be handed over: {error.message}",
                    "do not submit it again: `reprise worker dispatch`, or a command that looks at it, "
                    f"hands it over once that works; `reprise cancel {run}` drops it",
                ) from error
            if not announced:
                watch.note(f"{error.message}; trying again, for {HANDING:g} s at most")
            announced = True
        time.sleep(min(HANDING_PAUSE, HANDING - waited))


def share_image(session: Session, new: NewRun, watch: Watch) -> None:
    """Push an image of this box, so that the other box can pull it."""
    image = stored_image(session.settings, new.image)
    if image is None or session.settings.registry is None:
        if session.settings.registry is None and new.wanted.box != box_id(session.settings):
            watch.note("no registry is set (REPRISE_REGISTRY): only a box that has the image can run it")
        return
    from orchestrator.launch.move_images import push_image

    push_image(session, image, watch)
