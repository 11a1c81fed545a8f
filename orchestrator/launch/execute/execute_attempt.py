"""One attempt from claim to committed result: idempotent, fenced, and resumable at any point.

Every step is durable before its side effect, and every side effect is idempotent by a deterministic
name, so a process that takes over after a kill -9 walks the same steps and lands on the same container.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.errors import FencedError, ImageMissingError, UsageError
from orchestrator.launch.crash_points import crash_point
from orchestrator.launch.execute.attempt_errors import record_error, try_to_clean
from orchestrator.launch.execute.attempt_plan import (
    ImageHere,
    Terms,
    altered,
    attempt_plan,
    image_here,
    stored_plan,
)
from orchestrator.launch.execute.checked_inputs import changed_before, checked, judged_by_inputs
from orchestrator.launch.execute.log_relay import relayed
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.execute.stop_at_difference import (
    difference_watch,
    look_every,
    parted_at,
    stopped_by_us,
)
from orchestrator.launch.execute.stop_requests import StopRequest
from orchestrator.launch.executors.kinds import is_launched, stays_on_its_box
from orchestrator.launch.executors.visible_gpus import visible_gpus
from orchestrator.launch.interrupt import Interrupt
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import OpenRun, RunRecord
from orchestrator.run.attempt_model import Failure, Plan, Result, State
from orchestrator.run.box_seal import seal
from orchestrator.run.collect.output_files import useless_globs
from orchestrator.run.container_endings import Ending, read_ending, save_ending
from orchestrator.run.engine.check_container import check_created
from orchestrator.run.engine.engine import Engine
from orchestrator.run.engine.engine_info import EngineInfo
from orchestrator.run.engine.load_image import LOADS
from orchestrator.run.follow import Ended, follow
from orchestrator.run.hardware import Gpu, boot_id, box_id, gpus
from orchestrator.run.memory_kills import MemoryKills
from orchestrator.run.plan import container_name
from orchestrator.run.workspace import folders_of, prepare
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.run.live.live_attempt import LiveAttempt

NEVER_BEGAN = "cancelled before it began"
COLLECT = "orchestrator.run.collect.collect_result"  # imported while the job runs
POLL = 0.5  # seconds between two looks at a run that another process executes


def execute(
    session: Session, run: str, watch: Watch, only: int | None = None, visible: str | None = None
) -> RunRecord:
    """Carry `run` to its end, or wait for the process on this box that does.

    `only`: the one attempt that an executor launched this process for; `visible`: the GPUs that it may use
    (visible_gpus.py). UsageError for a run that another box executes; FencedError for an attempt that was
    given up, or that another box has. A failure of the infrastructure before the job began is recorded
    before it is raised; UnfinishedError where the run stays open.
    """
    while True:
        with run_lock(session.settings, run) as mine:
            if mine:
                return _take_over(session, run, watch, only, visible)
        record = session.record.run(run)
        if record.state.final:
            return record
        if only is not None and record.attempt > only:
            raise stale(run, only, record.attempt)
        time.sleep(POLL)


def execute_if_free(session: Session, run: str, watch: Watch) -> RunRecord | None:
    """As `execute`, but None at once where another process executes the run."""
    with run_lock(session.settings, run) as mine:
        return _take_over(session, run, watch) if mine else None


def stale(run: str, number: int, current: int) -> FencedError:
    return FencedError(
        f"attempt {number} of run {run} was given up: the run is at attempt {current}",
        "nothing was started; `reprise show` tells what became of the run",
    )


def _take_over(
    session: Session, run: str, watch: Watch, only: int | None = None, visible: str | None = None
) -> RunRecord:
    """Execute the run, then do what its submitter would have done: compare a rerun with its original."""
    was_final = session.record.state(run)
    record = execute_locked(session, run, watch, Terms(visible=visible), only)
    if record.state.final and (was_final is None or not was_final.final):
        from orchestrator.launch.judge.judge_rerun import judge

        judge(session, record, watch)
    return record


def execute_locked(
    session: Session,
    run: str,
    watch: Watch,
    terms: Terms = Terms(),  # noqa: B008  (frozen)
    only: int | None = None,
) -> RunRecord:
    """As `execute`, for a caller that holds the run's lock. `only`: the one attempt that may be executed."""
    record = session.record
    facts, found, asked = record.run_to_execute(run)
    if facts.state.final:
        return facts
    opened = _hold(session, found, only, watch)
    if opened is None:
        return record.run(run)
    attempt = opened.attempt
    try:
        spool = folders_of(session.settings, run, attempt).log
        with relayed(record, opened, spool, watch, partial(_live, session, facts, attempt)):
            result = _attempt(session, facts, opened, attempt, watch, terms)
        if result is None:
            watch.note("told to end by what launched this: nothing is recorded")
        else:
            record.finish(run, attempt, result, seal=partial(_sealed, session.settings, asked, watch))
    except FencedError:
        # The attempt was given up meanwhile. Its container's name is its own, so no other attempt loses one.
        try_to_clean(session, run, attempt, watch)
        raise
    except Exception as error:
        seen = record_error(session, opened, attempt, error, watch)
        if seen is error:
            raise
        raise seen from error
    crash_point("finished")
    with ThreadPoolExecutor(1) as beside:  # the engine takes its time to remove a container
        cleaned = beside.submit(try_to_clean, session, run, attempt, watch)
        ended = record.run(run)
        cleaned.result()
    crash_point("removed")
    return ended


def _live(session: Session, facts: RunRecord, attempt: int) -> LiveAttempt:
    from orchestrator.launch.execute.follow_attempt import follow_attempt  # only where it is relayed

    return follow_attempt(session, facts, attempt)


def _sealed(settings: Settings, asked: bytes, watch: Watch, statement: bytes) -> str | None:
    """The seal of the statement; None where the rows no longer ask for what was executed."""
    from orchestrator.record.runs.sealed_text import asks  # imports the database's library

    if asks(statement, asked):
        return seal(settings, statement)
    watch.note("the rows of this run were altered while it ran: its record is not sealed")
    return None


def _hold(session: Session, opened: OpenRun, only: int | None, watch: Watch) -> OpenRun | None:
    """Claim the run for this process, or take it over. None where it needs no process now.

    FencedError where it is not `only`; UsageError where another box has it.
    """
    record, run, here = session.record, opened.id, box_id(session.settings)
    executor = f"pid {os.getpid()}"
    if opened.state is State.QUEUED:
        if opened.cancel_requested:
            done = Result(state=State.CANCELLED, message=NEVER_BEGAN)
            record.finish(run, opened.attempt, done, queued=True)
            return None
        try:
            attempt = record.claim(run, here, boot_id(), executor, only)
        except FencedError:
            if only is None and record.open_run(run).state.final:  # cancelled before it began
                return None
            raise
        crash_point("claimed")
        ours = {"box": here, "boot": boot_id(), "executor": executor, "plan": None}
        return opened.model_copy(update={"state": State.PREPARING, "attempt": attempt, **ours})
    if only not in (None, opened.attempt):
        raise stale(run, only or 0, opened.attempt)
    if opened.box != here:
        if only is not None:
            raise FencedError(f"attempt {only} of run {run} is executed by another box")
        raise UsageError(f"run {run} is executed by another box", "run the command there, or cancel the run")
    if _lost_with_its_boot(session, opened) and not stays_on_its_box(opened.wanted.executor):
        record.requeue(run, opened.attempt, "its machine was restarted")
        try_to_clean(session, run, opened.attempt, watch)
        return None
    record.take_over(run, opened.attempt, executor)
    if only is None:
        watch.note(f"run {run}: its orchestrator is gone; taken over in state {opened.state.value}")
    return opened.model_copy(update={"executor": executor})


def _attempt(
    session: Session, facts: RunRecord, opened: OpenRun, attempt: int, watch: Watch, terms: Terms
) -> Result | None:
    """Carry the container through its life, from wherever it stands. None: see `_taken_away`."""
    record, engine, settings, run = session.record, session.engine, session.settings, facts.id
    if _lost_with_its_boot(session, opened):
        return Result(state=State.LOST, message="the machine was restarted while the run was open")
    info = terms.engine or engine.info()
    if opened.state is State.PREPARING:
        session.try_store()
        watch.phase("create", container_name(run, attempt))
    image = image_here(session, facts, watch, terms.image)
    if (wrong := altered(facts, image)) is not None:
        return _refused(opened, wrong)
    unstarted = opened.state is State.PREPARING or _is_created(engine, container_name(run, attempt))
    known = checked(session, facts, attempt, terms, watch) if unstarted else terms
    if known is None:
        return Result(state=State.CANCELLED, message=NEVER_BEGAN)
    plan, used = _planned(session, facts, opened, attempt, image, watch, known, info, unstarted=unstarted)
    crash_point("planned")
    with Interrupt() as interrupt:
        if opened.state is State.PREPARING:
            prepare(settings, run, attempt)
            _create(session, facts, plan, watch)
            crash_point("created")
        if unstarted:
            check_created(engine, plan, image.ids)
        if opened.state is State.PREPARING:
            if (moved := changed_before(session, facts.program.inputs, plan, known.stamps or {})) is not None:
                return _refused(opened, moved)
            record.move(run, attempt, State.RUNNING)
            crash_point("running")
        ended = _followed(session, facts, opened, attempt, plan, info, watch, interrupt)
    crash_point("ended")
    if _taken_away(session, opened, ended):
        return None
    if opened.state is not State.COLLECTING:
        record.move(run, attempt, State.COLLECTING)
    crash_point("collecting")
    watch.phase("collect")
    if ended.container is not None and ended.container.image not in image.ids:
        return Result(state=State.LOST, message="the container is of another image than the run's")
    if not all(mount.source.is_dir() for mount in plan.mounts if not mount.read_only):
        return Result(state=State.LOST, message="the attempt's folders are gone")
    if ended.cause is None and record.cancel_requested(run):
        ended = ended.model_copy(update={"cause": State.CANCELLED, "message": "cancelled"})
    from orchestrator.run.collect.collect_result import collect

    with session.store.batch() as sink:
        result = collect(engine, info, settings, plan, image.program, used, ended, sink)
    notes = (*result.notes, *ended.notes, *useless_globs(facts.tolerance, result))
    result = result.model_copy(update={"notes": notes, "parted_at": parted_at(ended)})
    result = judged_by_inputs(session, facts, attempt, result)
    for digest in sink.mended:
        watch.note(f"blob {digest} had been altered in the store, and was put again from this run's bytes")
    crash_point("collected")
    return result


def _lost_with_its_boot(session: Session, opened: OpenRun) -> bool:
    """Whether the machine was restarted before it was certain how the job ended and what it wrote."""
    if opened.boot == boot_id():
        return False
    kept = read_ending(session.settings, opened.id, opened.attempt)
    return kept is None or not kept.durable


def _followed(
    session: Session,
    facts: RunRecord,
    opened: OpenRun,
    attempt: int,
    plan: Plan,
    info: EngineInfo,
    watch: Watch,
    interrupt: Interrupt,
) -> Ended:
    """Follow the container to its end. What was seen is kept: an engine that is asked later says less."""
    settings, run = session.settings, opened.id
    kept = read_ending(settings, run, attempt)
    if kept is not None:
        return kept.ended
    watch.phase("run")
    session.warm(COLLECT, *session.at_the_end)
    notes: list[str] = []

    def not_compared(why: str) -> None:  # whoever asked for it may sit at another box
        watch.note(why)
        notes.append(why)

    with (
        StopRequest(session.record, run, attempt, watch.note) as wish,
        difference_watch(session, facts, attempt, not_compared) as parted,
    ):
        ended = follow(
            session.engine,
            plan,
            watch,
            should_cancel=lambda: interrupt.asked or wish(),
            on_started=lambda: crash_point("started"),
            kills=_kills(settings, run, attempt, info),
            parted=parted,
            every=look_every(parted),
        )
        ended = stopped_by_us(ended, parted)
    ended = ended.model_copy(update={"notes": tuple(notes)})
    try:
        save_ending(settings, run, attempt, Ending(ended=ended))
    except OSError as error:
        watch.note(f"how the job ended could not be kept, only recorded: {error}")
    return ended


def _kills(settings: Settings, run: str, attempt: int, info: EngineInfo) -> MemoryKills | None:
    """Sees kills for memory, some of which an engine misses; None where the engine has another kernel."""
    if info.cgroup != "2" or info.kernel != os.uname().release:
        return None
    return MemoryKills(folders_of(settings, run, attempt).workspace.parent / "memory_kills")


def _taken_away(session: Session, opened: OpenRun, ended: Ended) -> bool:
    """Whether a cluster engine ended us although nobody asked for the end of the run.

    Pre-emption, a time limit or a node that is taken down say nothing about the job, so nothing is recorded.
    The engine's own word decides what becomes of the run, as after a node's death.
    """
    if ended.parting is not None or ended.cause is not State.CANCELLED:
        return False
    if not is_launched(opened.wanted.executor):
        return False
    return not session.record.stop_asked(opened.id, opened.attempt)


def _planned(
    session: Session,
    facts: RunRecord,
    opened: OpenRun,
    attempt: int,
    image: ImageHere,
    watch: Watch,
    terms: Terms,
    info: EngineInfo,
    *,
    unstarted: bool,
) -> tuple[Plan, tuple[Gpu, ...]]:
    """The plan as this box computes it, stored before it is used, and the attempt's GPUs."""
    here = visible_gpus(gpus(), terms.visible) if image.program.gpus else ()
    stored = stored_plan(opened)
    plan = attempt_plan(session, facts, attempt, image, terms, stored, here, info, unstarted=unstarted)
    if opened.plan is not None and unstarted and stored != plan:
        watch.note(f"run {facts.id}: its stored plan is not what this box computes; it is not used")
    if opened.state is State.PREPARING and stored != plan:
        session.record.save_plan(facts.id, attempt, plan.model_dump_json())
    return plan, tuple(gpu for gpu in here if gpu.uuid in plan.gpu_uuids)


def _refused(opened: OpenRun, why: str) -> Result:
    """The result of a run whose container is not started, because of `why`."""
    if opened.state is State.PREPARING:
        return Result(state=State.FAILED, failure=Failure.INFRASTRUCTURE, message=why)
    return Result(state=State.LOST, message=why)


def _is_created(engine: Engine, name: str) -> bool:
    """Whether the container is there and was not started yet."""
    state = engine.inspect(name)
    return state is not None and state.status == "created"


def _create(session: Session, facts: RunRecord, plan: Plan, watch: Watch) -> None:
    """Create the container, again where somebody removed the image, which no container used yet."""
    for again in range(LOADS):
        try:
            session.engine.create(plan)
        except ImageMissingError:
            if again + 1 == LOADS:
                raise
            watch.note("its image was removed from the engine meanwhile, and is brought there again")
            image_here(session, facts, watch)
        else:
            return
