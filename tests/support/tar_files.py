"""What a layer holds."""

from __future__ import annotations

import io
import tarfile

from orchestrator.image.image_model import Layer


def _opened(layer: Layer | bytes) -> tarfile.TarFile:
    if isinstance(layer, bytes):
        return tarfile.open(fileobj=io.BytesIO(layer))
    assert layer.path is not None
    return tarfile.open(layer.path)


def members(layer: Layer | bytes) -> dict[str, tarfile.TarInfo]:
    """Its entries by path."""
    with _opened(layer) as archive:
        return {info.name: info for info in archive}


def content(layer: Layer | bytes, name: str) -> bytes:
    """One file's bytes."""
    with _opened(layer) as archive:
        stream = archive.extractfile(name)
        assert stream is not None
        return stream.read()
