"""What a launched process prints before its run has a log: `launched/NAME` in a store that is a folder.

Others may write to a shared store: no link is followed there, and only plain files are written or read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from orchestrator.errors import StoreError
from orchestrator.record.store.safe_folders import NoFileError, open_file, opened_folder, path_of

FOLDER = "launched"
MOST = 1 << 20  # bytes that are read
_SHARED = stat.S_IWGRP | stat.S_IWOTH
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


def own_folder(store: Path) -> Path | None:
    """The folder, if only we may write there, so that a process which follows links can; else None."""
    if "\\" in str(store):  # Slurm would take the rest of the name as it stands
        return None
    try:
        store.mkdir(parents=True, exist_ok=True)
        with opened_folder(store, FOLDER, make=True, mode=stat.S_IMODE(store.stat().st_mode)) as fd:
            found = (store.stat(), os.fstat(fd))
    except (OSError, StoreError):
        return None
    mine = all(one.st_uid == os.geteuid() and not one.st_mode & _SHARED for one in found)
    return store / FOLDER if mine and os.access(store / FOLDER, os.W_OK | os.X_OK) else None


def print_to(store: Path, name: str) -> None:
    """Send this process's standard output and error there from now on; no change where that fails."""
    try:
        with opened_folder(store, FOLDER, make=True, mode=stat.S_IMODE(store.stat().st_mode)) as folder:
            fd = _opened(path_of(folder) / Path(name).name)
    except (OSError, StoreError, NoFileError):
        return
    for number in (1, 2):
        os.dup2(fd, number)
    os.close(fd)


def _opened(path: Path) -> int:
    """A file of ours. NoFileError for a link, a FIFO, a device, or a name of another file."""
    try:
        return os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        fd = os.open(path, _FLAGS)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_uid != os.geteuid():
        os.close(fd)
        raise NoFileError
    return fd


def read(store: Path, name: str, start: int) -> bytes:
    """At most 1 MiB from byte `start` on. Empty where it is no file, or cannot be read."""
    try:
        with opened_folder(store, FOLDER) as folder, open_file(path_of(folder) / name) as stream:
            stream.seek(start)
            return stream.read(MOST)
    except (OSError, StoreError, NoFileError):
        return b""
