"""Assembly: base, wheels, runtime, source and program become one digest.

Layers hold bytes, the config holds the program: a new parameter writes a config and a manifest and no
layer, a change of code only the last layer. Nothing of the builder, the box or the time goes in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import UsageError
from orchestrator.image.layers import runtime_layer, source_layer
from orchestrator.image.layout import Layout
from orchestrator.image.model import (
    ASSEMBLY_VERSION,
    JOB_USER,
    LABEL_ASSEMBLY,
    LABEL_BASE,
    LABEL_PACKAGES,
    LABEL_PROGRAM,
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
)
from orchestrator.image.wheellayers import wheel_layers
from orchestrator.settings import Settings
from orchestrator.spec.program import Program
from orchestrator.spec.tree import SourceTree

if TYPE_CHECKING:
    from orchestrator.image.wheels import WheelFile

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
    runtime: Path | None = None,
) -> Image:
    """The image of a program over a base; its new layers, config and manifest are in the layout.

    `runtime` is the folder to take the runtime from, by default the package's own.
    UsageError: a source, wheel or variable that may not go into an image. StoreError: disk.
    """
    layout = Layout(settings.layout)
    layers = (
        *base.layers,
        *wheel_layers(layout, wheels, base.python),
        runtime_layer(layout, base.python, runtime),
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
    )


def documents(
    base: Base, program: Program, packages: Mapping[str, str], layers: tuple[Layer, ...]
) -> tuple[bytes, bytes]:
    """The exact bytes of config and manifest. Pure: whoever has the layers can compute the digest again."""
    config = canonical_json(_config(base, program, packages, layers))
    return config, canonical_json(_manifest(config, layers))


def _config(
    base: Base, program: Program, packages: Mapping[str, str], layers: tuple[Layer, ...]
) -> dict[str, Any]:
    environment = _environment(base, program, packages)
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
                LABEL_PROGRAM: program.to_label(),
            },
            "User": f"{JOB_USER}:{JOB_USER}",
            "WorkingDir": WORKSPACE,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": CREATED, "created_by": f"reprise: {layer.title}"} for layer in layers],
    }


def _manifest(config: bytes, layers: tuple[Layer, ...]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": MEDIA_MANIFEST,
        "config": {"mediaType": MEDIA_CONFIG, "digest": Digest.of(config), "size": len(config)},
        "layers": [
            {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size} for layer in layers
        ],
    }


def _environment(base: Base, program: Program, packages: Mapping[str, str]) -> dict[str, str]:
    """Base, then levers, then the job's own, then what the runtime reads. The later one wins."""
    from orchestrator.runtime.levers import environment as levers

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
    determinism = program.determinism
    found |= levers(
        level=determinism.level.value,
        threads=determinism.threads,
        portable_cpu=determinism.portable_cpu,
        seed=program.seed,
        numpy=packages.get("numpy") or base.python.packages.get("numpy"),
        trace=(determinism.trace.tensors.value, determinism.trace.every),
    )
    found |= program.env
    return found | {
        "REPRISE_LEVEL": determinism.level.value,
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
