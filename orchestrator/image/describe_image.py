"""Reads an image of ours back: its config holds all that a rerun needs."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import ValidationError

from orchestrator.errors import UsageError
from orchestrator.image import determinism_settings, payload_releases
from orchestrator.image.image_model import (
    ASSEMBLY_VERSION,
    LABEL_ASSEMBLY,
    LABEL_BASE,
    LABEL_PACKAGES,
    LABEL_PAYLOAD,
    LABEL_PROGRAM,
    LABEL_SETTINGS,
    BaseRef,
    Numbers,
)
from orchestrator.spec.program import Program


def describe(config: bytes) -> tuple[Program, BaseRef, dict[str, str]]:
    """The program, the base and the job's own packages of an image, from its config's bytes.

    UsageError: the image is not one of ours, or of a version that this Reprise does not know. The caller has
    checked the bytes against the digest.
    """
    try:
        settings = json.loads(config)["config"]
        labels = dict(settings["Labels"] or {})
        command = tuple(settings["Cmd"] or ())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UsageError("the image was not assembled by Reprise: its config is of another shape") from None
    found = describe_labels(labels)
    if command != found[0].command:
        raise UsageError("the image's command is not that of its program: it was changed after assembly")
    return found


def describe_labels(labels: Mapping[str, str]) -> tuple[Program, BaseRef, dict[str, str]]:
    """As `describe`, from the labels alone, as an engine shows them."""
    version = labels.get(LABEL_ASSEMBLY)
    if version is None:
        raise UsageError("the image was not assembled by Reprise: its labels are missing")
    if version != ASSEMBLY_VERSION:
        raise UsageError(
            f"the image has assembly version {version!r}, this Reprise knows {ASSEMBLY_VERSION!r}",
            "use the release of Reprise that made it",
        )
    numbers_of(labels)
    try:
        program = Program.from_label(labels[LABEL_PROGRAM])
        base = BaseRef.model_validate_json(labels[LABEL_BASE])
        packages = dict(json.loads(labels[LABEL_PACKAGES]))
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"the image's labels cannot be read: {str(error).splitlines()[0]}") from None
    return program, base, packages


def numbers_of(labels: Mapping[str, str]) -> Numbers:
    """Which settings and which payload an image was made with, from its labels.

    UsageError for one that this release does not know: it came later.
    """
    found = []
    for label, known in (
        (LABEL_SETTINGS, determinism_settings.SETS),
        (LABEL_PAYLOAD, payload_releases.DIGESTS),
    ):
        text = labels.get(label)
        number = next((one for one in known if str(one) == text), None)
        if number is None:
            raise UsageError(
                f"the image's {label} is {text!r}, this Reprise knows {', '.join(map(str, sorted(known)))}",
                "use the release of Reprise that made it, or a later one",
            )
        found.append(number)
    return Numbers(settings=found[0], payload=found[1])
