"""A worker: one process of a box that takes queued runs which fit the box, and starts a process for each.

It can be killed and started again at any time: the record says what it executes, and each run's lock says
whether a process is at it.
"""

from __future__ import annotations

import random
import secrets
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import FrameType

from orchestrator.errors import (
    EngineError,
    ExitCode,
    FencedError,
    InfrastructureError,
    RecordError,
    UsageError,
)
from orchestrator.launch.doctor import worker_checks
from orchestrator.launch.execute.attempt_plan import stored_plan
from orchestrator.launch.execute.recover import remove_given_up
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.executors.kinds import QUEUE
from orchestrator.launch.executors.launched_command import execute_command
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.launch.workers.box_facts import facts_of_box
from orchestrator.launch.workers.box_fit import alive, as_queued, unfit
from orchestrator.launch.workers.box_health import Health
from orchestrator.record.run_record import BoxLine, OpenRun, Queued, RunRecord
from orchestrator.record.runs.unreadable_rows import UnreadableError
from orchestrator.run.attempt_model import Failure, State
from orchestrator.run.hardware import Gpu, boot_id, gpus, of_model

LOCK = "worker"  # of its home: one worker each
LEASE = 60.0  # seconds of silence after which another worker takes a box's runs over
BEATS = 6  # heartbeats of a worker within a lease
QUICK, SLOW = 0.2, 2.0  # seconds between two looks for work, at first and after nothing was found for long
STARTS = 3  # processes for one attempt; one that dies each time would go on for ever
SAID = 300  # characters of why a box takes nothing
LOG_SIZE = 4 << 20  # bytes of worker.log, after which it begins anew


class Worker:
    """`work` returns when it has drained. One per home."""

    def __init__(
        self, session: Session, watch: Watch, *, name: str, slots: int = 1, lease: float = LEASE
    ) -> None:
        self._session, self._watch, self._lease = session, watch, lease
        self._gpus = gpus()
        self.facts = facts_of_box(session, name, slots, self._gpus)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._given: dict[str, tuple[str, ...]] = {}  # run -> GPUs, until its plan says so
        self._health = Health(lambda: worker_checks(session))
        self._unfinished: set[str] = set()  # open runs that wait for this box to be mended
        self._left: dict[str, float] = {}  # run that was given back here -> when
        self._starts: Counter[tuple[str, int]] = Counter()
        self._heard: dict[str, tuple[object, float]] = {}  # box -> its last heartbeat, when we first saw it
        self._asked = 0  # signals that asked for the end
        self._cancelled = False
        self._last_beat = self._last_cleanup = -LEASE
        self._pause = QUICK

    def work(self) -> None:
        with run_lock(self._session.settings, LOCK) as mine:
            if not mine:
                raise UsageError("a worker of this home is at work already", "`reprise worker list` shows it")
            before = [(one, signal.signal(one, self._on_signal)) for one in (signal.SIGTERM, signal.SIGINT)]
            try:
                self._session.record.boxes.introduce(self.facts)
                self._watch.note(f"{self.facts.name} takes runs")
                while self._round():
                    time.sleep(self._pause * random.uniform(0.8, 1.2))  # noqa: S311  (not a secret)
                self._session.record.boxes.see(self.facts.id, "down")
            finally:
                for one, handler in before:
                    signal.signal(one, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked += 1
        self._pause = QUICK

    def _round(self) -> bool:
        """As `_step`. The children go on while the record is away or the disk is full."""
        try:
            return self._step()
        except (InfrastructureError, OSError) as error:
            if self._asked > 1 or (self._asked and not self._children):
                raise
            if not isinstance(error, RecordError):
                self._health.blame(str(error))
            self._watch.note(f"{error}; trying again")
            self._pause = SLOW
            return True

    def _step(self) -> bool:
        """One round; False when there is nothing left to wait for."""
        self._reap()
        mine = self._mine()
        if self._asked > 1 and not self._cancelled:
            self._cancelled = True
            for opened in mine:
                self._session.record.request_cancel(opened.id)
        self._heartbeat(mine)
        self._carry_on(mine)
        if self._asked:
            return bool(self._children or {one.id for one in mine} - self._unfinished)
        found = self._take(mine)
        self._pause = QUICK if found else min(self._pause * 1.3, SLOW)
        return True

    def _reap(self) -> None:
        for run, child in list(self._children.items()):
            code = child.poll()
            if code is not None:
                try:
                    record = self._session.record.run(run)
                    self._judge(record, code)
                    said = record.state.value
                except UnreadableError as error:  # says nothing of this box
                    said = error.message
                del self._children[run]
                self._given.pop(run, None)
                self._pause = QUICK
                self._watch.note(f"run {run}: {said}")

    def _judge(self, run: RunRecord, code: int) -> None:
        """Learn from a child's end whether this box works."""
        self._unfinished.discard(run.id)
        if run.state.final:
            if run.failure is Failure.INFRASTRUCTURE:
                self._health.blame(run.message)
            else:
                self._health.worked()
        elif run.state is State.QUEUED:
            ended = [one.ended for one in self._session.record.launched(run.id) if one.number == run.attempt]
            self._left[run.id] = time.monotonic()
            self._health.blame(f"run {run.id} could not begin: {ended[-1] if ended else 'it was given back'}")
        elif run.state is State.PREPARING and code > 0:  # it could not even write that down
            self._health.blame(f"run {run.id} could not begin: worker.log in this box's home says why")
        elif code == ExitCode.INFRASTRUCTURE:  # it ended by itself: it may begin again
            self._unfinished.add(run.id)
            self._starts.clear()
            self._health.blame(
                f"run {run.id} stays {run.state.value}: worker.log in this box's home says why"
            )

    def _mine(self) -> list[OpenRun]:
        """Open runs that this box executes for the queue."""
        found = self._session.record.open_runs(self.facts.id)
        return [one for one in found if one.box == self.facts.id and one.wanted.executor == QUEUE]

    def _heartbeat(self, mine: list[OpenRun]) -> None:
        """When it is time: report that this box lives, take over from silent boxes, remove what is left."""
        moment = time.monotonic()
        if moment - self._last_beat >= self._lease / BEATS or (self._asked and self.facts.state == "up"):
            self._last_beat = moment
            if self._asked and self.facts.state == "up":
                self.facts = self.facts.model_copy(update={"state": "draining"})
                self._watch.note(f"{self.facts.name} takes nothing new; {len(mine)} to finish")
            self._session.record.boxes.see(self.facts.id, self.facts.state, self._health.trouble[:SAID])
            if not self._asked:
                self._take_over_from_the_silent(moment)
        if moment - self._last_cleanup >= self._lease:
            self._last_cleanup = moment
            remove_given_up(self._session, self._watch)

    def _carry_on(self, mine: list[OpenRun]) -> None:
        """Start a process for every run of this box that has none: it died, or was a former worker's."""
        for opened in mine:
            if opened.id in self._children:
                continue
            with run_lock(self._session.settings, opened.id) as free:
                pass
            if not free or (opened.id in self._unfinished and not self._fit()):
                continue
            if opened.state is State.PREPARING and self._health.sick:
                self._left[opened.id] = time.monotonic()
                self._give_up(opened, f"it could not begin on box {self.facts.name}: {self._health.trouble}")
                continue
            if self._starts[opened.id, opened.attempt] >= STARTS:
                self._give_up(opened, f"its process on box {self.facts.name} died {STARTS} times")
            else:
                self._watch.note(f"run {opened.id}: carried on in state {opened.state.value}")
                self._spawn(opened.id, opened.attempt, self._given.get(opened.id))

    def _take(self, mine: list[OpenRun]) -> bool:
        """Claim one run, if one fits what is free."""
        free = self._free_gpus(mine)
        places = self.facts.slots - sum(not self._uses_gpus(one) for one in mine)

        if not self._fit():
            return False
        others = self._others() if self._left else ()

        def fits(run: Queued) -> bool:
            if run.cancel_requested or unfit(run, self.facts) is not None or self._left_alone(run, others):
                return False
            has_room = len(_choice(run, free)) == run.gpus if run.gpus else places > 0
            return has_room and not self._session.input_reach.lacking(run)  # last, as it may ask the store

        record = self._session.record
        if record.first_waiting(QUEUE, fits) is None or not self._engine_answers():
            return False
        token = f"worker {secrets.token_hex(6)}"
        taken = record.take(QUEUE, fits, self.facts.id, boot_id(), token)
        if taken is None:
            return False
        run, attempt = taken
        given = tuple(gpu.uuid for gpu in _choice(run, free)) if run.gpus else None
        self._watch.note(f"run {run.id}: taken, attempt {attempt}")
        self._spawn(run.id, attempt, given)
        return True

    def _uses_gpus(self, opened: OpenRun) -> bool:
        if opened.id in self._given:
            return bool(self._given[opened.id])
        plan = stored_plan(opened)
        return plan is not None and bool(plan.gpu_uuids)

    def _free_gpus(self, mine: list[OpenRun]) -> tuple[Gpu, ...]:
        """GPUs that no open run of this box has, including runs that a person started."""
        if not self._gpus:
            return ()
        used = {uuid for given in self._given.values() for uuid in given}
        for opened in self._session.record.open_runs(self.facts.id):
            plan = stored_plan(opened)
            if plan is not None:
                used.update(plan.gpu_uuids)
            elif opened.plan is None and opened in mine and opened.id not in self._given:
                return ()  # a former worker's run: its plan, which names its GPUs, comes in a moment
        return tuple(gpu for gpu in self._gpus if gpu.uuid not in used)

    def _fit(self) -> bool:
        """Whether this box can work, as far as is known. A change is noted at once."""
        before, fit = self._health.trouble, self._health.fit()
        if self._health.trouble != before:
            said = self._health.trouble
            self._watch.note(f"nothing is taken: {said}" if said else f"{self.facts.name} is fit for runs")
            self._session.record.boxes.see(self.facts.id, self.facts.state, said[:SAID])
        if not fit:
            self._pause = SLOW
        return fit

    def _others(self) -> tuple[BoxLine, ...]:
        boxes = self._session.record.boxes.all()
        return tuple(box for box in boxes if box.id != self.facts.id and alive(box) and not box.trouble)

    def _left_alone(self, run: Queued, others: tuple[BoxLine, ...]) -> bool:
        """Whether this box does not take a run that could not begin here: for a lease, and as long as
        another box fits it.
        """
        if run.id in self._children:  # its process has just given the run back: `_judge` sees that at its end
            return True
        since = self._left.get(run.id)
        if since is None:
            return False
        return time.monotonic() - since < self._lease or any(unfit(run, box) is None for box in others)

    def _engine_answers(self) -> bool:
        try:
            self._session.engine.info()
        except EngineError as error:
            self._health.blame(error.message)
            return False
        return True

    def _spawn(self, run: str, attempt: int, given: tuple[str, ...] | None) -> None:
        self._given[run] = given or ()
        self._starts[run, attempt] += 1
        chosen = None if given is None else ",".join(given)
        with _worker_log(self._session.settings.home).open("ab") as log:
            self._children[run] = subprocess.Popen(
                execute_command(run, attempt, chosen),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_ignore_signals,
            )

    def _take_over_from_the_silent(self, moment: float) -> None:
        """A box is silent while its last heartbeat stays the same, measured by our own clock."""
        for box in self._session.record.boxes.all():
            if box.id == self.facts.id:
                continue
            beat, since = self._heard.get(box.id, (None, moment))
            if beat != box.seen_at:
                self._heard[box.id] = (box.seen_at, moment)
            elif moment - since >= self._lease:
                self._give_up_runs_of(box)

    def _give_up_runs_of(self, box: BoxLine) -> None:
        """Queue again those of its runs that this box could execute, or that somebody asked to end."""
        record = self._session.record
        for run in box.runs:
            try:
                opened = record.open_run(run)
                if opened.wanted.executor != QUEUE or opened.box != box.id:
                    continue
                queued = as_queued(record.run(run), opened.attempt)
                if not opened.cancel_requested and unfit(queued, self.facts) is not None:
                    continue
            except UnreadableError:  # its row was altered, and no box can execute it
                continue
            self._give_up(opened, f"box {box.name} was silent for {self._lease:g} s")

    def _give_up(self, opened: OpenRun, reason: str) -> None:
        with suppress(FencedError):  # another worker was faster
            state = self._session.record.requeue(opened.id, opened.attempt, reason)
            self._watch.note(f"run {opened.id}: {reason}; {state.value}")


def _choice(run: Queued, free: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    return of_model(free, run.resources.gpu)[: run.gpus]


def _ignore_signals() -> None:
    """In the child: signals to the group are for the worker. Runs are cancelled through the record."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _worker_log(home: Path) -> Path:
    """Where children print. Beyond LOG_SIZE it becomes `worker.log.1`, and the one before that goes."""
    log = home / "worker.log"
    if log.exists() and log.stat().st_size > LOG_SIZE:
        log.replace(home / "worker.log.1")
    return log
