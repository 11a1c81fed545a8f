"""Crash-safe writes: temporary file, fsync, rename, fsync of the folder.

Without the two fsyncs, 200 of 200 acknowledged files were lost when a file system was copied before
its unmount (docs/decisions/0004-durable-writes.md). A temporary file of a process that was killed goes when
another process writes into its folder: its maker held a lock on it, and the kernel lets go of that.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import io
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}\.reprise\.tmp", re.DOTALL)
_looked_through: set[tuple[str, int, int]] = set()  # folders: path, device, inode
# Of file systems that other machines write to, too: NFS, CIFS, SMB, FUSE, Ceph, Lustre, GPFS. See statfs(2).
_SHARED_TYPES = {0x6969, 0xFF534D42, 0xFE534D42, 0x65735546, 0x00C36400, 0x0BD00BD0, 0x47504653}
_STILL_WRITTEN = 600  # seconds since the last write, in which a file there may still have a maker


def fsync_file(file: Path) -> None:
    """Make a file's bytes durable; not yet its name."""
    _fsync(file, 0)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    _fsync(folder, os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        with _naming(path):
            os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Around work on an open file: its error says which file, and so which disk is full, or fails."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, durably; a new folder has the permissions of the one above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(mode=folder.parent.stat().st_mode & 0o777, exist_ok=True)
    except FileNotFoundError as error:  # of /proc: the folder above is there, and takes none
        raise PermissionError(errno.EACCES, "no folder can be made there", str(folder)) from error
    fsync_folder(folder.parent)


def temporary_beside(path: Path) -> Path:
    """A hidden temporary name in the same folder; a long name is cut to fit."""
    start = os.fsdecode(os.fsencode(path.name)[:200])
    return path.with_name(f".{start}.{secrets.token_hex(6)}.reprise.tmp")


class _NamedFile(io.FileIO):
    """A file that is written. Who writes it reads others, and learns here which of them fails."""

    def __init__(self, fd: int, path: Path) -> None:
        super().__init__(fd, "wb")
        self._path = path

    def write(self, data: Any, /) -> int:
        with _naming(self._path):
            return super().write(data)


class NewFile:
    """A file that is written under a temporary name, and goes unless it is kept. Made by `new_file`."""

    def __init__(self, stream: BinaryIO, temporary: Path) -> None:
        self.stream = stream
        self._temporary = temporary

    def keep(self, path: Path, *, replace: bool = True, durable: bool = True) -> None:
        """Give the whole file its name, in the same folder. FileExistsError without `replace`."""
        if durable:
            self.make_durable()
        self.stream.flush()
        if replace:
            self._temporary.replace(path)
        else:
            path.hardlink_to(self._temporary)
        if durable:
            fsync_folder(path.parent)

    def make_durable(self) -> None:
        """Its bytes; a name is made durable when it is kept."""
        self.stream.flush()
        with _naming(self._temporary):
            os.fsync(self.stream.fileno())


@contextmanager
def new_file(path: Path, mode: int = 0o644) -> Iterator[NewFile]:
    """A file in the folder of `path` that has no name of its own until it is kept. A crash keeps nothing."""
    fd, temporary = _locked_file(path, mode)
    with io.BufferedWriter(_NamedFile(fd, temporary)) as stream:  # and the lock is held until it is closed
        try:
            _remove_left(path.parent, os.fstat(fd).st_mtime)
            yield NewFile(stream, temporary)
        finally:
            temporary.unlink(missing_ok=True)


def _locked_file(path: Path, mode: int) -> tuple[int, Path]:
    """A new file beside `path`, and its lock. One that another process takes for a left one is made anew."""
    while True:
        temporary = temporary_beside(path)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with suppress(OSError):  # a file system without locks: what is left there stays
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd, temporary
        os.close(fd)


def _remove_left(folder: Path, now: float) -> None:
    """Remove temporary files that processes left in a folder which were killed; looked for once only.

    `now` is the time of a file that was just made there: the file system's own clock.
    """
    found = folder.stat()
    looked = (str(folder), found.st_dev, found.st_ino)
    if looked in _looked_through:
        return
    _looked_through.add(looked)
    with suppress(OSError), os.scandir(folder) as entries:  # a folder may be closed to readers
        for name in [entry.name for entry in entries if _TEMPORARY.fullmatch(entry.name)]:
            with suppress(OSError):  # another user's, in use, or removed by another process just now
                _remove_unlocked(folder / name, now)


def _remove_unlocked(path: Path, now: float) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        young = now - found.st_mtime < _STILL_WRITTEN and on_shared_system(fd)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not young:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    finally:
        os.close(fd)


def on_shared_system(fd: int) -> bool:
    """Whether another machine may write to a file and hold no lock that can be seen here: a mount may keep
    locks to itself (`nolock`, `local_lock` of NFS).
    """
    said = (ctypes.c_long * 32)()  # struct statfs: 120 bytes, the type first
    return ctypes.CDLL(None).fstatfs(fd, said) != 0 or said[0] & 0xFFFFFFFF in _SHARED_TYPES


@contextmanager
def writing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Write `path` so that a crash leaves all of the file or nothing; an error leaves nothing."""
    make_folder(path.parent)
    with new_file(path, mode) as made:
        yield made.stream
        made.keep(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """While entered, other processes that want this lock wait. The kernel releases it when its holder dies.

    `path` is a folder, or a file that is made where it is absent.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | os.O_CREAT
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    with writing(path, mode) as stream:
        stream.write(data)


def sync_filesystem(folder: Path) -> None:
    """Flush the file system that holds `folder`: one call in place of thousands of fsyncs."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if libc.syncfs(fd) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(fd)
