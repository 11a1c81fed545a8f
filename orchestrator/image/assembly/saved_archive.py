"""Reads what an engine really holds of an image: hashes its `docker save` archive while it streams."""

from __future__ import annotations

import gzip
import io
import json
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, Any, cast

from orchestrator.digest import Digest, Hashed, chunks_of
from orchestrator.errors import StoreError
from orchestrator.value import Value

MAX_DOCUMENT = 8 << 20  # bytes of a manifest or config that are kept
_PIECE = 64 << 10  # bytes read at a time


class SavedImage(Value):
    """One image of an archive: the layers that its config names, and those that were found."""

    config_digest: Digest  # of the config's bytes as they came
    tags: tuple[str, ...]
    named: tuple[str, ...]  # diff_ids that the config names, the base's first
    found: tuple[Digest, ...]  # digests of the layers' uncompressed bytes


def read_saved(archive: Iterable[bytes]) -> list[SavedImage]:
    """The images of a `docker save` archive; stores nothing. StoreError: it is cut off or malformed.

    Layers are hashed while they stream, so large layers take little memory.
    """
    digests: dict[str, Digest] = {}
    documents: dict[str, bytes] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Stream(archive)), mode="r|") as opened:
            for member in opened:
                name = posixpath.normpath(member.name)
                if member.issym():
                    links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
                elif member.islnk():
                    links[name] = posixpath.normpath(member.linkname)
                elif member.isfile():
                    stream = opened.extractfile(member)
                    assert stream is not None  # noqa: S101  (a plain file has one)
                    digests[name], documents[name] = _read(stream)
        entries = json.loads(documents["manifest.json"])
        return [_image(entry, digests, documents, links) for entry in entries]
    except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
        said = f"the engine saved something that is not an archive of images: {error}"
        raise StoreError(
            said, "look at the engine's log, and whether its disk is full; then try again"
        ) from error


def _image(
    entry: dict[str, Any], digests: dict[str, Digest], documents: dict[str, bytes], links: dict[str, str]
) -> SavedImage:
    def at(name: str) -> str:
        name = posixpath.normpath(name)
        for _ in range(8):  # equal layers are saved once and linked to
            if name not in links:
                break
            name = links[name]
        return name

    config = documents[at(entry["Config"])]
    return SavedImage(
        config_digest=Digest.of(config),
        tags=tuple(entry.get("RepoTags") or ()),
        named=tuple(json.loads(config)["rootfs"]["diff_ids"]),
        found=tuple(digests[at(name)] for name in entry["Layers"]),
    )


def _read(stream: IO[bytes]) -> tuple[Digest, bytes]:
    """(digest of the uncompressed bytes, the bytes if they are few)."""
    head = stream.read(2)
    chunks: Iterator[bytes] = chain([head], iter(lambda: stream.read(_PIECE), b""))
    if head == b"\x1f\x8b":
        chunks = chunks_of(gzip.GzipFile(fileobj=cast("IO[bytes]", _Stream(chunks))))
    passing, kept = Hashed(chunks), bytearray()
    keeping = head[:1] in (b"{", b"[")  # a document: hundreds of small layers would fill the memory
    for data in passing:
        if keeping and len(kept) <= MAX_DOCUMENT:
            kept += data[: MAX_DOCUMENT + 1 - len(kept)]
    return passing.digest, b"" if len(kept) > MAX_DOCUMENT else bytes(kept)


class _Stream(io.RawIOBase):
    """Chunks of bytes as a file object."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, wanted = [], size
        while wanted and (self._rest or (chunk := next(self._chunks, b""))):
            if not self._rest:
                self._rest = chunk
            piece = self._rest if wanted < 0 else self._rest[:wanted]
            self._rest = self._rest[len(piece) :]
            parts.append(piece)
            wanted -= len(piece) if wanted > 0 else 0
        return b"".join(parts)
