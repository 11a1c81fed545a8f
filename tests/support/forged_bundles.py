"""Bundles that no export wrote: genuine ones with another run, another image, another anything in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.digest import Digest
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Image
from orchestrator.image.stored_image import image_of
from orchestrator.launch.bundles.bundle_archive import Piece, open_archive, write_archive
from orchestrator.launch.bundles.bundle_form import Bundle, in_order, index_files
from orchestrator.launch.watch import Silent
from orchestrator.record.schema.columns import document

NOWHERE = ImageLayout(Path("/nowhere"))


def parts(path: Path) -> tuple[Bundle, dict[Digest, bytes]]:
    """A small bundle in memory."""
    blobs: dict[Digest, bytes] = {}
    with open_archive(path) as archive:
        bundle = archive.bundle
        for number, (digest, size) in enumerate(bundle.blobs):
            if number == len(bundle.first):
                archive.expect_files(index_files(_image(bundle, blobs), archive.document))
            with archive.blob(digest, size) as stream:
                blobs[digest] = b"".join(iter(lambda: stream.read(1 << 20), b""))
    return bundle, blobs


def _image(bundle: Bundle, blobs: dict[Digest, bytes]) -> Image:
    return image_of(NOWHERE, blobs[bundle.image], blobs[bundle.config])


def with_run(source: Path, target: Path, change: Callable[[Any], None], extra: bytes = b"") -> None:
    """The bundle with the first run's document changed, and one more blob, which the run may name."""
    bundle, blobs = parts(source)
    item = json.loads(blobs[bundle.runs[0]])
    change(item)
    data = document(item).encode()
    kept = {digest: blob for digest, blob in blobs.items() if digest not in bundle.runs}
    kept[Digest.of(data)] = data
    if extra:
        kept[Digest.of(extra)] = extra
    named = data.decode()
    of_image = {bundle.image, bundle.config, *(layer.digest for layer in _image(bundle, blobs).layers)}
    kept = {one: blob for one, blob in kept.items() if one in of_image or one in named or blob is data}
    draft = bundle.model_copy(update={"runs": (Digest.of(data),), "blobs": ()})
    _write(target, draft, kept, _image(bundle, blobs))


def with_config(source: Path, target: Path, change: Callable[[Any], None]) -> None:
    """The bundle's image alone, under another config with the same labels."""
    bundle, blobs = parts(source)
    config, manifest = json.loads(blobs[bundle.config]), json.loads(blobs[bundle.image])
    change(config["config"])
    data = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    manifest["config"] |= {"digest": Digest.of(data), "size": len(data)}
    head = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    layers = {layer["digest"] for layer in manifest["layers"]}
    kept = {digest: blob for digest, blob in blobs.items() if digest in layers}
    kept |= {Digest.of(data): data, Digest.of(head): head}
    named = {"image": Digest.of(head), "config": Digest.of(data), "runs": (), "blobs": ()}
    _write(target, bundle.model_copy(update=named), kept, image_of(NOWHERE, head, data))


def _write(target: Path, draft: Bundle, kept: dict[Digest, bytes], image: Image) -> None:
    sizes = {digest: len(data) for digest, data in kept.items()}
    bundle = draft.model_copy(update={"blobs": in_order(draft.first, sizes)})
    pieces = {digest: Piece.of(data, str(digest)) for digest, data in kept.items()}
    write_archive(target, bundle, index_files(image, bundle.to_bytes()), pieces, Silent())
