"""Runs that execute on another box: where to, how they get there, and waiting for their end."""

from __future__ import annotations

import time
from collections.abc import Iterator

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.image.stored_image import stored_image
from orchestrator.launch.execute.log_relay import MOST
from orchestrator.launch.executors.dispatch_run import Standing, advance, take_back
from orchestrator.launch.executors.kinds import KINDS, LOCAL, WORKER, executor_of
from orchestrator.launch.interrupt import Interrupt
from orchestrator.launch.judge.judge_rerun import judge
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.launch.workers.box_fit import alive, reason, unfit
from orchestrator.record.run_record import NewRun, Queued, RunRecord, Wanted
from orchestrator.run.attempt_model import State
from orchestrator.run.container_log import remaining
from orchestrator.run.hardware import box_id
from orchestrator.verdict.comparability import says_nothing
from orchestrator.verdict.verdict_model import Verdict

POLL = 0.5  # seconds between two looks at a run that executes elsewhere
JUDGING = 30.0  # seconds that the box which executed a rerun has for its verdict
HANDING = 60.0  # seconds in which a run is handed to an executor that fails
HANDING_PAUSE = 3.0  # seconds between two tries
PATIENCE = 300.0  # seconds that a cluster engine may be silent before a waiting command ends


class NotHandedOverError(InfrastructureError):
    """A run is recorded, and its executor did not answer: it is handed over later, and not to be doubled."""


def here(session: Session) -> Wanted:
    return Wanted(box=box_id(session.settings))


def wanted_on(session: Session, place: str) -> Wanted:
    """From the word after `--on`: a kind of executor, or the name or id of a box with a worker."""
    if place == LOCAL:
        return here(session)
    if place in KINDS:
        executor_of(session, place)  # UsageError before anything is recorded
        return Wanted(executor=place)
    boxes = session.record.boxes()
    found = [box for box in boxes if box.name == place or box.id == place]
    found = found or [box for box in boxes if len(place) >= 4 and box.id.startswith(place)]
    if not found:
        names = ", ".join(sorted({box.name for box in boxes})) or "none has a worker yet"
        raise UsageError(f"no box {place!r} is known", f"boxes: {names}; or one of {', '.join(KINDS)}")
    if len(found) > 1:
        ids = ", ".join(box.id for box in found)
        raise UsageError(f"{len(found)} boxes are called {place!r}", f"name one by its id: {ids}")
    return Wanted(executor=WORKER, box=found[0].id)


def wanted_elsewhere(session: Session, new: NewRun, box: str) -> Wanted:
    """Any box but `box`. UsageError if none that is up fits: the run would wait for ever."""
    wanted = Wanted(executor=WORKER, not_box=box)
    boxes = session.record.boxes()
    run = Queued(
        id=new.id,
        attempt=0,
        gpus=new.program.gpus,
        resources=new.resources,
        wanted=wanted,
        cancel_requested=False,
    )
    if not any(alive(box) and unfit(run, box) is None for box in boxes):
        raise UsageError(
            f"nowhere else to run it: {reason(run, boxes)}",
            "`reprise boxes` shows them; start a worker there",
        )
    return wanted


def queue(session: Session, new: NewRun, watch: Watch) -> tuple[str, bool]:
    """Record a run whose image other boxes can get, and hand it to its executor.

    NotHandedOverError where that does not answer for HANDING: the run is queued all the same.
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
                    "do not submit it again: `reprise dispatch`, or the next command that looks at it, "
                    f"hands it over once that works; `reprise cancel {run}` drops it",
                ) from error
            if not announced:
                watch.note(f"{error.message}; trying again, for {HANDING:g} s at most")
            announced = True
        time.sleep(min(HANDING_PAUSE, HANDING - waited))


def share_image(session: Session, new: NewRun, watch: Watch) -> None:
    """An image of this box's into the registry, so that the other box can pull it."""
    image = stored_image(session.settings, new.image.digest)
    if image is None or session.settings.registry is None:
        if session.settings.registry is None and new.wanted.box != box_id(session.settings):
            watch.note("no registry is set (REPRISE_REGISTRY): only a box that has the image can run it")
        return
    from orchestrator.launch.move_images import push_image

    push_image(session, image, watch)


def wait(session: Session, run: str, watch: Watch) -> RunRecord:
    """Until the run is over, showing its log. Ctrl-C cancels it, as it does a run of this box."""
    log = LiveLog(session, run)
    said = Standing(state=State.QUEUED, attempt=0)
    cancelled = False
    with Interrupt() as interrupt:
        while True:
            standing = _patiently(session, run, watch)
            if (standing.state, standing.attempt, standing.detail) != (said.state, said.attempt, said.detail):
                _tell(session, run, said, standing, watch)
                said = standing
            for piece in log.more():
                watch.log(piece)
            if standing.state.final:
                break
            if interrupt.asked and not cancelled:
                cancelled = True
                watch.note("asked for the end of the run; Ctrl-C again leaves it to itself")
                session.record.request_cancel(run)
                take_back(session, run)
            time.sleep(POLL)
    record = session.record.run(run)
    for piece in log.rest(record):
        watch.log(piece)
    return record


def judged_elsewhere(session: Session, record: RunRecord, watch: Watch) -> Verdict | None:
    """The verdict of the box that executed a rerun; our own where that box is silent about it."""
    if record.rerun_of is None or says_nothing(record):
        return judge(session, record, watch)
    end = time.monotonic() + JUDGING
    while time.monotonic() < end:
        lines = [line for line in session.record.verdicts(record.id) if line.run == record.id]
        if lines:
            return Verdict.model_validate(lines[-1].document)
        time.sleep(POLL)
    return judge(session, record, watch)


def _patiently(session: Session, run: str, watch: Watch) -> Standing:
    since = time.monotonic()
    while True:
        try:
            return advance(session, run)
        except InfrastructureError as error:
            if time.monotonic() - since > PATIENCE:
                raise
            watch.note(error.message)
            time.sleep(10 * POLL)


def _tell(session: Session, run: str, before: Standing, now: Standing, watch: Watch) -> None:
    if now.attempt != before.attempt and not now.state.final and now.state is not State.QUEUED:
        facts = session.record.run(run)
        watch.phase("run", f"attempt {now.attempt} on box {facts.box_name or (facts.box or '')[:8]}")
    if now.detail and now.detail != before.detail:
        watch.note(now.detail)


class LiveLog:
    """What an open run has written and was not asked for yet, through the record."""

    def __init__(self, session: Session, run: str) -> None:
        self._session, self._run = session, run
        self._attempt = self._start = 0

    def more(self) -> Iterator[bytes]:
        opened = self._session.record.open_run(self._run)
        if opened.attempt != self._attempt:  # another attempt begins anew
            self._attempt, self._start = opened.attempt, 0
        for start, data in self._session.record.live_log(self._run, self._attempt, self._start):
            self._start = start + len(data)
            yield data

    def rest(self, record: RunRecord) -> Iterator[bytes]:
        """From the store, when the run is over; with a gap in the middle where the log was truncated."""
        if record.log is None:
            return
        seen = min(self._start, MOST) if record.attempt == self._attempt else 0
        chunks = self._session.store.chunks_of(record.log.digest, record.log.size)
        yield from remaining(chunks, record.log, seen)
