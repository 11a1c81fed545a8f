"""The Digest type, canonical JSON, and hashing. Everything that is pinned is pinned by these."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

CHUNK = 1 << 20  # bytes read at a time

_FORM = re.compile(r"sha256:[0-9a-f]{64}\Z")


class Digest(str):
    """`sha256:` and 64 lower-case hex digits; any other string raises ValueError."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _FORM.match(text):
            raise ValueError(f"not a sha256 digest: {text[:100]!r}")
        return super().__new__(cls, text)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for what is no digest."""
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
    def of_stream(cls, stream: BinaryIO) -> Self:
        return cls.of_chunks(iter(lambda: stream.read(CHUNK), b""))

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


# Made once: an audit writes millions of small rows.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no white space, UTF-8, no NaN: the same value gives the same bytes on any machine."""
    return _CANONICAL.encode(value).encode("utf-8")
