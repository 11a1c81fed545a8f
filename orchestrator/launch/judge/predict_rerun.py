"""predict: what may be expected of a rerun on this box; nothing is built, loaded, recorded or started."""

from __future__ import annotations

from orchestrator.errors import EngineMissingError, UsageError
from orchestrator.launch.session import Session
from orchestrator.launch.submit.rerun_run import RerunRequest, refuse_ignored
from orchestrator.launch.submit.rerun_target import resolve
from orchestrator.record.run_record import RunRecord
from orchestrator.run.hardware import Gpu, box_id, choose_gpus, gpus, host_bits
from orchestrator.spec.jobfile.job_spec import Resources
from orchestrator.verdict.predict_bits import Prediction, cannot_run, gpu_names, predict, unknown


def predict_rerun(session: Session, request: RerunRequest) -> Prediction:
    """The box against the run that a rerun would be compared with. No engine is needed for a recorded run.

    GPUs are chosen as a rerun would choose them. UsageError: no such run or image.
    """
    original = _original(session, request)
    if original is None:
        return unknown("this box knows no successful run of this digest, so there is nothing to compare with")
    refuse_ignored(original.program, request)
    here = gpus() if original.program.gpus else ()
    found = predict_on_box(original, request, here, box_id(session.settings))
    past = _earlier_reruns(session, original)
    return found.model_copy(update={"reasons": (*found.reasons, past)}) if past else found


def _earlier_reruns(session: Session, original: RunRecord) -> str:
    """What became of earlier reruns: one that differed says more than any class of hardware."""
    outcomes = session.record.history.outcomes_of_reruns(original.id)
    said = [f"{times} {outcome.replace('_', ' ')}" for outcome, times in sorted(outcomes.items())]
    return f"earlier reruns of it: {', '.join(said)}" if said else ""


def predict_on_box(original: RunRecord, request: RerunRequest, here: tuple[Gpu, ...], box: str) -> Prediction:
    """What may be expected of a rerun on a box with these GPUs."""
    resources = Resources.model_validate(original.resources.model_dump() | request.resources)
    try:
        used = choose_gpus(resources, here)
    except UsageError as error:
        known = original.fingerprint.bit_class if original.fingerprint else {}
        there = gpu_names(known.get("gpus") or [])
        found = cannot_run(original, error.message, there, ", ".join(gpu.name for gpu in here) or "none")
        return found.model_copy(update={"same_box": original.box == box})
    found = predict(original, host_bits(used), box)
    better = None if found.same else _better(original, resources, here)
    if better is None:
        return found
    advice = f"this box has GPUs of the original's class: --gpu {better!r} asks for them"
    return found.model_copy(update={"reasons": (*found.reasons, advice)})


def _better(original: RunRecord, resources: Resources, here: tuple[Gpu, ...]) -> str | None:
    """A GPU model of this box with which it would be of the same class."""
    for model in sorted({gpu.name for gpu in here}):
        fitting = tuple(gpu for gpu in here if gpu.name == model)[: resources.gpus]
        if len(fitting) == resources.gpus and predict(original, host_bits(fitting)).same:
            return model
    return None


def _original(session: Session, request: RerunRequest) -> RunRecord | None:
    try:
        target = resolve(session, request.target)
    except EngineMissingError as error:
        raise UsageError(
            f"no image {request.target} here: neither the record nor this box's layers know it, and no"
            " container engine answers that could",
            "`reprise history` shows the runs that this box has recorded",
        ) from error
    if request.against is not None:
        return session.record.run(session.record.find(request.against))
    return target.original
