"""The list of a folder's files, whose digest is the folder's digest: canonical JSON of [path, sha256, size].

    [["a.csv","<64 hex digits>",12],["sub/b.csv","<64 hex digits>",7]]

A list is a stranger's until its digest was checked, and who wrote the folder may be a stranger, too. So it is
read in pieces, and only one form is taken: the bytes that hashing such a folder gives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from orchestrator.digest import CHUNK, Digest, Readable, canonical_json
from orchestrator.spec.shown_names import in_one_line

MOST_LIST = 256 << 20  # bytes of a list: of some 2.5 million files
MOST_SIZE = 1 << 50  # bytes of one file
_PATH = 4096  # bytes of a path; Linux takes no longer one
_LONGEST = 6 * _PATH + 128  # bytes of one entry: each control character takes six
_AT_ONCE = 1000  # entries
_SHOWN = 200  # characters of a path in a message

_SLASH = ord("/")
# An empty name, `.`, `..`, a NUL, or a name that is longer than any file system takes.
_STRAY = re.compile(rb"(?:\A|/)\.{0,2}(?:/|\Z)|\0|[^/]{256}")
# A string without control characters, each `\` with what follows it; hex digits; a number.
_ENTRY = re.compile(
    rb'\["([^"\\\x00-\x1f]*(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*)*)","([0-9a-f]{64})",(0|[1-9][0-9]{0,15})\]'
)


class FileEntry(NamedTuple):
    """One file of a folder; `path` is below the folder, with `/`."""

    path: str
    hex: str  # of its SHA-256
    size: int  # bytes

    @property
    def shown(self) -> str:
        """The path for a message: in one line, and not endless."""
        return in_one_line(self.path)[:_SHOWN]

    @property
    def digest(self) -> Digest:
        return Digest(f"sha256:{self.hex}")


def list_chunks(entries: Iterable[tuple[str, str, int]]) -> Iterator[bytes]:
    """The bytes of a list. UnicodeEncodeError for a path that is not UTF-8."""
    entries, between = iter(entries), b"["
    while part := list(islice(entries, _AT_ONCE)):
        yield between + canonical_json(part)[1:-1]
        between = b","
    yield b"[]" if between == b"[" else b"]"


def may_be_list(start: bytes, size: int) -> bool:
    """Whether a file of that size that starts so could be a list: its first three bytes are enough."""
    return (size == 2 and start == b"[]") or (size <= MOST_LIST and start.startswith(b'[["'))


def is_list(stream: Readable) -> bool:
    """Whether all bytes of a stream are the list of a folder."""
    try:
        for _ in read_list(stream):
            pass
    except ValueError:
        return False
    return True


def read_list(stream: Readable) -> Iterator[FileEntry]:
    """The files of a list, as they are read. ValueError for anything but what hashing a folder gives.

    Then the entries that came before are worth nothing. No path of an entry leaves its folder, none comes
    twice, none is a folder of another one.
    """
    reader = _ListBytes(stream)
    checked = _ListPaths()
    if reader.take(b"[]"):
        reader.expect_end()
        return
    between = b"["
    while True:
        reader.expect(between)
        yield checked.entry(*reader.entry())
        if reader.take(b"]"):
            reader.expect_end()
            return
        between = b","


class _ListBytes:
    """Bytes of a list, a piece at a time."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self._held, self._at, self._read = stream, b"", 0, 0

    def take(self, text: bytes) -> bool:
        self._fill(len(text))
        if self._held.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def expect(self, text: bytes) -> None:
        if not self.take(text):
            raise _no_list()

    def entry(self) -> tuple[bytes, str, int]:
        """The path as it stands there, the hex digits, the size."""
        self._fill(_LONGEST)
        found = _ENTRY.match(self._held, self._at)
        if found is None:
            raise ValueError(
                f"not the list of a folder: no entry at byte {self._read - len(self._held) + self._at}"
            )
        self._at = found.end()
        path, digits, size = found.groups()
        return path, digits.decode(), int(size)

    def expect_end(self) -> None:
        self._fill(1)
        if self._at != len(self._held):
            raise _no_list()

    def _fill(self, count: int) -> None:
        """Hold so many bytes that are not taken yet, or all that are left."""
        while len(self._held) - self._at < count and (chunk := self._stream.read(CHUNK)):
            self._held, self._at = self._held[self._at :] + chunk, 0
            self._read += len(chunk)
            if self._read > MOST_LIST:
                raise ValueError(f"the list of a folder has more than {MOST_LIST:,} bytes")


class _ListPaths:
    """Checks each path against those before it."""

    def __init__(self) -> None:
        self._last: bytes | None = None
        self._starts: list[bytes] = []  # earlier paths with which the last one begins, each of the next

    def entry(self, raw: bytes, digits: str, size: int) -> FileEntry:
        path, data = _decoded(raw)
        if self._last is not None and data <= self._last:
            raise ValueError(f"the list of a folder is not sorted: {path!r:.100} comes too late, or twice")
        if len(data) > _PATH:
            raise ValueError(f"a path in the list of a folder is longer than any: {path!r:.100}")
        if size >= MOST_SIZE:
            raise ValueError(f"in the list of a folder, {path!r:.100} has {size:,} bytes, as no file has")
        if _STRAY.search(data):
            raise ValueError(f"a path leaves its folder: {path!r:.100}")
        while self._starts and not data.startswith(self._starts[-1]):
            self._starts.pop()
        for start in self._starts:
            if data[len(start)] == _SLASH:
                raise ValueError(
                    f"the list of a folder has a file that is a folder, too: {start.decode()!r:.100}"
                )
        self._starts.append(data)
        self._last = data
        return FileEntry(path, digits, size)


def _decoded(raw: bytes) -> tuple[str, bytes]:
    """A path and its UTF-8, from the only spelling that canonical JSON has for it."""
    try:
        if b"\\" not in raw:
            return raw.decode(), raw
        path = json.loads(b'"%b"' % raw)
        encoded, again = path.encode(), canonical_json(path)[1:-1]
    except ValueError as error:
        raise _no_list() from error
    if again != raw:
        raise _no_list()
    return path, encoded


def _no_list() -> ValueError:
    return ValueError("not the list of a folder")
