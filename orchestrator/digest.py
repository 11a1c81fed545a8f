"""SHA-256 digests and canonical JSON, by which everything is pinned."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

CHUNK = 1 << 20  # bytes read at a time

_FORM = re.compile(r"sha256:[0-9a-f]{64}\Z")


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Digest(str):
    """`sha256:` and 64 lower-case hex digits; any other string raises ValueError."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _FORM.match(text):
            raise ValueError(f"not a sha256 digest: {text[:100]!r}")
        return super().__new__(cls, text)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for a text that is not a digest."""
        return cls(text) if _FORM.match(text) else None

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Self:
        return cls("sha256:" + hashlib.sha256(data).hexdigest())

    @classmethod
    def of_chunks(cls, chunks: Iterable[bytes]) -> Self:
        hasher = hashlib.sha256()
        for chunk in chunks:
            hasher.update(chunk)
        return cls("sha256:" + hasher.hexdigest())

    @classmethod
    def of_stream(cls, stream: Readable) -> Self:
        return cls.of_chunks(chunks_of(stream))

    @classmethod
    def of_file(cls, path: Path) -> Self:
        with path.open("rb") as stream:
            return cls.of_stream(stream)

    @property
    def hex(self) -> str:
        return self[7:]

    @property
    def short(self) -> str:
        """The first 12 hex digits, for people."""
        return self[7:19]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema())


def chunks_of(stream: Readable, most: int = sys.maxsize) -> Iterator[bytes]:
    """A stream's next bytes, at most `most` of them."""
    while most > 0 and (chunk := stream.read(min(CHUNK, most))):
        most -= len(chunk)
        yield chunk


class Hashed:
    """Chunks that are hashed and counted as they are read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._hasher = chunks, hashlib.sha256()
        self.size = 0  # bytes so far

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._hasher.update(chunk)
            self.size += len(chunk)
            yield chunk

    @property
    def digest(self) -> Digest:
        """Of the bytes so far."""
        return Digest("sha256:" + self._hasher.hexdigest())


def checked_chunks(stream: Readable, digest: Digest, size: int) -> Iterator[bytes]:
    """A stream's bytes; ValueError at their end where they have another size or digest."""
    passing = Hashed(chunks_of(stream, size))
    yield from passing
    if passing.size != size or stream.read(1) or passing.digest != digest:
        raise ValueError(f"not the bytes of {digest}")


# Made once: an audit writes millions of small rows.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no white space, UTF-8, no NaN: the same value gives the same bytes on any machine."""
    return _CANONICAL.encode(value).encode("utf-8")
