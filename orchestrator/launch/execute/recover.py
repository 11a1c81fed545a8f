"""After a crash: take over runs whose orchestrator is gone, and remove what no run needs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial

from orchestrator.errors import RepriseError
from orchestrator.launch.dispatch.dispatch_run import advance, poll_together
from orchestrator.launch.execute.cleanup import remove_files
from orchestrator.launch.execute.dispatch_turn import dispatch_turn, dispatched
from orchestrator.launch.execute.execute_attempt import execute_if_free
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.executors.kinds import is_launched, kinds_without_engine
from orchestrator.launch.executors.launched_command import COMMAND
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import OpenRun
from orchestrator.run.attempt_model import State
from orchestrator.run.engine.engine import LABEL_ATTEMPT, LABEL_RUN
from orchestrator.run.hardware import box_id, home_id
from orchestrator.value import Value

_RUN = re.compile("[0-9a-f]{16}")  # an id, in the name of its lock: there are others


class Adopted(Value):
    run: str
    state: State  # before
    now: State | None  # after; None: still being finished in the background


class GivenVerdict(Value):
    run: str  # a rerun
    outcome: str | None  # of the verdict; None: not given yet


class Leftover(Value):
    """Something that Reprise made and no open run needs."""

    kind: str  # container, folder or lock
    name: str
    run: str
    removed: bool
    why: str = ""  # it is still there


def orphans(session: Session) -> Iterator[OpenRun]:
    """Open runs of this box that no living process executes, without waiting for anything.

    What a cluster engine launched here is that engine's: dispatch_run.py looks after it.
    """
    for opened in session.record.open_runs(box_id(session.settings)):
        if is_launched(opened.wanted.executor):
            continue
        with run_lock(session.settings, opened.id) as mine:
            if mine:
                yield opened


def adopt(session: Session, watch: Watch, *, wait: bool) -> list[Adopted]:
    """Take over every orphan: here and now with `wait`, else in a process of its own.

    A verb that only reads must not block for the hours that an adopted job may still run, so it leaves
    the work to `reprise execute RUN` in the background.
    """
    adopted = []
    for opened in list(orphans(session)):
        if not wait:
            in_background("execute", opened.id)
            watch.note(f"run {opened.id} lost its orchestrator; it is being finished in the background")
            adopted.append(Adopted(run=opened.id, state=opened.state, now=None))
            continue
        try:
            record = execute_if_free(session, opened.id, watch)
            now = record.state if record is not None else None
        except RepriseError as error:  # recorded with the run; the other orphans are still to be finished
            watch.note(f"run {opened.id}: {error.message}")
            now = session.record.state(opened.id)
        adopted.append(Adopted(run=opened.id, state=opened.state, now=now))
    return adopted


def judge_unjudged(session: Session, watch: Watch, *, dry_run: bool) -> Iterator[GivenVerdict]:
    """Give the verdicts that reruns of this box lack because their orchestrator died after the job's end."""
    from orchestrator.launch.judge.judge_rerun import judge

    for run in session.record.unjudged_reruns(box_id(session.settings)):
        with run_lock(session.settings, run) as mine:
            if not mine or any(line.run == run for line in session.record.history.verdicts(run)):
                continue  # the process that made it is judging, or has judged meanwhile
            verdict = None
            if not dry_run:
                try:
                    verdict = judge(session, session.record.run(run), watch)
                except RepriseError as error:  # the others are still to be judged
                    watch.note(f"run {run}: {error.message}")
            yield GivenVerdict(run=run, outcome=verdict.outcome.value if verdict else None)


def in_background(*words: str, holding: tuple[int, ...] = ()) -> None:
    """Run a verb in a process of its own, which outlives this one and holds these descriptors."""
    subprocess.Popen(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=holding,
    )


def dispatch(session: Session, watch: Watch) -> list[Adopted]:
    """Push every open run of a cluster engine one step on. An engine that does not answer is noted."""
    stepped = []
    runs = session.record.open_elsewhere(kinds_without_engine())
    polled = poll_together(session, runs)
    for opened in runs:
        try:
            now = advance(session, opened.id, polled=polled).state
        except RepriseError as error:
            watch.note(f"run {opened.id}: {error.message}")
            continue
        if now is not opened.state:
            stepped.append(Adopted(run=opened.id, state=opened.state, now=now))
    dispatched(session.settings)
    return stepped


def dispatch_soon(session: Session) -> None:
    """The same in the background, where a cluster engine has open runs: it may be slow to answer.

    A run that was just submitted does not wait for this: the command that submits it launches it.
    """
    if session.record.open_elsewhere(kinds_without_engine()):
        with dispatch_turn(session.settings) as turn:
            if turn is not None:
                in_background("worker", "dispatch", "--once", holding=(turn,))


def remove_leftovers(session: Session, *, dry_run: bool) -> list[Leftover]:
    """Remove containers and folders of runs that are final, and of attempts that were given up.

    What the record does not know is left alone.
    """
    return [*_containers(session, dry_run), *_folders(session, dry_run), *_locks(session, dry_run)]


def remove_given_up(session: Session, watch: Watch) -> None:
    """Remove containers and folders of attempts that were given up while this box was silent.

    They may hold a GPU, or all that the job wrote.
    """
    for kind in (_containers, _folders):
        try:
            for left in kind(session, False):
                if left.removed:
                    watch.note(f"removed {left.name}: no attempt of run {left.run} needs it any more")
                else:
                    watch.note(f"left over, for `reprise worker recover`: {left.name}: {left.why}")
        except RepriseError as error:
            watch.note(f"left over, for `reprise worker recover`: {error.message}")


def _containers(session: Session, dry_run: bool) -> Iterator[Leftover]:
    for container in session.engine.containers_of(home_id(session.settings)):
        run = container.labels.get(LABEL_RUN, "")
        attempt = container.labels.get(LABEL_ATTEMPT, "")
        if not _needless(session, run, attempt) or _in_use(session, run, attempt):
            continue
        left = Leftover(kind="container", name=container.name, run=run, removed=False)
        yield left if dry_run else _tried(left, partial(session.engine.remove, container.name))


def _tried(left: Leftover, remove: Callable[[], None]) -> Leftover:
    """Remove it. If that fails, say why and go on with the rest."""
    try:
        remove()
    except RepriseError as error:
        return left.model_copy(update={"why": error.message})
    return left.model_copy(update={"removed": True})


def _in_use(session: Session, run: str, attempt: str) -> bool:
    """Whether a living process compares files of this run, in a container that is named like an attempt."""
    with run_lock(session.settings, f"{run}-{attempt}") as free:
        return not free


def _needless(session: Session, run: str, attempt: str) -> bool:
    """Whether the run is over or has given this attempt up, so that nothing of it can be recorded."""
    if session.record.state(run) is None:
        return False
    opened = session.record.open_run(run)
    if opened.state.final:
        return True
    number = int(attempt) if attempt.isascii() and attempt.isdigit() else opened.attempt + 1
    return number < opened.attempt or (number == opened.attempt and opened.state is State.QUEUED)


def _is_over(session: Session, run: str) -> bool:
    """Whether the record knows the run, and knows it to be final."""
    state = session.record.state(run)
    return state is not None and state.final


def _folders(session: Session, dry_run: bool) -> Iterator[Leftover]:
    attempts = session.settings.attempts
    for folder in sorted(attempts.iterdir()) if attempts.exists() else ():
        run, _, attempt = folder.name.rpartition("-")
        if not (attempt.isascii() and attempt.isdigit() and folder.is_dir()):
            continue
        if not _needless(session, run, attempt) or _in_use(session, run, attempt):
            continue
        left = Leftover(kind="folder", name=folder.name, run=run, removed=False)
        yield left if dry_run else _tried(left, partial(remove_files, session, run, int(attempt)))


def _locks(session: Session, dry_run: bool) -> Iterator[Leftover]:
    """Lock files whose holders were killed, also before the run had its row. To take a lock and leave it
    removes the file.
    """
    attempts = session.settings.attempts
    for path in sorted(attempts.glob("*.lock")):
        run = path.stem.partition("-")[0]
        began = session.record.state(run) is not None or not _RUN.fullmatch(run)
        if began and not _is_over(session, run):
            continue
        removed = False
        if not dry_run:
            with run_lock(session.settings, path.stem) as removed:
                pass
        if began or removed:  # else it is somebody's who is about to submit
            yield Leftover(kind="lock", name=path.name, run=path.stem, removed=removed)
