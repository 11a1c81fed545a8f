"""Writes the manifest and config of a base: canonical JSON, one fixed time, no trace of the builder."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Iterable
from contextlib import nullcontext
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

from orchestrator.digest import canonical_json, chunks_of
from orchestrator.errors import StoreError
from orchestrator.image.assembly.assemble import CREATED, manifest_of
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Layer, LayerKind
from orchestrator.settings import Settings


class Parts(NamedTuple):
    """A base's exact bytes; its layers are in the layout."""

    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]


def made_config(settings: dict[str, Any], layers: tuple[Layer, ...]) -> bytes:
    """The config of a base that we made: environment and command from the built image's settings, our layers.

    LD_* is dropped: nvidia/cuda sets LD_LIBRARY_PATH to folders that do not exist, and no base may set
    variables that change the libraries of every program (make_base.py refuses them).
    """
    environment = [pair for pair in settings.get("Env") or [] if not pair.startswith("LD_")]
    return canonical_json(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": CREATED,
            "config": {"Cmd": settings.get("Cmd"), "Env": sorted(environment)},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": CREATED, "created_by": f"reprise: {layer.title}"} for layer in layers],
        }
    )


def saved_parts(settings: Settings, archive: Iterable[bytes]) -> Parts:
    """Manifest, config and layers of the one image in a `docker save` archive; the layers go to the layout.

    The config is the engine's own; the manifest is ours, over the uncompressed layers. StoreError: the
    archive holds no image, or layers other than its config names.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=settings.home) as spool:
        for chunk in archive:
            spool.write(chunk)
        spool.seek(0)
        try:
            with tarfile.open(fileobj=spool, mode="r:") as opened:
                (entry,) = json.loads(_member(opened, "manifest.json").read())
                config = _member(opened, entry["Config"]).read()
                layers = tuple(_store(settings, opened, name) for name in entry["Layers"])
        except (tarfile.TarError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"the engine saved something that is not one image: {error}") from error
    named = json.loads(config)["rootfs"]["diff_ids"]
    if [layer.diff_id for layer in layers] != named:
        raise StoreError("the engine saved layers other than the image's config names")
    return Parts(manifest_of(config, layers), config, layers)


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    stream = archive.extractfile(name)  # follows links: equal layers are saved once
    if stream is None:
        raise KeyError(name)
    return stream


def _store(settings: Settings, archive: tarfile.TarFile, name: str) -> Layer:
    layout = ImageLayout(settings.layout)
    with _member(archive, name) as stream:
        packed = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        with gzip.open(stream) if packed else nullcontext(stream) as plain:
            digest, size = layout.put_chunks(chunks_of(plain))
    return Layer(kind=LayerKind.BASE, digest=digest, diff_id=digest, size=size, path=layout.path(digest))
