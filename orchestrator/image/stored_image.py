"""Finds an image that was assembled on this box before, by its digest."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.digest import Digest
from orchestrator.errors import StoreError, UsageError
from orchestrator.image.describe_image import describe, numbers_of
from orchestrator.image.image_check import check_image
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import MEDIA_MANIFEST, Image, Layer, LayerKind
from orchestrator.settings import Settings

MAX_MANIFEST = 4 << 20  # bytes; what registries accept


def stored_image(settings: Settings, digest: str) -> Image | None:
    """The image with this manifest digest, which may be shortened; None if this box never assembled it.

    UsageError where a shortened digest fits several images, or one is not what its program gives. Layers
    whose blobs are gone have no path.
    """
    layout = ImageLayout(settings.layout)
    found = [one for one in layout.find(digest.removeprefix("sha256:")) if _is_job(layout, one)]
    if len(found) > 1:
        names = ", ".join(one[:23] for one in found[:4])
        raise UsageError(f"{digest} fits {len(found)} images: {names}", "give more digits")
    if not found:
        return None
    manifest = layout.read(found[0])
    image = image_of(layout, manifest, layout.read(Digest(json.loads(manifest)["config"]["digest"])))
    check_image(settings, image)
    return image


def _is_job(layout: ImageLayout, digest: Digest) -> bool:
    """Whether a blob is the manifest of an image of ours, and not a base's, a layer or a config."""
    try:
        if layout.path(digest).stat().st_size > MAX_MANIFEST:
            return False
        value = json.loads(layout.read(digest))
        if value["mediaType"] != MEDIA_MANIFEST:
            return False
        describe(layout.read(Digest(value["config"]["digest"])))
    except (FileNotFoundError, ValueError, KeyError, TypeError, StoreError, UsageError, RecursionError):
        return False
    return True


def image_of(layout: ImageLayout, manifest: bytes, config: bytes) -> Image:
    """The image that these bytes describe. Layers whose blobs are not in the layout have no path.

    Not yet checked to be what its program gives (image_check.py). UsageError: not an image of ours.
    StoreError: manifest and config do not belong together.
    """
    program, base, packages = describe(config)
    try:
        parsed = json.loads(manifest)
        layers = _layers(layout, parsed, json.loads(config))
        config_digest = Digest(parsed["config"]["digest"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise StoreError(f"{Digest.of(manifest)}: not the manifest of an image of ours: {error!r}") from None
    if config_digest != Digest.of(config):
        raise StoreError(f"{Digest.of(manifest)} names config {config_digest}, not {Digest.of(config)}")
    return Image(
        digest=Digest.of(manifest),
        config_digest=config_digest,
        manifest=manifest,
        config=config,
        layers=layers,
        base=base,
        program=program,
        packages=packages,
        numbers=numbers_of(json.loads(config)["config"]["Labels"]),
    )


def _layers(layout: ImageLayout, manifest: dict[str, Any], config: dict[str, Any]) -> tuple[Layer, ...]:
    titles = [entry["created_by"].removeprefix("reprise: ") for entry in config["history"]]
    return tuple(
        Layer(
            kind=_kind(title),
            digest=Digest(entry["digest"]),
            diff_id=Digest(diff_id),
            size=_size(entry["size"]),
            media_type=entry["mediaType"],
            title=title,
            path=layout.path(blob) if layout.has(blob := Digest(entry["digest"]), entry["size"]) else None,
        )
        for entry, diff_id, title in zip(
            manifest["layers"], config["rootfs"]["diff_ids"], titles, strict=True
        )
    )


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"no size: {value!r:.40}")
    return value


def _kind(title: str) -> LayerKind:
    """The kind, from the titles that the room's other modules give."""
    first, last = title.split()[0].rstrip(","), title.split()[-1]
    for kind in (LayerKind.BASE, LayerKind.RUNTIME, LayerKind.SOURCE):
        if first == kind:
            return kind
    return LayerKind.WHEELS if last == LayerKind.WHEELS else LayerKind.WHEEL
