"""Writes an image as one tar for `docker load`, in a form that every engine takes.

It holds `manifest.json`, which alone fails on containerd's store, and an OCI layout, which alone fails on
overlay2 (measured on Engine 20.10 and 28.5). The thin form leaves out layers that the engine has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import StoreError
from orchestrator.image.assembly import tar
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import MEDIA_MANIFEST, BaseRef, Layer, LayerKind
from orchestrator.settings import Settings

_BLOBS = "blobs/sha256"
# The full form of a name without a host, by which containerd's store looks images up.
_FULL_NAME = "docker.io/library"


class Loadable(Protocol):
    """What an archive is made of: a job's image, or a base."""

    @property
    def digest(self) -> Digest: ...
    @property
    def config_digest(self) -> Digest: ...
    @property
    def manifest(self) -> bytes: ...
    @property
    def config(self) -> bytes: ...
    @property
    def layers(self) -> tuple[Layer, ...]: ...
    @property
    def base(self) -> BaseRef: ...
    @property
    def tag(self) -> str: ...


def thin_archive(image: Loadable, held: int | None = None) -> Iterator[bytes]:
    """The archive without the image's first `held` layers, which the engine has; by default the base's.

    Bytes in pieces, for a request's body. Not every engine checks what was left out: verify the image after
    the load (ID, layers, no error in the stream). StoreError: a layer is not on this box.
    """
    if held is None:
        held = sum(layer.kind is LayerKind.BASE for layer in image.layers)
    return _archive(image, {layer.digest: layer for layer in image.layers[held:]})


def full_archive(settings: Settings, image: Loadable) -> Iterator[bytes]:
    """The archive with all layers, from this box's layout. StoreError names the first missing one."""
    layout = ImageLayout(settings.layout)
    return _archive(
        image,
        {item.digest: item.model_copy(update={"path": layout.path(item.digest)}) for item in image.layers},
    )


def _archive(image: Loadable, layers: dict[Digest, Layer]) -> Iterator[bytes]:
    blobs: list[tuple[Layer, Path]] = []
    for layer in layers.values():  # checked before the first byte, so that no archive breaks off
        if layer.path is None or not layer.path.is_file() or layer.path.stat().st_size != layer.size:
            raise StoreError(
                f"layer {layer.title or layer.kind} ({layer.digest}, {layer.size} bytes) is not on this box",
                f"it is of the base {image.base.name}: build or pin that again"
                if layer.kind is LayerKind.BASE
                else "build the image again from its spec",
            )
        blobs.append((layer, layer.path))
    return _stream(image, blobs)


def _stream(image: Loadable, blobs: list[tuple[Layer, Path]]) -> Iterator[bytes]:
    small = {
        **descriptors(image),
        blob_name(image.digest): image.manifest,
        blob_name(image.config_digest): image.config,
    }
    for name, data in small.items():
        yield tar.header(tar.Member(name, data))
        yield data + bytes(-len(data) % tar.BLOCK)
    for layer, path in blobs:
        with path.open("rb") as stream:
            span = tar.Span(stream.fileno(), 0, layer.size)
            yield tar.header(tar.Member(blob_name(layer.digest), span))
            yield from tar.read_span(span)
            yield bytes(-layer.size % tar.BLOCK)
    yield bytes(2 * tar.BLOCK)


def descriptors(image: Loadable, annotations: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """Name -> bytes of the files by which engines find the image. `annotations` are the index's."""
    return {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": canonical_json(_index(image, annotations or {})),
        "manifest.json": canonical_json([_docker_manifest(image)]),
    }


def _index(image: Loadable, annotations: Mapping[str, str]) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        **({"annotations": dict(annotations)} if annotations else {}),
        "manifests": [
            {
                "mediaType": MEDIA_MANIFEST,
                "digest": image.digest,
                "size": len(image.manifest),
                "platform": {"architecture": "amd64", "os": "linux"},
                "annotations": {
                    "io.containerd.image.name": f"{_FULL_NAME}/{image.tag}",
                    "org.opencontainers.image.ref.name": image.tag.partition(":")[2],
                },
            }
        ],
    }


def _docker_manifest(image: Loadable) -> dict[str, object]:
    return {
        "Config": blob_name(image.config_digest),
        "RepoTags": [image.tag],
        "Layers": [blob_name(layer.digest) for layer in image.layers],
    }


def blob_name(digest: Digest) -> str:
    return f"{_BLOBS}/{digest.hex}"
