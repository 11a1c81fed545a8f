"""Reading an image of ours back: all that a rerun needs is in its config."""

from __future__ import annotations

import json

from pydantic import ValidationError

from orchestrator.errors import UsageError
from orchestrator.image.model import (
    ASSEMBLY_VERSION,
    LABEL_ASSEMBLY,
    LABEL_BASE,
    LABEL_PACKAGES,
    LABEL_PROGRAM,
    BaseRef,
)
from orchestrator.spec.program import Program


def describe(config: bytes) -> tuple[Program, BaseRef, dict[str, str]]:
    """The program, the base and the job's own packages of an image, from its config's bytes.

    UsageError: the image is not one of ours, or one of a version that this Reprise does not know. The
    labels are only as good as the bytes: the caller has checked them against the digest.
    """
    try:
        settings = json.loads(config)["config"]
        labels = settings["Labels"] or {}
        version = labels[LABEL_ASSEMBLY]
    except (ValueError, KeyError, TypeError):
        raise UsageError("the image was not assembled by Reprise: its labels are missing") from None
    if version != ASSEMBLY_VERSION:
        raise UsageError(
            f"the image has assembly version {version!r}, this Reprise knows {ASSEMBLY_VERSION!r}",
            "use the release of Reprise that made it",
        )
    try:
        program = Program.from_label(labels[LABEL_PROGRAM])
        base = BaseRef.model_validate_json(labels[LABEL_BASE])
        packages = dict(json.loads(labels[LABEL_PACKAGES]))
        command = tuple(settings["Cmd"])
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"the image's labels cannot be read: {str(error).splitlines()[0]}") from None
    if command != program.command:
        raise UsageError("the image's command is not that of its program: it was changed after assembly")
    return program, base, packages
