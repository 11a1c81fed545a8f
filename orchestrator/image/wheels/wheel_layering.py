"""Decides which wheels go into which layer, and finds layers that were made before.

A wheel file over LARGE bytes is a layer of its own, which all jobs with it share; the others are one layer.
An index entry says what a layer was made from. Another says that a set of layers has no collisions. So a
known lock costs two small reads and no unpacking.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import UsageError
from orchestrator.image.assembly import tar
from orchestrator.image.assembly.layers import ROOTS, made_layer
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import ASSEMBLY_VERSION, Layer, LayerKind, PythonFacts

if TYPE_CHECKING:
    from orchestrator.image.wheels.fetch_wheels import WheelFile
    from orchestrator.image.wheels.unpack_wheel import Unpacked

LARGE = 64 << 20  # bytes of the wheel file, as it was fetched

Group = tuple[LayerKind, tuple["WheelFile", ...]]


def wheel_layers(
    layout: ImageLayout, wheels: tuple[WheelFile, ...], python: PythonFacts
) -> tuple[Layer, ...]:
    """The layers of a job's wheels, large ones first, sorted by name; layers that exist are used again.

    UsageError: two wheels of one name, colliding files, a malformed wheel.
    """
    groups = _groups(wheels)
    keys = [_key(group, python) for group in groups]
    set_key = _digest(["wheel-set", *keys])
    known = [layer for key in keys if (layer := _known(layout, key)) is not None]
    if len(known) == len(groups) and layout.read_index(set_key) is not None:
        return tuple(known)
    layers: list[Layer] = []
    files: dict[str, Unpacked] = {}
    for group, key in zip(groups, keys, strict=True):
        layer = _known(layout, key) or _make(layout, group, key, python)
        _merge_known(files, layout.read_index(f"{key}.files"))
        layers.append(layer)
    _check_folders(files)
    layout.write_index(set_key, keys)
    return tuple(layers)


def _groups(wheels: tuple[WheelFile, ...]) -> list[Group]:
    ordered = sorted(wheels, key=lambda wheel: wheel.name)
    for one, two in itertools.pairwise(ordered):
        if one.name == two.name:
            raise UsageError(f"two wheels for {one.name}: {one.filename}, {two.filename}")
    large = [(LayerKind.WHEEL, (wheel,)) for wheel in ordered if wheel.size > LARGE]
    small = tuple(wheel for wheel in ordered if wheel.size <= LARGE)
    return [*large, *([(LayerKind.WHEELS, small)] if small else [])]


def _key(group: Group, python: PythonFacts) -> str:
    """Everything that the layer's bytes depend on. File names include package names and versions."""
    kind, wheels = group
    files = [[wheel.filename, wheel.digest] for wheel in wheels]
    return _digest([ASSEMBLY_VERSION, kind, python.executable, files])


def _digest(value: Any) -> str:
    return Digest.of(canonical_json(value)).hex


def _known(layout: ImageLayout, key: str) -> Layer | None:
    """The layer that was made before, if its blob is here in full length."""
    entry = layout.read_index(key)
    try:
        digest, size = Digest(entry["digest"]), int(entry["size"])
        kind, title = LayerKind(entry["kind"]), str(entry["title"])
    except (TypeError, KeyError, ValueError):
        return None
    return made_layer(layout, kind, title, digest, size) if layout.has(digest, size) else None


def _make(layout: ImageLayout, group: Group, key: str, python: PythonFacts) -> Layer:
    from orchestrator.image.wheels.unpack_wheel import entries, merge, new_spool, unpack_wheel

    kind, wheels = group
    title = wheels[0].filename.removesuffix(".whl") if kind is LayerKind.WHEEL else f"{len(wheels)} wheels"
    files: dict[str, Unpacked] = {}
    with new_spool(layout.folder) as spool:
        for wheel in wheels:
            merge(files, unpack_wheel(wheel, python.executable, spool))
        digest, size = layout.put_chunks(tar.tar_chunks(entries(files), ROOTS))
    listing = {path: [file.mode, file.sha256, file.owner] for path, file in files.items()}
    layout.write_index(f"{key}.files", listing)
    layout.write_index(key, {"digest": digest, "size": size, "kind": kind, "title": title})
    return made_layer(layout, kind, title, digest, size)


def _merge_known(into: dict[str, Unpacked], listing: dict[str, Any]) -> None:
    from orchestrator.image.wheels.unpack_wheel import Unpacked, merge

    nowhere = tar.Span(-1, 0, 0)
    merge(into, {path: Unpacked(nowhere, *facts) for path, facts in listing.items()})


def _check_folders(files: dict[str, Unpacked]) -> None:
    """No path may be a file in one layer and a folder in another."""
    tar.check_entries(tar.Member(path) for path in files)
