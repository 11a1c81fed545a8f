"""One executor per run on a box: a file lock that the kernel releases when its holder dies."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.disk_room import hint_after
from orchestrator.errors import StoreError
from orchestrator.settings import Settings

# `worker`, a run, or one of its attempts; names come out of rows and labels that others may have written.
_NAME = re.compile(r"[0-9a-z]{1,32}(-[0-9]{1,10})?")


def lock_path(settings: Settings, run: str) -> Path:
    if not _NAME.fullmatch(run):
        raise StoreError(f"no name of a lock: {run!r:.80}")
    return settings.attempts / f"{run}.lock"


@contextmanager
def run_lock(settings: Settings, run: str) -> Iterator[bool]:
    """True while this process is the run's executor; False, at once, if another process is.

    The holder unlinks the file when it leaves, so a waiter could lock a file that is no longer the
    named one: after locking, the name must still lead to the same inode.
    """
    path = lock_path(settings, run)
    while True:
        fd = lock_file(path)
        if fd is None:
            yield False
            return
        if _names(path, fd):
            break
        os.close(fd)
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(fd)


def lock_file(path: Path) -> int | None:
    """The lock on whatever file has the name now; None if another process has it. Closing it frees it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        hint = hint_after(error, "make room, then try again; `reprise store gc` says what it can free")
        raise StoreError(f"cannot make the lock {path}: {error.strerror}", hint) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError as error:
        os.close(fd)
        raise StoreError(f"cannot lock {path}: {error.strerror}", "REPRISE_HOME needs file locks") from error
    return fd


def _names(path: Path, fd: int) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
