"""Assembles base, wheels, payload, source and program into one image with one digest.

The config holds the program, layers hold the rest. So a new parameter writes a config and a manifest but no
layer, and a change of code writes only the last layer. Nothing depends on the box or the time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import UsageError
from orchestrator.image import determinism_settings
from orchestrator.image import payload_releases as payloads
from orchestrator.image.assembly.layers import runtime_layer, source_layer
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import (
    ASSEMBLY_VERSION,
    JOB_USER,
    LABEL_ASSEMBLY,
    LABEL_BASE,
    LABEL_PACKAGES,
    LABEL_PAYLOAD,
    LABEL_PROGRAM,
    LABEL_SETTINGS,
    MEDIA_CONFIG,
    MEDIA_MANIFEST,
    REPORT,
    RUNTIME,
    SCRIPTS,
    SITE,
    SOURCE,
    WORKSPACE,
    Base,
    Image,
    Layer,
    Numbers,
)
from orchestrator.image.wheels.wheel_layering import wheel_layers
from orchestrator.settings import Settings
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import SourceTree

if TYPE_CHECKING:
    from orchestrator.image.wheels.fetch_wheels import WheelFile

CREATED = "1980-01-02T00:00:00Z"  # the real time is in the record
ENTRY = f"{RUNTIME}/entry.py"

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A loader or a container toolkit reads these before any check of ours runs (CVE-2025-23266).
NOT_FOR_JOBS = ("LD_", "NVIDIA_", "REPRISE_")


def assemble(
    settings: Settings,
    base: Base,
    program: Program,
    source: SourceTree,
    wheels: tuple[WheelFile, ...] = (),
    files: Mapping[str, bytes] | None = None,
) -> Image:
    """The image of a program over a base; its new layers, config and manifest are in the layout.

    `files` are a payload's, by default those of the newest.
    UsageError: a source, wheel or variable that may not go into an image. StoreError: disk.
    """
    layout = ImageLayout(settings.layout)
    layers = (
        *base.layers,
        *wheel_layers(layout, wheels, base.python),
        runtime_layer(layout, base.python, payloads.payload() if files is None else files),
        source_layer(layout, source),
    )
    packages = {wheel.name: wheel.version for wheel in wheels}
    config, manifest = documents(base, program, packages, layers)
    config_digest = layout.put_bytes(config)  # before what names it
    return Image(
        digest=layout.put_bytes(manifest),
        config_digest=config_digest,
        manifest=manifest,
        config=config,
        layers=layers,
        base=base.ref,
        program=program,
        packages=packages,
        numbers=newest(),
    )


def newest() -> Numbers:
    """What images are made with now."""
    return Numbers(settings=determinism_settings.NEWEST, payload=payloads.NEWEST)


def documents(
    base: Base,
    program: Program,
    packages: Mapping[str, str],
    layers: tuple[Layer, ...],
    numbers: Numbers | None = None,
) -> tuple[bytes, bytes]:
    """The exact bytes of config and manifest. Pure: from the layers anybody can compute the digest again.

    `numbers` are those of the image that is made again; by default the newest.
    """
    config = canonical_json(_config(base, program, packages, layers, numbers or newest()))
    return config, manifest_of(config, layers)


def _config(
    base: Base,
    program: Program,
    packages: Mapping[str, str],
    layers: tuple[Layer, ...],
    numbers: Numbers,
) -> dict[str, Any]:
    environment = _environment(base, program, packages, numbers.settings)
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": {
            "Cmd": list(program.command),
            "Entrypoint": [base.python.executable, "-I", ENTRY],
            "Env": [f"{name}={environment[name]}" for name in sorted(environment)],
            "Labels": {
                LABEL_ASSEMBLY: ASSEMBLY_VERSION,
                LABEL_BASE: canonical_json(base.ref.model_dump(mode="json")).decode(),
                LABEL_PACKAGES: canonical_json(packages).decode(),
                LABEL_PAYLOAD: str(numbers.payload),
                LABEL_PROGRAM: program.to_label(),
                LABEL_SETTINGS: str(numbers.settings),
            },
            "User": f"{JOB_USER}:{JOB_USER}",
            "WorkingDir": WORKSPACE,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": CREATED, "created_by": f"reprise: {layer.title}"} for layer in layers],
    }


def manifest_of(config: bytes, layers: tuple[Layer, ...]) -> bytes:
    """The manifest of a config and its layers."""
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_MANIFEST,
            "config": {"mediaType": MEDIA_CONFIG, "digest": Digest.of(config), "size": len(config)},
            "layers": [
                {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
                for layer in layers
            ],
        }
    )


def _environment(base: Base, program: Program, packages: Mapping[str, str], settings: int) -> dict[str, str]:
    """Base, then settings, then the job's own, then what the payload reads. The later one wins."""
    refused = sorted(name for name in program.env if name.startswith(NOT_FOR_JOBS))
    if refused:
        raise UsageError(
            f"env may not set {', '.join(refused)}",
            f"names that start with {', '.join(NOT_FOR_JOBS)} belong to the base and to Reprise",
        )
    found = base_environment(base.config)
    folders = [
        SCRIPTS,
        str(Path(base.python.executable).parent),
        *found.get("PATH", _DEFAULT_PATH).split(":"),
    ]
    found["PATH"] = ":".join(dict.fromkeys(folders))
    asked = program.determinism
    found |= determinism_settings.SETS[settings](
        level=asked.level.value,
        threads=asked.threads,
        portable_cpu=asked.portable_cpu,
        seed=program.seed,
        numpy=packages.get("numpy") or base.python.packages.get("numpy"),
        trace=(asked.trace.tensors.value, asked.trace.every),
    )
    found |= program.env
    return found | {
        "REPRISE_LEVEL": asked.level.value,
        "REPRISE_PARAMS": canonical_json(program.params).decode(),
        "REPRISE_REPORT": REPORT,
        "REPRISE_SEED": str(program.seed),
        "REPRISE_SITE": SITE,
        "REPRISE_SOURCE": SOURCE,
    }


def base_environment(config: bytes) -> dict[str, str]:
    """The environment that a base's config sets."""
    pairs = (json.loads(config).get("config") or {}).get("Env") or []
    return dict(pair.partition("=")[::2] for pair in pairs)
