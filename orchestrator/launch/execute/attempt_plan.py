"""The plan of an attempt, computed by this box from the image's own program and its own settings.

Whoever has the database account can write a run's row. So what a row says of the image, the program and the
plan is only compared: the image is found by its digest, its config is checked, its program is read from its
label. Two things are taken from a stored plan, as far as they fit: which of this box's GPUs the
attempt has, and what `reprise compare --operations` asked the runtime for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from orchestrator.image.describe_image import describe_labels
from orchestrator.image.image_check import check_settings
from orchestrator.image.image_model import BaseRef, Image, engine_tag
from orchestrator.image.stored_image import stored_image
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import OpenRun, RunRecord
from orchestrator.run.attempt_model import Plan
from orchestrator.run.engine.engine_info import EngineInfo
from orchestrator.run.engine.load_image import is_loaded
from orchestrator.run.hardware import Gpu, choose_gpus, home_id
from orchestrator.run.plan import plan_container
from orchestrator.run.workspace import folders_of
from orchestrator.spec.program import Program
from orchestrator.value import Value

# What a stored plan may add to the image's environment: `compare --operations`, and no trace.
_ASKED = {"REPRISE_LOCALISE": re.compile(r"[0-9]{1,9}:[0-9]{1,9}\Z"), "REPRISE_TRACE": re.compile(r"\Z")}


class ImageHere(Value):
    """An image in this box's engine that was checked against its program."""

    reference: str  # what the engine is asked for
    ids: tuple[str, ...]  # by which the engine may call it: config's or manifest's digest
    program: Program
    base: BaseRef
    config_digest: str
    interpreter: str  # absolute path in the image


@dataclass(frozen=True)
class Terms:
    """What the caller sets for one attempt, or has made sure of just now."""

    inputs: Mapping[str, Path] | None = None  # verified just now; None: not yet (checked_inputs.py)
    stamps: Mapping[str, str] | None = None  # of the inputs, from before they were verified
    image: Image | None = None  # seen in the engine just now
    engine: EngineInfo | None = None  # asked about itself just now
    environment: Mapping[str, str] = field(default_factory=dict)  # in addition to the image's own
    visible: str | None = None  # the GPUs that it may use (visible_gpus.py)


def image_here(session: Session, run: RunRecord, watch: Watch, seen: Image | None = None) -> ImageHere:
    """The image of a run in the engine: from this box's layers, the engine itself, or the registry.

    `seen` was in the engine just now. UsageError: it is not what its program gives. InfrastructureError: no
    place has it.
    """
    if seen is not None:
        return _of(seen)
    image = stored_image(session.settings, run.image)
    if image is None:
        known = _in_engine(session, run)
        if known is not None:
            return known
    elif is_loaded(session.engine, image):
        return _of(image)
    from orchestrator.launch.move_images import ensure_here

    return _of(ensure_here(session, run.image, watch))


def _of(image: Image) -> ImageHere:
    return ImageHere(
        reference=image.tag,
        ids=(image.config_digest, image.digest),
        program=image.program,
        base=image.base,
        config_digest=image.config_digest,
        interpreter=json.loads(image.config)["config"]["Entrypoint"][0],
    )


def _in_engine(session: Session, run: RunRecord) -> ImageHere | None:
    """An image that only the engine has: found by our tag, which names its manifest, or by its id."""
    tag = engine_tag(run.image)
    found = session.engine.image(tag)
    reference = tag
    if found is None:
        reference, found = run.image, session.engine.image(run.image)
    if found is None or found.id not in (run.config_digest, run.image):
        return None
    settings = session.engine.image_settings(found.id)
    check_settings(reference, settings)
    program, base, _ = describe_labels(found.labels)
    return ImageHere(
        reference=reference,
        ids=(found.id,),
        program=program,
        base=base,
        config_digest=run.config_digest,
        interpreter=settings["Entrypoint"][0],
    )


def altered(run: RunRecord, image: ImageHere) -> str | None:
    """Why a run's row does not fit its image, in a sentence; None where both name the same program."""
    recorded = (run.program, run.base, run.config_digest)
    if recorded == (image.program, image.base, image.config_digest):
        return None
    return (
        f"the record says of this run what its image {run.image.short} does not: its row was altered, "
        "so it is not executed (`reprise audit` shows more; submit the job again)"
    )


def attempt_plan(
    session: Session,
    run: RunRecord,
    attempt: int,
    image: ImageHere,
    terms: Terms,
    stored: Plan | None,
    gpus: tuple[Gpu, ...],
    info: EngineInfo,
    *,
    unstarted: bool,
) -> Plan:
    """The attempt's plan. `gpus`: those that the attempt may use.

    `unstarted`: the container is not started yet. The inputs, which the caller has verified, are mounted
    then, and GPUs are chosen where the stored plan names none.
    """
    inputs = (terms.inputs or {}) if unstarted else {}
    return plan_container(
        run=run.id,
        attempt=attempt,
        image=image.reference,
        program=image.program,
        resources=run.resources,
        folders=folders_of(session.settings, run.id, attempt),
        inputs=inputs,
        gpus=_used(image.program, run, stored, gpus, unstarted=unstarted),
        engine=info,
        home=home_id(session.settings),
        environment={**_asked(stored), **terms.environment},
    )


def stored_plan(opened: OpenRun) -> Plan | None:
    """The plan in a run's row; None where the row has none that can be read."""
    if opened.plan is None:
        return None
    try:
        return Plan.model_validate_json(opened.plan)
    except (ValidationError, RecursionError):
        return None


def _used(
    program: Program, run: RunRecord, stored: Plan | None, gpus: tuple[Gpu, ...], *, unstarted: bool
) -> tuple[Gpu, ...]:
    if not program.gpus:
        return ()
    named = stored.gpu_uuids if stored is not None else ()
    held = tuple(gpu for gpu in gpus if gpu.uuid in named)
    if len(held) == program.gpus or not unstarted:
        return held
    return choose_gpus(run.resources.model_copy(update={"gpus": program.gpus}), gpus)


def _asked(stored: Plan | None) -> dict[str, str]:
    asked = stored.environment if stored is not None else {}
    return {name: asked[name] for name, form in _ASKED.items() if name in asked and form.match(asked[name])}
