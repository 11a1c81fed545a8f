"""Reads the job's source out of an image's source layer, without unpacking or following a link."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.image.assembly.layers import in_image
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import MEDIA_LAYER, SOURCE, Layer
from orchestrator.value import Value

MAX_LAYER = 2 << 30  # bytes; a source has 1 GiB at most, and each of its files a header
MAX_MEMBERS = 300_000  # a source has 100,000 files at most, and folders
MAX_TEXT = 256 << 10  # bytes of a file that are kept; longer files are compared by their digests


class SourceEntry(NamedTuple):
    """One file or link. `stream` has a file's bytes, or a link's target, until the next one is asked for."""

    path: str  # below the source's folder
    stream: BinaryIO
    size: int  # bytes in the stream
    executable: bool
    symlink: bool


class SourceText(Value):
    """One file or link of a source; only its digest is always known."""

    digest: Digest  # of the bytes; of a link, of its target
    size: int | None = None  # bytes; None: only the digest is known
    data: bytes | None = None  # None: longer than MAX_TEXT, or only the digest is known
    executable: bool = False
    symlink: bool = False


def source_files(layer: Path) -> Iterator[SourceEntry]:
    """The files and links in a source layer's tar, in its order. StoreError: it is not a plain tar."""
    root = f"{in_image(SOURCE)}/"
    try:
        length = layer.stat().st_size
        with tarfile.open(layer, mode="r:", encoding="utf-8") as archive:
            for number, member in enumerate(archive):
                if number >= MAX_MEMBERS:
                    raise tarfile.ReadError(f"more than {MAX_MEMBERS:,} members")
                # A header may announce a terabyte that is not there.
                if member.issparse() or member.offset_data + member.size > length:
                    raise tarfile.ReadError(f"{member.name!r} has no {member.size:,} bytes")
                if member.name.startswith(root) and (member.isreg() or member.issym()):
                    yield _entry(archive, member, member.name.removeprefix(root))
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError) as error:
        raise StoreError(f"the source layer {layer} cannot be read: {error}") from error


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> SourceEntry:
    if member.issym():
        target = os.fsencode(member.linkname)
        return SourceEntry(path, io.BytesIO(target), len(target), executable=False, symlink=True)
    stream = archive.extractfile(member)
    if stream is None:
        raise tarfile.ReadError(f"{member.name!r} has no content")
    executable = bool(member.mode & 0o111)
    return SourceEntry(path, cast(BinaryIO, stream), member.size, executable=executable, symlink=False)


def source_texts(layout: ImageLayout, layer: Layer) -> dict[str, SourceText]:
    """Path -> file, sorted; the layer's bytes are checked first.

    StoreError: the layer is not in the layout, has other bytes, or is not a plain tar.
    """
    if layer.media_type != MEDIA_LAYER:
        raise StoreError(f"the source layer {layer.digest} is {layer.media_type}, not a plain tar")
    if layer.size > MAX_LAYER:
        raise StoreError(f"the source layer {layer.digest} is larger than {MAX_LAYER >> 30} GiB")
    layout.open(layer.digest, verify=True).close()
    entries = source_files(layout.path(layer.digest))
    return dict(sorted((entry.path, _text(entry)) for entry in entries))


def _text(entry: SourceEntry) -> SourceText:
    data = None if entry.size > MAX_TEXT else entry.stream.read()
    return SourceText(
        digest=Digest.of_stream(entry.stream) if data is None else Digest.of(data),
        size=entry.size,
        data=data,
        executable=entry.executable,
        symlink=entry.symlink,
    )
