"""One step of a run that a cluster engine executes: look, then launch, relaunch or give it up.

Several commands may do this at once. Each decision is a guarded write in the record, which also fences what
an engine starts twice.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType

from orchestrator.errors import FencedError, InfrastructureError, RepriseError, UsageError
from orchestrator.launch.execute.execute_attempt import NEVER_BEGAN
from orchestrator.launch.executors.executor import AttemptStatus, Launcher, LaunchRequest, WorkerQueue
from orchestrator.launch.executors.kinds import executor_of, is_launched, launcher_of
from orchestrator.launch.session import Session
from orchestrator.record.run_record import BoxLine, Launched, OpenRun
from orchestrator.record.runs.author import person
from orchestrator.run.attempt_model import Failure, Result, State
from orchestrator.value import Value

LAUNCHING = 60.0  # seconds for a launch that a command announced; then another command does it
SETTLING = 5.0  # seconds between an engine's word that a process is gone and our giving it up


class Standing(Value):
    """Where a run is, for whoever waits for it."""

    state: State
    attempt: int
    detail: str = ""  # why it waits


# What engines said a moment ago, by kind and ref. An old answer does no harm: what is over stays over. Left
# out are attempts that never began: they may have been submitted again.
Polled = Mapping[tuple[str, str], AttemptStatus]


def poll_together(session: Session, runs: Iterable[OpenRun]) -> Polled:
    """What engines say of many runs, each engine asked once. `advance` asks for what is missing here."""
    refs: defaultdict[str, list[str]] = defaultdict(list)
    for opened in runs:
        with suppress(RepriseError):  # `advance` says which run has an unreadable row
            for one in session.record.launched(opened.id)[-1:]:
                if one.ref is not None and is_launched(one.executor):
                    refs[one.executor].append(one.ref)
    found: dict[tuple[str, str], AttemptStatus] = {}
    for kind, those in refs.items():
        with suppress(RepriseError):
            said = launcher_of(session, kind).poll_many(those)
            found.update({(kind, ref): seen for ref, seen in said.items() if not seen.unbegun})
    return found


def advance(
    session: Session, run: str, *, announced: bool = False, polled: Polled = MappingProxyType({})
) -> Standing:
    """One step; never waits for the job. InfrastructureError where the engine does not answer.

    `announced`: this process has announced the launch, and its engine failed then.
    """
    opened = session.record.open_run(run)
    kind = opened.wanted.executor
    if opened.state.final:
        return _standing(opened)
    if opened.state is State.QUEUED and opened.cancel_requested:
        return _cancelled(session, opened)
    if not is_launched(kind):
        return _standing(opened, why_queued(session, run, kind))
    try:
        executor = launcher_of(session, kind)
    except UsageError as error:  # that engine cannot be asked from here: others push the run on
        return _standing(opened, error.message)
    if opened.state is State.QUEUED:
        return _queued(session, executor, opened, polled, announced=announced)
    launched = next((one for one in session.record.launched(run) if one.number == opened.attempt), None)
    if launched is None or launched.ref is None or launched.executor != executor.kind:
        return _standing(opened)
    seen = polled.get((executor.kind, launched.ref)) or executor.poll(launched.ref)
    if not seen.over:
        return _standing(opened, seen.detail)
    return _given_up(session, executor, opened, launched, seen)


def _queued(
    session: Session, executor: Launcher, opened: OpenRun, polled: Polled, *, announced: bool
) -> Standing:
    record, run, number = session.record, opened.id, opened.attempt + 1
    try:
        launched, mine = record.launch(run, number, executor.kind, person())
        if launched.ref is None and (mine or announced or launched.age > LAUNCHING):
            ref = _submitted(session, executor, run, number)
            record.save_ref(run, number, ref)
            return _standing(opened, f"launched as {ref}")
    except FencedError:  # another command was a step ahead
        return _standing(record.open_run(run))
    if launched.ref is None:
        return _standing(opened, f"{launched.launched_by} is launching it")
    seen = polled.get((executor.kind, launched.ref)) or executor.poll(launched.ref)
    if not seen.over:
        return _standing(opened, seen.detail)
    if seen.unbegun:  # the engine was busy: that costs the run no attempt
        record.save_ref(run, number, _submitted(session, executor, run, number))
        return _standing(opened, f"{seen.detail}; launched again")
    return _given_up(session, executor, opened, launched, seen)


def _submitted(session: Session, executor: Launcher, run: str, number: int) -> str:
    """Submit the attempt. A request that the engine will never take ends the run; silence does not."""
    try:
        return executor.submit(attempt_of(session, run, number))
    except UsageError as error:
        message = error.message if error.hint is None else f"{error.message} ({error.hint})"
        failed = Result(state=State.FAILED, failure=Failure.INFRASTRUCTURE, message=message)
        session.record.finish(run, number - 1, failed, queued=True)
        raise


def _given_up(
    session: Session, executor: Launcher, before: OpenRun, launched: Launched, seen: AttemptStatus
) -> Standing:
    """The process is gone. It may have moved the run on just before its end, so the record decides."""
    record, run = session.record, before.id
    end = time.monotonic() + SETTLING
    while True:
        now = record.open_run(run)
        if (now.state, now.attempt) != (before.state, before.attempt):
            return _standing(now)
        if time.monotonic() >= end:
            break
        time.sleep(0.5)
    reason = f"{executor.kind} {launched.ref}: {seen.detail or 'its process is gone'}"
    said = _tail(executor, launched.ref or "")
    if seen.cancelled:  # somebody ended it in the engine: no next attempt
        record.request_cancel(run)
    with suppress(FencedError):  # another command, or the attempt's own end, was faster
        record.requeue(run, launched.number, f"{reason}; it printed: {said}" if said else reason)
    return _standing(record.open_run(run), reason)


def _tail(executor: Launcher, ref: str) -> str:
    """The last line that a dead process printed."""
    try:
        text = executor.logs(ref).decode("utf-8", "replace").strip()
    except InfrastructureError:
        return ""
    return text.splitlines()[-1][:300] if text else ""


def _cancelled(session: Session, opened: OpenRun) -> Standing:
    """End a queued run in its row, and take back what an engine holds for it."""
    record, run = session.record, opened.id
    with suppress(FencedError):  # claimed meanwhile: its executor sees the same wish
        done = Result(state=State.CANCELLED, message=NEVER_BEGAN)
        record.finish(run, opened.attempt, done, queued=True)
    take_back(session, run)
    return _standing(record.open_run(run))


def take_back(session: Session, run: str) -> None:
    """Tell the engines to drop what they still hold for a run."""
    for one in session.record.launched(run):
        if one.ref is not None and is_launched(one.executor):
            with suppress(UsageError):  # not to be reached from here: its process sees the wish in the record
                launcher_of(session, one.executor).cancel(one.ref)


def attempt_of(session: Session, run: str, number: int) -> LaunchRequest:
    facts = session.record.run(run)
    return LaunchRequest(
        run=run,
        number=number,
        job=facts.job,
        gpus=facts.program.gpus,
        resources=facts.resources,
        wanted=facts.wanted,
    )


def why_queued(session: Session, run: str, kind: str, boxes: Iterable[BoxLine] | None = None) -> str:
    """In one line, why no worker has taken a run yet; empty for one that waits for no worker.

    `boxes`: all of them, where the caller has read them.
    """
    executor = None if is_launched(kind) else executor_of(session, kind)
    if not isinstance(executor, WorkerQueue):
        return ""
    return executor.why_queued(run, session.record.boxes.all() if boxes is None else boxes)


def _standing(opened: OpenRun, detail: str = "") -> Standing:
    return Standing(state=opened.state, attempt=opened.attempt, detail=detail)
