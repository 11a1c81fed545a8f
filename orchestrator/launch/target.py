"""What `rerun` and `image` are pointed at: a digest or a run, known here or only to the engine."""

from __future__ import annotations

import re

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.image.describe import describe
from orchestrator.image.model import REPOSITORY, Layer, LayerKind
from orchestrator.image.stored import stored_image
from orchestrator.launch.session import Session
from orchestrator.record.model import ImageFacts, RunRecord
from orchestrator.run.model import State
from orchestrator.spec.program import Program
from orchestrator.value import Value

_HEX = re.compile(r"[0-9a-f]{6,64}\Z")


class Target(Value):
    """An image that can be run again, and the run that a rerun is compared with."""

    image: ImageFacts
    program: Program
    reference: str  # what the engine is asked to run
    original: RunRecord | None


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
    runs = [session.record.run(run) for run in session.record.runs_of_image(text)]
    original = next((run for run in runs if run.state is State.SUCCEEDED), None)
    if runs:
        return _known(session, runs[0].image, original)
    return _from_engine(session, text)


def _known(session: Session, digest: Digest, original: RunRecord | None) -> Target:
    """An image that the record knows: facts from there, the program from the image's own config."""
    facts, program = session.record.image(digest)
    return Target(image=facts, program=program, reference=f"{REPOSITORY}:{digest.hex}", original=original)


def _from_engine(session: Session, text: str) -> Target:
    """An image that only this box's layers or engine know: everything is in its config."""
    image = stored_image(session.settings, text)
    if image is not None:
        facts = ImageFacts(
            digest=image.digest, config_digest=image.config_digest, base=image.base, layers=image.layers
        )
        return Target(image=facts, program=image.program, reference=image.tag, original=None)
    found = session.engine.find_image(text)
    if found is None:
        raise UsageError(
            f"no image {text} here: neither the record, nor the engine, nor this box's layers know it",
            "`reprise history` shows the digests of recorded runs; an image is carried with `docker save`",
        )
    program, base, _ = describe(found.config)
    layers = tuple(
        Layer(kind=LayerKind.BASE, digest=diff_id, diff_id=diff_id, size=0) for diff_id in found.diff_ids
    )
    facts = ImageFacts(digest=found.digest, config_digest=found.config_digest, base=base, layers=layers)
    return Target(image=facts, program=program, reference=found.reference, original=None)
