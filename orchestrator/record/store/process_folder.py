"""A folder of temporaries that belongs to one living process, and goes when that process is dead."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestrator.durable import make_folder

TRIES = 100  # new folders, where others lock each first


@contextmanager
def temporaries(parent: Path) -> Iterator[Path]:
    """A new folder below `parent` that is removed with all that is in it when the block is left."""
    folder, lock = own_folder(parent)
    try:
        yield folder
    finally:
        give_up(folder, lock)


def own_folder(parent: Path) -> tuple[Path, int]:
    """A new folder, and the lock that is held as long as its process lives.

    Folders of processes that were killed are removed: up to `resources.output_size` may lie in one. A new one
    that another process has locked first is left to that process. BlockingIOError where all of TRIES were.
    """
    make_folder(parent)
    remove_dead(parent)
    for _ in range(TRIES):
        folder = parent / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        lock = _locked(folder)
        if lock is not None:
            return folder, lock
    raise BlockingIOError(errno.EAGAIN, "somebody takes each new folder away", str(parent))


def give_up(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # or the next own_folder does it
    os.close(lock)


def remove_dead(parent: Path) -> int:
    """Remove the folders of processes that were killed: bytes."""
    removed = 0
    for folder in entries_of(parent):
        lock = _locked(folder)
        if lock is not None:
            removed += sum(path.lstat().st_size for path in entries_of(folder))
            give_up(folder, lock)
    return removed


def entries_of(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return ()


def _locked(folder: Path) -> int | None:
    """The folder's lock; None if another process has it, or removed the folder before we had it."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # PermissionError: another user's batch
        return None
    with ExitStack() as unless_ours:
        unless_ours.callback(os.close, fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process has it
            return None
        if not folder.exists():
            return None
        unless_ours.pop_all()
        return fd
