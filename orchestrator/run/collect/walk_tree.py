"""A folder that a dead job left, entry by entry, without believing anything about it.

The walk goes from folder descriptor to folder descriptor and opens every entry with O_NOFOLLOW, so there
is no moment between a check and a use at which a link could be put in (a walker that asked `islink` first
leaked in 6 of 10,599 rounds, this one in none).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import RepriseError
from orchestrator.run.attempt_model import LINK
from orchestrator.spec.shown_names import in_one_line, is_plain

MAX_FILES = 100_000
MAX_DEPTH = 64  # folders inside folders
MAX_PATH = 1024  # bytes
MAX_NAMES = 100_000  # entries of a report folder that are looked at
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # to open a folder, not a link

_KINDS = {
    stat.S_IFLNK: LINK,
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
}


class TooManyOutputsError(RepriseError):
    """The job left more than it may: the run's failure kind is `policy`."""


class FoundEntry:
    """What the walk found under one name: an open descriptor, or the reason why it was not opened."""

    def __init__(
        self,
        path: str,
        facts: os.stat_result | None,
        *,
        fd: int | None = None,
        reason: str | None = None,
        text: bytes | None = None,
        whole_folder: bool = False,
        raw: str | None = None,
    ) -> None:
        self.path = path
        self.raw = path if raw is None else raw  # the path itself, where `path` can only be shown
        self.facts = facts
        self.fd = fd
        self.size = facts.st_size if fd is not None and facts is not None else 0
        self.reason = reason
        self.text = text  # of a link
        self.whole_folder = whole_folder  # not entered: its content is unknown, so no glob hides it

    def sha256(self) -> str:
        """The hash of a file's bytes or of a link's text; for anything else the word `nothing`."""
        if self.text is not None:
            return Digest.of(self.text).hex
        if self.fd is None:
            return "nothing"
        with os.fdopen(self.fd, "rb", closefd=False) as stream:
            digest = Digest.of_stream(stream)
        os.lseek(self.fd, 0, os.SEEK_SET)
        return digest.hex

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def walk(folder: Path) -> Iterator[FoundEntry]:
    """Every entry below a folder but the folders themselves. The caller closes each entry.

    TooManyOutputsError past MAX_FILES names.
    """
    root = os.open(folder, FOLDER_FLAGS)
    yield from _folder(root, "", 0, _Count())


class _Count:
    """How many names a walk has met, folders included: even a million empty ones take minutes."""

    def __init__(self) -> None:
        self.seen = 0

    def names(self, fd: int) -> list[str]:
        """The names in an open folder, sorted. TooManyOutputsError before a huge folder fills the memory."""
        found: list[str] = []
        with os.scandir(fd) as entries:
            for entry in entries:
                self.seen += 1
                if self.seen > MAX_FILES:
                    raise TooManyOutputsError(f"the job left more than {MAX_FILES} files and folders")
                found.append(entry.name)
        return sorted(found, key=os.fsencode)


def _folder(fd: int, prefix: str, depth: int, count: _Count) -> Iterator[FoundEntry]:
    """The entries of an open folder, which is closed at the end."""
    try:
        for name in count.names(fd):
            path = prefix + name
            problem = name_problem(path)
            if problem is None:
                yield from _entry(fd, name, path, depth, count)
            else:
                yield _unnamed(fd, name, path, problem)
    finally:
        os.close(fd)


def _unnamed(parent: int, name: str, path: str, problem: str) -> FoundEntry:
    """An entry whose name cannot be trusted. It is neither read nor entered."""
    try:
        facts = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError:
        return FoundEntry(shown_name(path), None, reason=problem, raw=path)
    folder = stat.S_ISDIR(facts.st_mode)
    return FoundEntry(shown_name(path), facts, reason=problem, whole_folder=folder, raw=path)


def _entry(parent: int, name: str, path: str, depth: int, count: _Count) -> Iterator[FoundEntry]:
    folder = False
    try:
        facts = os.stat(name, dir_fd=parent, follow_symlinks=False)
        folder = stat.S_ISDIR(facts.st_mode)
        kind = stat.S_IFMT(facts.st_mode)
        if kind in _KINDS:
            text = os.fsencode(os.readlink(name, dir_fd=parent)) if kind == stat.S_IFLNK else None
            yield FoundEntry(path, facts, reason=_KINDS[kind], text=text)
            return
        # O_NONBLOCK: what has become a FIFO meanwhile must not hold us; it is sorted out by fstat.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(name, flags, dir_fd=parent)
    except OSError as error:
        yield FoundEntry(path, None, reason=f"unreadable: {error.strerror}", whole_folder=folder)
        return
    facts = os.fstat(fd)
    if stat.S_ISDIR(facts.st_mode):
        if depth >= MAX_DEPTH:
            os.close(fd)
            yield FoundEntry(path, None, reason=f"deeper than {MAX_DEPTH} folders", whole_folder=True)
            return
        yield from _folder(fd, f"{path}/", depth + 1, count)
    elif stat.S_ISREG(facts.st_mode):
        yield FoundEntry(path, facts, fd=fd)
    else:
        os.close(fd)
        yield FoundEntry(path, facts, reason=_KINDS.get(stat.S_IFMT(facts.st_mode), "not a file"))


def report_names(folder: Path, form: re.Pattern[str]) -> tuple[list[str], bool]:
    """The names in a report folder that match, sorted; and whether there were more entries than MAX_NAMES.

    A job can fill the folder, so only its first MAX_NAMES entries are looked at.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in islice(entries, MAX_NAMES + 1)]
    return sorted(filter(form.match, names[:MAX_NAMES])), len(names) > MAX_NAMES


def name_problem(path: str) -> str | None:
    """Why a name cannot be trusted in a record, on a terminal or in another box's folder; None if it can."""
    try:
        data = path.encode("utf-8")
    except UnicodeEncodeError:
        return "name is not UTF-8"
    if len(data) > MAX_PATH:
        return f"path is longer than {MAX_PATH} bytes"
    return None if is_plain(path) else "control character in name"


def shown_name(path: str) -> str:
    """A name that can be shown, cut if very long: see `in_one_line`."""
    return in_one_line(path[:MAX_PATH])


def open_job_file(folder: Path, name: str, limit: int) -> tuple[int, int]:
    """Open a file in `folder`, or below it, that a job may have written; its descriptor and size.

    No link on the way is followed. ValueError, with the reason, for what is not a plain file of at most
    `limit` bytes; FileNotFoundError where it is absent.
    """
    *parents, last = name.split("/")
    fd = os.open(folder, FOLDER_FLAGS)
    try:
        for parent in parents:
            below = os.open(parent, FOLDER_FLAGS, dir_fd=fd)
            os.close(fd)
            fd = below
        handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{shown_name(name)}: {error.strerror}") from error
    finally:
        os.close(fd)
    found = os.fstat(handle)
    problem = None if stat.S_ISREG(found.st_mode) else "not a plain file"
    if problem is None and found.st_size > limit:
        problem = f"{found.st_size} bytes, more than {limit}"
    if problem is not None:
        os.close(handle)
        raise ValueError(f"{shown_name(name)}: {problem}")
    return handle, found.st_size


def read_small(folder: Path, name: str, limit: int) -> bytes | None:
    """The bytes of a file that a job may have written; None if it is absent. Otherwise as `open_job_file`."""
    try:
        handle, _ = open_job_file(folder, name, limit)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as stream:
        return stream.read(limit)
