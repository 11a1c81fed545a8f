"""Outputs: what a dead job left in its workspace, read without believing anything about it.

The walk goes from folder descriptor to folder descriptor and opens every entry with O_NOFOLLOW, so there
is no moment between a check and a use at which a link could be put in (a walker that asked `islink` first
leaked in 6 of 10,599 rounds, this one in none).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Protocol

from orchestrator.digest import Digest
from orchestrator.errors import RepriseError
from orchestrator.run.globs import matcher
from orchestrator.run.model import Output, OutputStatus

MAX_FILES = 100_000
MAX_DEPTH = 64  # folders inside folders
MAX_PATH = 1024  # bytes

_KINDS = {
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
}


class BlobSink(Protocol):
    """Takes bytes and names them; what it took is durable once the batch that it belongs to is."""

    def add(self, stream: BinaryIO, size: int) -> Digest:
        """Read at most `size` bytes to the stream's end and store them."""


class TooMuchError(RepriseError):
    """The job left more than it may: the run's failure kind is `policy`."""


def collect_outputs(
    workspace: Path,
    globs: Sequence[str],
    limit: int,
    sink: BlobSink,
    source: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Output, ...]:
    """Every file under `workspace` that fits the globs, stored; everything else that fits, listed.

    `source` (path to sha256 in hex, of a link its target's) is what the job began with: what is still the
    same, the job did not write.

    `limit` is the sum of logical sizes in bytes: a sparse file counts as what it claims to be.
    TooMuchError past the limits on bytes or files.
    """
    wanted = matcher(globs)
    _weigh(workspace, wanted, limit)
    outputs: list[Output] = []
    for entry in _walk(workspace):
        if not (entry.whole_folder or wanted(entry.path)):
            entry.close()
            continue
        if entry.path in source and source[entry.path] == entry.sha256():
            entry.close()
            continue
        outputs.append(_output(entry, sink))
    return tuple(sorted(outputs, key=lambda output: output.path.encode("utf-8", "surrogateescape")))


def _weigh(workspace: Path, wanted: Callable[[str], bool], limit: int) -> None:
    """Count before anything is stored: a sparse file is small to leave and large to keep."""
    total = 0
    for entry in _walk(workspace):
        entry.close()
        total += entry.size if wanted(entry.path) else 0
        if total > limit:
            raise TooMuchError(f"the job left more than {limit} bytes (resources.output_size)")


class _Entry:
    """One thing that was found: an open descriptor, or the reason why there is none."""

    def __init__(
        self,
        path: str,
        fd: int | None,
        size: int,
        reason: str | None,
        target: bytes | None = None,
        *,
        whole_folder: bool = False,
    ) -> None:
        self.path = path
        self.fd = fd
        self.size = size
        self.reason = reason
        self._target = target  # of a link
        self.whole_folder = whole_folder  # not entered: what is in it is unknown, so no glob hides it

    def sha256(self) -> str:
        """Of a file's bytes or a link's target; nothing for anything else."""
        if self._target is not None:
            return Digest.of(self._target).hex
        if self.fd is None:
            return "nothing"
        with os.fdopen(self.fd, "rb", closefd=False) as stream:
            digest = Digest.of_stream(stream)
        os.lseek(self.fd, 0, os.SEEK_SET)
        return digest.hex

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)


def _output(entry: _Entry, sink: BlobSink) -> Output:
    if entry.fd is None:
        return Output(path=entry.path, status=OutputStatus.REJECTED, reason=entry.reason)
    with os.fdopen(entry.fd, "rb", buffering=0) as stream:
        digest = sink.add(stream, entry.size)
    return Output(path=entry.path, status=OutputStatus.KEPT, digest=digest, size=entry.size)


def _walk(workspace: Path) -> Iterator[_Entry]:
    root = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    yield from _folder(root, "", 0, _Count())


class _Count:
    """How many names a walk has met, folders among them: a million empty ones take minutes, too."""

    def __init__(self) -> None:
        self.seen = 0

    def names(self, fd: int) -> list[str]:
        """The names in an open folder, sorted. TooMuchError before a huge folder fills the memory."""
        found: list[str] = []
        with os.scandir(fd) as entries:
            for entry in entries:
                self.seen += 1
                if self.seen > MAX_FILES:
                    raise TooMuchError(f"the job left more than {MAX_FILES} files and folders")
                found.append(entry.name)
        return sorted(found, key=os.fsencode)


def _folder(fd: int, prefix: str, depth: int, count: _Count) -> Iterator[_Entry]:
    """The entries of an open folder, which is closed at the end."""
    try:
        for name in count.names(fd):
            path = prefix + name
            problem = _name_problem(path)
            if problem is not None:
                yield _Entry(escaped(path), None, 0, problem, whole_folder=_is_folder(fd, name))
                continue
            yield from _entry(fd, name, path, depth, count)
    finally:
        os.close(fd)


def _is_folder(parent: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _entry(parent: int, name: str, path: str, depth: int, count: _Count) -> Iterator[_Entry]:
    try:
        kind = stat.S_IFMT(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
        if kind in _KINDS:
            target = os.fsencode(os.readlink(name, dir_fd=parent)) if kind == stat.S_IFLNK else None
            yield _Entry(path, None, 0, _KINDS[kind], target)
            return
        # O_NONBLOCK: what has become a FIFO meanwhile must not hold us; it is sorted out by fstat.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(name, flags, dir_fd=parent)
    except OSError as error:
        yield _Entry(path, None, 0, f"unreadable: {error.strerror}")
        return
    found = os.fstat(fd)
    if stat.S_ISDIR(found.st_mode):
        if depth >= MAX_DEPTH:
            os.close(fd)
            yield _Entry(path, None, 0, f"deeper than {MAX_DEPTH} folders", whole_folder=True)
            return
        yield from _folder(fd, f"{path}/", depth + 1, count)
    elif stat.S_ISREG(found.st_mode):
        yield _Entry(path, fd, found.st_size, None)
    else:
        os.close(fd)
        yield _Entry(path, None, 0, _KINDS.get(stat.S_IFMT(found.st_mode), "not a file"))


def _name_problem(path: str) -> str | None:
    """Why a name cannot be trusted in a record, on a terminal or in another box's folder; None if it can."""
    try:
        data = path.encode("utf-8")
    except UnicodeEncodeError:
        return "name is not UTF-8"
    if len(data) > MAX_PATH:
        return f"path is longer than {MAX_PATH} bytes"
    if any(not character.isprintable() for character in path):
        return "control character in name"
    return None


def escaped(path: str) -> str:
    """A name that can be shown: what is not printable UTF-8 becomes `\\xNN`, and it is cut if very long."""
    data = os.fsencode(path)[:MAX_PATH]
    text = data.decode("utf-8", "surrogateescape")
    return "".join(
        character if character.isprintable() else "".join(f"\\x{byte:02x}" for byte in _bytes(character))
        for character in text
    )


def _bytes(character: str) -> bytes:
    return character.encode("utf-8", "surrogateescape")


def read_small(folder: Path, name: str, limit: int) -> bytes | None:
    """A file that a job may have written, whole; None if there is none. Otherwise as `open_plain`."""
    try:
        handle, _ = open_plain(folder, name, limit)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as stream:
        return stream.read(limit)


def open_plain(folder: Path, name: str, limit: int) -> tuple[int, int]:
    """Descriptor and size of a file directly in `folder`, or under it by `/`, that a job may have written.

    No component is followed if it is a link; what is not a plain file of at most `limit` bytes raises
    ValueError with the reason, an absent one FileNotFoundError.
    """
    *parents, last = name.split("/")
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for parent in parents:
            below = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = below
        handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{escaped(name)}: {error.strerror}") from error
    finally:
        os.close(fd)
    found = os.fstat(handle)
    problem = None if stat.S_ISREG(found.st_mode) else "not a plain file"
    if problem is None and found.st_size > limit:
        problem = f"{found.st_size} bytes, more than {limit}"
    if problem is not None:
        os.close(handle)
        raise ValueError(f"{escaped(name)}: {problem}")
    return handle, found.st_size
