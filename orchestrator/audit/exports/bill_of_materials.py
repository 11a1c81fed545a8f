"""The bill of materials of an image, as CycloneDX 1.6 JSON; the same image and run give the same bytes.

What is known is in it: the base by digest, every Python distribution that a run's container really had, and
the layers. It says what is not recorded one by one: the operating system's packages, which the base's digest
pins, and the hashes of wheels, whose bytes the layers' digests pin.
"""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

from orchestrator import __version__
from orchestrator.audit.exports.purl import purl
from orchestrator.launch.submit.rerun_target import Target

SPEC = "1.6"
_SPACE = uuid.UUID("2b7c54b0-0f0c-5e0e-9c39-6a2d0f9f3c11")  # ours: for serial numbers out of digests


def sbom(target: Target) -> bytes:
    """The bill of an image, and where a run of it is recorded, of what that run's container held."""
    digest = target.image.digest
    run = target.original
    found = dict(run.packages) if run is not None and run.packages else {}
    # A run names a distribution as its metadata does, an image as its wheel's file: one component.
    named = [*found.items(), *target.packages.items()]
    packages = {purl(name, version): (name, version) for name, version in reversed(named)}
    base = target.image.base
    components = [
        {
            "type": "container",
            "bom-ref": str(base.digest),
            "name": f"base {base.name}",
            "version": str(base.digest),
            "hashes": [{"alg": "SHA-256", "content": base.digest.hex}],
        },
        *(_package(at, *packages[at]) for at in sorted(packages)),
    ]
    depends = [component["bom-ref"] for component in components]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, digest + (run.id if found and run else ''))}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "reprise", "version": __version__}],
            },
            "component": {
                "type": "container",
                "bom-ref": str(digest),
                "name": target.program.name,
                "version": str(digest),
                "purl": f"pkg:oci/{quote(target.program.name.lower(), safe='')}@{quote(digest, safe='')}",
                "hashes": [{"alg": "SHA-256", "content": digest.hex}],
                "properties": _properties(target, bool(found)),
            },
        },
        "components": components,
        "dependencies": [
            {"ref": str(digest), "dependsOn": depends},
            *({"ref": ref} for ref in depends),
        ],
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def _package(at: str, name: str, version: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": at, "name": name, "version": version, "purl": at}


def _properties(target: Target, found: bool) -> list[dict[str, str]]:
    layers = [
        {"name": f"reprise:layer:{number}", "value": f"{layer.kind.value} {layer.digest}"}
        for number, layer in enumerate(target.image.layers)
    ]
    known = "found in the container of a run" if found else "of the job's wheels only: no run is recorded"
    return [
        {"name": "reprise:config", "value": str(target.image.config_digest)},
        {"name": "reprise:packages", "value": known},
        {"name": "reprise:package-hashes", "value": "not listed; pinned by the layers' digests"},
        {"name": "reprise:os-packages", "value": "not listed; pinned by the base's digest"},
        *layers,
    ]
