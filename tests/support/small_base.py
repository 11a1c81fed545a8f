"""A base of one small layer, as an image layout holds it."""

from __future__ import annotations

import io
import tarfile
from typing import Any

from orchestrator.digest import canonical_json
from orchestrator.image.assembly.assemble import manifest_of
from orchestrator.image.base.make_base import base_from_parts
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Base, Layer, LayerKind, PythonFacts


def put_base(
    layout: ImageLayout,
    python: PythonFacts,
    name: str = "cpu",
    config: dict[str, Any] | None = None,
    **top: Any,
) -> Base:
    """`top` is merged into the image's config, and `config` into the `config` in it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("etc/base"))
    digest = layout.put_bytes(data.getvalue())
    layer = Layer(kind=LayerKind.BASE, digest=digest, diff_id=digest, size=len(data.getvalue()))
    described = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/bin:/bin", "BASE=1"], **(config or {})},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
        **top,
    }
    text = canonical_json(described)
    manifest = manifest_of(text, (layer,))
    layout.put_bytes(text)
    layout.put_bytes(manifest)
    return base_from_parts(name, f"lab/{name}:1", manifest, text, None, python)
