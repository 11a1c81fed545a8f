"""rerun: from a digest, or a run, to a second run and a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import UsageError
from orchestrator.launch.crash_points import crash_point
from orchestrator.launch.dispatch.await_run import judged_elsewhere, wait
from orchestrator.launch.dispatch.choose_place import here, wanted_elsewhere, wanted_on
from orchestrator.launch.dispatch.hand_over import queue, share_image
from orchestrator.launch.execute.attempt_plan import Terms
from orchestrator.launch.execute.execute_attempt import execute_locked
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.executors.kinds import stays_on_its_box
from orchestrator.launch.inputs.share_inputs import offer_inputs
from orchestrator.launch.judge.judge_rerun import judge
from orchestrator.launch.judge.open_evidence import open_evidence
from orchestrator.launch.session import Session
from orchestrator.launch.submit.find_inputs import located_inputs
from orchestrator.launch.submit.look_up_inputs import look_up_inputs
from orchestrator.launch.submit.rerun_target import Target, new_rerun, resolve
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import NewRun, RunRecord
from orchestrator.record.store.blob_store import AbsentBlobError, AlteredStoreError
from orchestrator.run.hardware import choose_gpus, gpus
from orchestrator.spec.jobfile.job_spec import InputSpec, Resources
from orchestrator.spec.program import Program
from orchestrator.value import Value
from orchestrator.verdict.traces.stopping_rules import why_not_to_stop
from orchestrator.verdict.verdict_model import Verdict


class RerunRequest(Value):
    target: str  # a digest, a run, or a part of either
    against: str | None = None  # compare with this run; default: the first that succeeded with this digest
    inputs: dict[str, str] = {}  # where inputs are, if not where they were: absolute paths, or references
    resources: dict[str, Any] = {}  # fields of Resources to change: limits, never what defines the result
    on: str | None = None  # the word after --on; None: this box
    elsewhere: bool = False  # any box but the original's
    stop_after: int | None = None  # end it so many steps after the first difference; None: let it go on

    @property
    def remote(self) -> bool:
        return self.elsewhere or not (self.on is None or stays_on_its_box(self.on))


def rerun(session: Session, request: RerunRequest, watch: Watch) -> tuple[RunRecord, Verdict | None]:
    """Run the digest again and compare. The verdict is None where nothing is known to compare with."""
    session.warm()
    target, original = _target(session, request)
    with rerun_of_target(session, target, original, request, watch) as record:
        if original is None:
            watch.note(
                "this box knows no earlier run of this digest, so there is nothing to compare with yet"
            )
        if request.remote:
            return record, judged_elsewhere(session, record, watch)
        return record, judge(session, record, watch)


def rerun_detached(session: Session, request: RerunRequest, watch: Watch) -> RunRecord:
    """Queue a rerun for another box, which executes it and records the verdict."""
    new = _placed(session, *_target(session, request), request)
    return session.record.run(_queued(session, new, request, watch))


def _target(session: Session, request: RerunRequest) -> tuple[Target, RunRecord | None]:
    """What to run, and the run to compare with."""
    target, record = resolve(session, request.target), session.record
    return target, record.run(record.find(request.against)) if request.against else target.original


@contextmanager
def rerun_of_target(
    session: Session, target: Target, original: RunRecord | None, request: RerunRequest, watch: Watch
) -> Iterator[RunRecord]:
    """One more run of an image, recorded as a rerun of `original`, to be judged inside.

    A run of this box keeps its lock until then: whoever holds it gives the verdict (recover.py).
    """
    new = _placed(session, target, original, request)
    if request.remote:
        yield wait(session, _queued(session, new, request, watch), watch)
        return
    choose_gpus(new.resources, gpus() if target.program.gpus else ())
    with run_lock(session.settings, new.id):
        wanted, given = target.program.inputs, _at_paths(new, request)
        found = located_inputs(session, wanted, new.input_paths, watch, given=given, run=new.id)
        run, _ = session.record.submit(new)
        crash_point("queued")
        yield execute_locked(session, run, watch, Terms(inputs=found.paths, stamps=found.stamps))


def _queued(session: Session, new: NewRun, request: RerunRequest, watch: Watch) -> str:
    """Give another box all that it needs, and queue the run for it; returns its id."""
    offer_inputs(session, new, _at_paths(new, request), watch)
    share_image(session, new, watch)
    run, _ = queue(session, new, watch)
    return run


def _at_paths(new: NewRun, request: RerunRequest) -> set[str]:
    """Inputs for which the person named a path; those that were looked up are in the store."""
    return request.inputs.keys() & new.input_paths.keys()


def _placed(session: Session, target: Target, original: RunRecord | None, request: RerunRequest) -> NewRun:
    """The run with its place. UsageError where no box fits what is asked."""
    new = _new_run(session, target, original, request)
    if request.elsewhere:
        if original is None or original.box is None:
            raise UsageError("--elsewhere: no earlier run of this digest is known", "name a box with --on")
        return new.model_copy(update={"wanted": wanted_elsewhere(session, new, original.box)})
    wanted = wanted_on(session, request.on) if request.on else here(session)
    return new.model_copy(update={"wanted": wanted})


def _resources(fields: dict[str, Any]) -> Resources:
    try:
        return Resources.model_validate(fields)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UsageError(f"no such limits: {said}", "`reprise schema` has the least of each") from None


def refuse_ignored(program: Program, request: RerunRequest) -> None:
    """UsageError for options that would have no effect."""
    unknown = sorted(request.inputs.keys() - program.inputs.keys())
    if unknown:
        known = ", ".join(sorted(program.inputs)) or "none"
        raise UsageError(f"the job has no input {', '.join(unknown)}", f"its inputs: {known}")
    if request.resources.get("gpu") and not program.gpus:
        raise UsageError("--gpu: the job asks for no GPU", "leave it out: this job runs on the CPU")


def _refuse_stopping(session: Session, original: RunRecord | None) -> None:
    """UsageError where a first difference would decide nothing, or there is nothing to compare with."""
    if original is None:
        why: str | None = "no earlier run of this digest is known here"
    else:
        why = why_not_to_stop(session.record.with_points(original)) or _why_unreadable(session, original)
    if why is not None:
        raise UsageError(f"--stop-at-difference: {why}", "leave it out: a whole rerun is judged at its end")


def _why_unreadable(session: Session, original: RunRecord) -> str | None:
    """Why no box will find the original's traces. StoreError: the store itself is away."""
    opened = open_evidence(session.store, original)
    for trace in original.traces:
        try:
            opened(trace.digest).close()
        except (AbsentBlobError, AlteredStoreError) as error:
            return f"the trace of run {original.id} cannot be read: {error.message}"
    return None


def _new_run(session: Session, target: Target, original: RunRecord | None, request: RerunRequest) -> NewRun:
    refuse_ignored(target.program, request)
    if request.stop_after is not None:
        _refuse_stopping(session, original)
    before = original.resources if original else Resources(gpus=target.program.gpus)
    fields = before.model_dump() | request.resources
    given = {
        name: InputSpec(path=place, sha256=target.program.inputs[name])
        for name, place in request.inputs.items()
    }
    looked_up = look_up_inputs(session, given)
    paths = {name: place for name, place in request.inputs.items() if name not in looked_up}
    lay, came = (original.input_paths, original.input_origins) if original else ({}, {})
    return new_rerun(
        target,
        original,
        resources=_resources(fields),
        stop_after=request.stop_after,
        input_paths={name: path for name, path in lay.items() if name not in looked_up} | paths,
        input_origins={name: origin for name, origin in came.items() if name not in paths}
        | {name: one.origin for name, one in looked_up.items()},
    )
