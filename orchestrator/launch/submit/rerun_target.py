"""What `rerun` and `image` are pointed at: a digest or a run, known here, to the engine or the registry."""

from __future__ import annotations

import re
from typing import Any

from orchestrator.digest import Digest
from orchestrator.errors import EngineMissingError, UsageError
from orchestrator.image.describe_image import describe_labels
from orchestrator.image.image_check import check_settings
from orchestrator.image.image_model import LABEL_PROGRAM, REPOSITORY, Image, Layer, LayerKind, engine_tag
from orchestrator.image.stored_image import stored_image
from orchestrator.launch.session import Session
from orchestrator.record.run_record import ImageFacts, NewRun, RunRecord
from orchestrator.record.runs.author import person
from orchestrator.run.attempt_model import State
from orchestrator.run.engine.engine import EngineImage
from orchestrator.spec.jobfile.job_spec import Tolerances
from orchestrator.spec.program import Program
from orchestrator.value import Value

_WHOLE = re.compile(r"sha256:[0-9a-f]{64}\Z")
_HEX = re.compile(r"[0-9a-f]{6,64}\Z")


class Target(Value):
    """An image that can be run again, and the run that a rerun is compared with."""

    image: ImageFacts
    program: Program
    packages: dict[str, str]  # the job's own wheels
    reference: str  # what the engine is asked to run
    original: RunRecord | None


def new_rerun(target: Target, original: RunRecord | None, **changes: Any) -> NewRun:
    """One more run of an image, as `original` was asked for. `changes`: fields of NewRun."""
    asked: dict[str, Any] = {"tolerance": Tolerances()}
    if original is not None:
        like = ("resources", "tolerance", "input_paths", "input_origins", "git")
        asked = {"rerun_of": original.id} | {name: getattr(original, name) for name in like}
    of_image: dict[str, Any] = {"program": target.program, "reference": target.reference}
    return NewRun.of(target.image, **of_image, **(asked | {"submitted_by": person()} | changes))


def resolve(session: Session, text: str) -> Target:
    """From `sha256:…` (manifest or config, may be shortened) or a run id. UsageError if nothing fits."""
    if text.startswith("sha256:"):
        return _from_digest(session, text)
    run = session.record.run(session.record.find(text))
    target = _from_digest(session, run.image)
    return target.model_copy(update={"original": run})


def _from_digest(session: Session, text: str) -> Target:
    if not _HEX.match(text.removeprefix("sha256:")):
        raise UsageError(f"not a digest: {text}", "sha256: and at least 6 of its 64 hex digits")
    ids = session.record.history.runs_of_image(text)
    if ids:
        # One at a time: an image may have thousands of runs, and the first one mostly succeeded.
        runs = (session.record.run(run) for run in ids)
        original = next((run for run in runs if run.state is State.SUCCEEDED), None)
        digest = original.image if original else session.record.run(ids[0]).image
        return _known(session, digest, original)
    return _from_engine(session, text)


def _known(session: Session, digest: Digest, original: RunRecord | None) -> Target:
    """An image that the record knows, with its packages where its bytes are still on this box."""
    local = _from_layout(session, digest)
    if local is not None:
        return local.model_copy(update={"original": original})
    facts, program = session.record.image(digest)
    reference = engine_tag(digest)
    return Target(image=facts, program=program, packages={}, reference=reference, original=original)


def _from_layout(session: Session, text: str) -> Target | None:
    image = stored_image(session.settings, text)
    return None if image is None else _target(image)


def _target(image: Image) -> Target:
    return Target(
        image=facts_of(image),
        program=image.program,
        packages=image.packages,
        reference=image.tag,
        original=None,
    )


def _from_engine(session: Session, text: str) -> Target:
    """An image that only this box's layers, its engine or the registry know: all is in its config."""
    local = _from_layout(session, text)
    if local is not None:
        return local
    found = _in_engine(session, text)
    if not found:
        return _from_registry(session, text)
    if len(found) > 1:
        raise UsageError(f"{text} fits {len(found)} images in the engine", "give more digits")
    check_settings(text, session.engine.image_settings(found[0].id))
    return _described(found[0])


def _in_engine(session: Session, text: str) -> list[EngineImage]:
    """With a registry, a machine without an engine can still look at images."""
    try:
        return [image for image in session.engine.images_labelled(LABEL_PROGRAM) if _fits(image, text)]
    except EngineMissingError:
        if session.settings.registry is None:
            raise
        return []


def _from_registry(session: Session, text: str) -> Target:
    place = session.settings.registry
    nowhere = f"no image {text} here: neither the record, nor the engine, nor this box's layers know it"
    if place is None:
        raise UsageError(
            nowhere,
            "`reprise history` shows the digests of recorded runs; an image is carried by a file "
            "(`reprise export`, `reprise import`), or by a registry (REPRISE_REGISTRY)",
        )
    if not _WHOLE.match(text):
        raise UsageError(nowhere, "a registry finds an image by all 64 digits of its digest only")
    from orchestrator.launch.move_images import read_remote

    image = read_remote(session, Digest(text))
    if image is None:
        raise UsageError(
            f"{nowhere}; nor has {place} a manifest of this digest",
            "the box that made it pushes it with `reprise build --push`; `reprise history` shows digests",
        )
    return _target(image)


def _digests(image: EngineImage) -> tuple[str, ...]:
    """Manifest digest (from our own tag) and id; an engine keeps one of config and manifest as its id."""
    tags = [tag.removeprefix(f"{REPOSITORY}:") for tag in image.tags if tag.startswith(f"{REPOSITORY}:")]
    return (*(f"sha256:{tag}" for tag in tags if _HEX.match(tag) and len(tag) == 64), image.id)


def _fits(image: EngineImage, text: str) -> bool:
    return any(digest.startswith(text) for digest in _digests(image))


def _described(image: EngineImage) -> Target:
    """From the labels of an image in the engine. Its tag is ours, and names the manifest."""
    program, base, packages = describe_labels(image.labels)
    manifest = Digest(_digests(image)[0])
    layers = tuple(
        Layer(kind=LayerKind.BASE, digest=Digest(one), diff_id=Digest(one), size=0) for one in image.diff_ids
    )
    facts = ImageFacts(digest=manifest, config_digest=Digest(image.id), base=base, layers=layers)
    return Target(image=facts, program=program, packages=packages, reference=image.id, original=None)


def facts_of(image: Image) -> ImageFacts:
    return ImageFacts(
        digest=image.digest, config_digest=image.config_digest, base=image.base, layers=image.layers
    )
