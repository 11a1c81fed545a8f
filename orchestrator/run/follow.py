"""From a created container to a dead one: deadline, limits, cancellation, and an engine that may restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Protocol, TypeVar

from orchestrator.errors import EngineMissingError
from orchestrator.image.image_model import REPORT, WORKSPACE
from orchestrator.run.attempt_model import Failure, Plan, State
from orchestrator.run.collect.walk_tree import MAX_FILES
from orchestrator.run.container_log import LogPump, Shown
from orchestrator.run.engine.engine import ContainerState, Engine
from orchestrator.run.memory_kills import MemoryKills
from orchestrator.run.workspace import MAX_DEPTH, Measured, measure
from orchestrator.value import Value

T = TypeVar("T")

LOOK = 1.0  # seconds between two looks at deadline, log and cancellation; at the workspace, at the least
SPARING = 20.0  # times as long as a walk through the workspace took, until the next: a twentieth of a core
LONGEST = 30.0  # seconds between two walks: for so long, at most, a job may write more than it is allowed
LOG_ROOM = 4 << 30  # bytes that a job's log may take in an engine that keeps all of it
PATIENCE = 300.0  # seconds that an engine may be away before the attempt is given up as lost


class Listener(Shown, Protocol):
    """Who hears of a job while it runs."""

    def tick(self, seconds: float, workspace_bytes: int) -> None: ...


class Parting(Value):
    """Where the trace of a rerun parted from its original's."""

    step: int
    phase: str
    original: str  # run

    @property
    def message(self) -> str:
        return f"its training parted from that of run {self.original} at step {self.step:,} ({self.phase})"


class Ended(Value):
    """How a container ended, as far as it was watched."""

    container: ContainerState | None  # None: it is gone
    cause: State | Failure | None = None  # CANCELLED, TIMEOUT, POLICY: we ended it; None: it ended itself
    message: str = ""
    parting: Parting | None = None  # for which we ended it
    engine_lost: bool = False  # the engine was away meanwhile: its word on the exit is not trusted alone
    seconds: float | None = None  # from start to end, by our monotonic clock; None: not seen to its end
    killed: bool = False  # neither the job nor we ended it: somebody by hand, or an engine that went down
    memory_killed: bool | None = None  # a process was killed for memory; None: the engine's word alone holds
    notes: tuple[str, ...] = ()  # what was asked for while it ran, and could not be done


def follow(
    engine: Engine,
    plan: Plan,
    listener: Listener,
    should_cancel: Callable[[], bool],
    on_started: Callable[[], None] = lambda: None,
    parted: Callable[[], Parting | None] | None = None,
    every: float = LOOK,
    kills: MemoryKills | None = None,
) -> Ended:
    """Start the container unless it was started, and follow it to its end.

    A container that has ended is never started again: that makes taking over safe. `kills` is asked beside
    an engine that can miss kills for memory; `parted`, each `every` seconds, whether the job is to be stopped
    because it parted from another.
    EngineMissingError if the engine stays away for longer than PATIENCE.
    """
    follower = _Follower(engine, plan, listener, should_cancel, kills)
    if parted is not None:
        follower.ask_parted, follower.every = parted, every
    state = follower.look()
    if state is None:
        return Ended(container=None, message="the container is gone", engine_lost=follower.engine_lost)
    if state.ended:
        return follower.ended()
    log = LogPump(engine, plan, listener, fresh=state.status == "created")
    follower.log_size = lambda: log.unbounded
    try:
        if state.status == "created":
            follower.start()
            on_started()
        follower.until_dead()
    except BaseException:
        log.abandon()
        raise
    log.ended()
    return follower.ended()


class _Follower:
    """Looks at a running container each second, and knows what was done to it and why."""

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        listener: Listener,
        should_cancel: Callable[[], bool],
        kills: MemoryKills | None,
    ) -> None:
        self._engine, self._plan, self._listener = engine, plan, listener
        self._should_cancel, self._kills = should_cancel, kills
        self.ask_parted: Callable[[], Parting | None] = lambda: None
        self.parting: Parting | None = None
        self.every = LOOK  # seconds between two looks at the container
        self._runs: ContainerState | None = None  # as it was when its kills were first looked for
        self._start = self._running = time.monotonic()
        self._seconds: float | None = None
        self.cause: State | Failure | None = None
        self.message = ""
        self.engine_lost = False
        self.log_size: Callable[[], int] = lambda: 0  # in an engine that keeps all of it
        self._measured, self._measure_at = Measured(), 0.0

    def look(self) -> ContainerState | None:
        """The container as it is now. One that runs already has used some of its time."""
        state = self._patiently(lambda: self._engine.inspect(self._plan.container))
        if state is not None:
            self._start = self._running = time.monotonic() - self._used(state)
        return state

    def _used(self, state: ContainerState) -> float:
        """Seconds since the start of a container that is taken over, by its engine's clock alone."""
        started = state.started_at
        if started is None or state.ended:
            return 0.0
        now = self._patiently(self._engine.now)
        return max(0.0, (now - started).total_seconds())

    def start(self) -> None:
        """Start the container that was just seen unstarted, once: an engine that fell silent meanwhile may
        have done it, so it is asked before another try.
        """
        name, tries = self._plan.container, count()

        def once() -> None:
            if next(tries):
                state = self._engine.inspect(name)
                if state is None or state.status != "created":
                    return
            self._engine.start(name)

        if self._kills is not None:
            self._kills.before_start()
        self._patiently(once)
        self._running = time.monotonic()  # a busy engine takes seconds to start, and they are not the job's
        if self.engine_lost:
            self.look()  # it may have run meanwhile

    def until_dead(self) -> None:
        due = time.monotonic()
        while not self._patiently(lambda: self._engine.wait(self._plan.container, self.every)):
            self._stop_where_it_parted()
            if time.monotonic() >= due:
                due = time.monotonic() + LOOK - self.every
                self._keep_limits()
                self._look_for_kills()
        self._seconds = time.monotonic() - self._start

    def ended(self) -> Ended:
        """What the engine says of the dead container, and whether somebody else killed it."""
        name = self._plan.container
        state = self._patiently(lambda: self._engine.inspect(name))
        killed = False
        if state is not None and state.started_at is not None and self.cause is None:
            killed = self._patiently(lambda: self._engine.was_killed(name))
        of_memory = (
            self._kills.happened_in(state.id) if self._kills is not None and state is not None else None
        )
        return Ended(
            container=state,
            cause=self.cause,
            message=self.message,
            parting=self.parting,
            engine_lost=self.engine_lost,
            seconds=self._seconds,
            killed=killed,
            memory_killed=of_memory,
        )

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask until the engine answers: its silence says nothing about the container."""
        away_since: float | None = None
        while True:
            try:
                return ask()
            except EngineMissingError:
                if away_since is None:
                    away_since = time.monotonic()
                    self._listener.note("the engine does not answer; waiting for it")
                self.engine_lost = True
                if time.monotonic() - away_since > PATIENCE:
                    raise
                time.sleep(LOOK)

    def _look_for_kills(self) -> None:
        if self._kills is None:
            return
        if self._runs is None:
            self._runs = self._patiently(lambda: self._engine.inspect(self._plan.container))
        if self._runs is not None:
            self._kills.look(self._runs.id, self._runs.pid)

    def _stop_where_it_parted(self) -> None:
        parting = self.ask_parted() if self.cause is None else None
        if parting is not None:
            self.parting = parting
            self._stop(State.CANCELLED, f"stopped: {parting.message}")

    def _keep_limits(self) -> None:
        """Stop a job that was cancelled or has passed a limit, and report its progress."""
        plan = self._plan
        seconds = time.monotonic() - self._running
        found = self._workspace()
        self._listener.tick(seconds, found.size)
        if self._should_cancel():
            self._stop(State.CANCELLED, "cancelled")
        elif plan.timeout is not None and seconds > plan.timeout:
            self._stop(Failure.TIMEOUT, f"still running after {plan.timeout:g} s (resources.timeout)")
        elif (excess := _excess(found, plan)) is not None:
            self._stop(Failure.POLICY, f"the job wrote more than {excess}")
        elif self.log_size() > LOG_ROOM:
            most = f"{LOG_ROOM >> 30} GiB of log, which this engine keeps whole on its disk"
            self._stop(Failure.POLICY, f"the job wrote more than {most}")

    def _workspace(self) -> Measured:
        """What it holds, by the last walk: one through 100,000 files takes a quarter of a second."""
        begun = time.monotonic()
        if begun >= self._measure_at:
            plan = self._plan
            folders = [mount.source for mount in plan.mounts if mount.target in (WORKSPACE, REPORT)]
            self._measured = measure(folders, plan.file_size, MAX_FILES)
            end = time.monotonic()
            self._measure_at = end + min(SPARING * (end - begun), LONGEST)
        return self._measured

    def _stop(self, cause: State | Failure, message: str) -> None:
        """TERM, then KILL after the grace. The first cause is the one that is recorded."""
        if self.cause is None:
            self.cause, self.message = cause, message
        self._patiently(lambda: self._engine.stop(self._plan.container, self._plan.stop_grace))


def _excess(found: Measured, plan: Plan) -> str | None:
    """The limit that a job has passed; None while it keeps them all."""
    if found.size > plan.file_size:
        return f"{plan.file_size} bytes (resources.output_size)"
    if found.entries > MAX_FILES:
        return f"{MAX_FILES} files and folders"
    return f"{MAX_DEPTH} folders inside each other" if found.deep else None
