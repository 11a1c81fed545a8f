"""The normalised tar: the same entries give the same bytes on any machine, at any time.

The rules are the version `ASSEMBLY_VERSION`; a change of one byte is a new version.

1. PAX as Python's tarfile writes it (3.9 to 3.14 agree), UTF-8, strict; a test compares the bytes.
2. Sorted by the UTF-8 bytes of the paths. Parents once, and only below `roots`: an entry for a folder of the
   base (`lib`, `tmp`) would change what the base has there, and the image might not start.
3. uid, gid 0, no names, one fixed time.
4. Plain files, folders and symlinks only. Names with a meaning for engines, and names that some file systems
   treat as the same, are refused.
"""

from __future__ import annotations

import itertools
import os
import tarfile
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from orchestrator.digest import CHUNK
from orchestrator.errors import StoreError, UsageError

MTIME = 315_619_200  # 1980-01-02T00:00:00Z; zip tools fail at 0
BLOCK = 512
RECORD = 10_240  # tarfile pads an archive to this

_FAST_NAME = 100  # longest name in a plain header, bytes
_FAST_SIZE = 8**11 - 1  # largest size in a plain header, bytes
_ZEROS = bytes(RECORD)

_OWNER = b"0000000\0" * 2
_TIME = b"%011o\0" % MTIME
_END = b"ustar\x0000" + bytes(247)
_CONSTANT_SUM = sum(_OWNER) + sum(_TIME) + sum(_END) + 8 * 0x20


class Span(NamedTuple):
    """A piece of an open file: content too large for memory."""

    fd: int
    offset: int
    size: int


class Member(NamedTuple):
    """One file, folder or symlink. `path` is relative to the image's root.

    `data` is a file's content or a symlink's target; for a folder it is empty.
    """

    path: str
    data: bytes | Span = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE

    @property
    def size(self) -> int:
        return self.data.size if isinstance(self.data, Span) else len(self.data)


def content(entry: Member) -> bytes:
    return b"".join(read_span(entry.data)) if isinstance(entry.data, Span) else entry.data


def folder(path: str, mode: int = 0o755) -> Member:
    return Member(path, b"", mode, tarfile.DIRTYPE)


def symlink(path: str, target: bytes) -> Member:
    return Member(path, target, 0o777, tarfile.SYMTYPE)


def tar_chunks(entries: Iterable[Member], roots: Iterable[str] = ()) -> Iterator[bytes]:
    """The archive's bytes, in pieces of about a mebibyte.

    `roots` are folders that Reprise adds: they and the folders below them are written as parents.
    Raises UsageError for a name that is refused, before the first piece.
    """
    ordered = _with_parents(check_entries(entries), tuple(roots))
    return _batched(_pieces(ordered))


def check_entries(entries: Iterable[Member]) -> dict[str, Member]:
    """The entries by path. Raises UsageError for hostile, doubled or contradicting names."""
    found: dict[str, Member] = {}
    for entry in entries:
        check_path(entry.path)
        if entry.path in found:
            raise UsageError(f"two entries for one path in a layer: {entry.path!r}")
        if entry.kind == tarfile.SYMTYPE:
            check_symlink(entry.path, content(entry))
        found[entry.path] = entry
    for path in found:
        above = path.rpartition("/")[0]
        while above:
            parent = found.get(above)
            if parent is not None and parent.kind != tarfile.DIRTYPE:
                raise UsageError(f"{above!r} is a file and a folder at once: {path!r} lies below it")
            above = above.rpartition("/")[0]
    return found


def check_path(path: str) -> None:
    """Refuse a path that could leave its root, or that an engine takes for a command (`.wh.`)."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UsageError(f"a name is not UTF-8: {path!r}", "rename the file") from None
    if "\0" in path or not path:
        raise UsageError(f"not a path: {path!r}")
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise UsageError(f"a path is absolute or leaves its folder: {path!r}")
        if part.startswith(".wh."):
            raise UsageError(
                f"a name starts with .wh., which deletes files in an image: {path!r}", "rename the file"
            )


def check_portable(paths: Iterable[str]) -> None:
    """Refuse names that differ only in case or Unicode form: some file systems treat them as one."""
    everything: set[str] = set()
    for path in paths:
        while path and path not in everything:
            everything.add(path)
            path = path.rpartition("/")[0]
    seen: dict[str, str] = {}
    for path in sorted(everything):
        folded = path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold()
        other = seen.setdefault(folded, path)
        if other != path:
            raise UsageError(
                f"two names differ only in case or Unicode form: {other!r}, {path!r}", "rename one"
            )


def check_symlink(path: str, target: bytes) -> None:
    """Refuse a link that leaves the tree in which `path` is relative.

    `..` is allowed only at the front: `d/..` leaves the tree where `d` is itself a link to `.`.
    """
    try:
        text = target.decode()
    except UnicodeDecodeError:
        raise UsageError(f"a symlink's target is not UTF-8: {path!r}", "rename the target") from None
    if not text or "\0" in text:
        raise UsageError(f"a symlink without a target: {path!r}")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    names = list(itertools.dropwhile(lambda part: part == "..", parts))
    if text.startswith("/") or ".." in names or len(parts) - len(names) > path.count("/"):
        raise UsageError(f"a symlink leaves its folder: {path!r} -> {text!r}", "remove the link")


def _with_parents(found: dict[str, Member], roots: tuple[str, ...]) -> list[Member]:
    parents: dict[str, Member] = {}
    for path in found:
        root = next((root for root in roots if path == root or path.startswith(root + "/")), None)
        if root is None:
            continue
        above = path.rpartition("/")[0]
        while len(above) >= len(root) and above not in parents:
            if above not in found:
                parents[above] = folder(above)
            above = above.rpartition("/")[0]
    return sorted([*found.values(), *parents.values()], key=lambda entry: entry.path.encode())


def _pieces(entries: list[Member]) -> Iterator[bytes]:
    total = 0
    for entry in entries:
        head = header(entry)
        yield head
        total += len(head)
        if entry.kind != tarfile.REGTYPE:
            continue
        if isinstance(entry.data, Span):
            yield from read_span(entry.data)
        else:
            yield entry.data
        padding = -entry.size % BLOCK
        yield _ZEROS[:padding]
        total += entry.size + padding
    yield _ZEROS[: 2 * BLOCK]
    yield _ZEROS[: -(total + 2 * BLOCK) % RECORD]


def read_span(span: Span) -> Iterator[bytes]:
    offset, left = span.offset, span.size
    while left:
        data = os.pread(span.fd, min(CHUNK, left), offset)
        if not data:
            raise StoreError("a temporary file became shorter while it was read")
        yield data
        offset, left = offset + len(data), left - len(data)


def _batched(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Joins thousands of small pieces into a few large ones, which are faster to hash and write."""
    batch: list[bytes] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(batch)
            batch, size = [], 0
    yield b"".join(batch)


def header(entry: Member) -> bytes:
    """The tar header of an entry: one block, or three if a name or size needs a PAX record."""
    name = entry.path + "/" if entry.kind == tarfile.DIRTYPE else entry.path
    target = content(entry) if entry.kind == tarfile.SYMTYPE else b""
    size = entry.size if entry.kind == tarfile.REGTYPE else 0
    plain = name.isascii() and target.isascii() and size <= _FAST_SIZE
    if not plain or len(name) > _FAST_NAME or len(target) > _FAST_NAME:
        return _tarfile_header(entry, target.decode(), size)
    # This takes 4 us, tarfile 25. The checksum is the sum of all bytes, its own field as spaces.
    head = b"%s%07o\0" % (name.encode().ljust(_FAST_NAME, b"\0"), entry.mode)
    length = b"%011o\0" % size
    tail = entry.kind + target.ljust(_FAST_NAME, b"\0")
    checksum = sum(head) + sum(length) + entry.kind[0] + sum(target) + _CONSTANT_SUM
    return b"%s%s%s%s%06o\0 %s%s" % (head, _OWNER, length, _TIME, checksum, tail, _END)


def _tarfile_header(entry: Member, target: str, size: int) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.size, info.mode, info.type, info.linkname, info.mtime = size, entry.mode, entry.kind, target, MTIME
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
