"""What becomes of an attempt that an error ends.

Before the container was started nothing is lost: another box gets the run, or it has failed. Afterwards the
job's work is on this box, whichever part of the box failed. So nothing final is written, container and folder
stay, and the next command or worker goes on where this one stopped.
"""

from __future__ import annotations

from orchestrator.errors import EngineError, FencedError, InfrastructureError, RecordError, RepriseError
from orchestrator.launch.execute.cleanup import remove_files
from orchestrator.launch.executors.kinds import stays_on_its_box
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import OpenRun
from orchestrator.run.attempt_model import Failure, Result, State
from orchestrator.run.container_endings import make_durable
from orchestrator.run.plan import container_name
from orchestrator.run.workspace import folders_of

# Errors of the machine and of the parts that we use. Any other is a bug of ours: the run ends, or each later
# command would take it over and fail.
_TROUBLE = (RepriseError, OSError, MemoryError)


class UnfinishedError(InfrastructureError):
    """The run is not over. It goes on when the cause is mended."""


def record_error(
    session: Session, opened: OpenRun, attempt: int, error: Exception, watch: Watch
) -> Exception:
    """Record what became of the attempt. Returns the error that the caller should see."""
    if isinstance(error, RecordError):  # nothing can be written now: the run goes on later
        return _unfinished(session, opened.id, attempt, error, None, watch)
    try:
        state = session.record.state(opened.id)
        if state is State.PREPARING or not _began(session, opened.id, attempt):
            _never_began(session, opened, attempt, error, watch)
        elif isinstance(error, _TROUBLE):
            return _unfinished(session, opened.id, attempt, error, state, watch)
        else:
            session.record.finish(opened.id, attempt, Result(state=State.LOST, message=in_words(error)))
        try_to_clean(session, opened.id, attempt, watch)
    except FencedError:  # the attempt was given up meanwhile: nobody needs what it made
        try_to_clean(session, opened.id, attempt, watch)
    except RecordError as silence:
        return _unfinished(session, opened.id, attempt, silence, None, watch)
    return error


def in_words(error: Exception) -> str:
    """The error in one line, with its hint."""
    if isinstance(error, RepriseError):
        return error.message if error.hint is None else f"{error.message} ({error.hint})"
    if isinstance(error, _TROUBLE):
        return f"{type(error).__name__}: {error}"
    return f"a bug in reprise: {type(error).__name__}: {error}"


def _began(session: Session, run: str, attempt: int) -> bool:
    """Whether the container may have been started. Only an engine that has it unstarted rules that out."""
    try:
        state = session.engine.inspect(container_name(run, attempt))
    except EngineError:
        return True
    return state is None or state.status != "created"


def _never_began(session: Session, opened: OpenRun, attempt: int, error: Exception, watch: Watch) -> None:
    """Give the run back to other boxes. A run of this box alone, or in its last attempt, has failed."""
    record, message = session.record, in_words(error)
    if not stays_on_its_box(opened.wanted.executor) and attempt < opened.wanted.attempts:
        record.requeue(opened.id, attempt, message)
        watch.note(f"run {opened.id}: attempt {attempt} never began and is given back: {message}")
        return
    failed = Result(state=State.FAILED, failure=Failure.INFRASTRUCTURE, message=message)
    record.finish(opened.id, attempt, failed)


def _unfinished(
    session: Session, run: str, attempt: int, error: Exception, state: State | None, watch: Watch
) -> Exception:
    """Leave the run as it is, and make what the job wrote outlast a restart of the machine."""
    try:
        make_durable(session.settings, run, attempt)
    except OSError as full:
        watch.note(f"a restart of this machine would lose what run {run} wrote: {full}")
    where = folders_of(session.settings, run, attempt).workspace.parent
    kept = f"; its files are in {where}" if state is State.COLLECTING else ""
    hint = error.hint if isinstance(error, RepriseError) else None
    goes_on = f"nothing of run {run} is lost{kept}; `reprise worker recover`, or the next command, goes on"
    what = error.message if isinstance(error, RepriseError) else in_words(error)
    stays = f"run {run} is not over" if state is None else f"run {run} stays {state.value}"
    return UnfinishedError(f"{what}; {stays}", f"{hint}; then: {goes_on}" if hint else goes_on)


def try_to_clean(session: Session, run: str, attempt: int, watch: Watch) -> None:
    """As `clean`. A container or folder that stays is noted: it does not change what became of the run."""
    try:
        clean(session, run, attempt)
    except RepriseError as error:
        watch.note(f"left over of run {run}, for `reprise worker recover`: {error.message}")


def clean(session: Session, run: str, attempt: int) -> None:
    session.engine.remove(container_name(run, attempt))
    remove_files(session, run, attempt)
