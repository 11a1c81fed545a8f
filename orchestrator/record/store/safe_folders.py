"""Folders and files of a store that others may write to: no link is followed, nothing is waited for.

Whoever may write to a shared store may swap a folder of it for a link at any moment, to have root write,
remove or read elsewhere. So all work is done in folders that were opened, step by step from the top.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from orchestrator.record.store.blob_store import AlteredStoreError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


class NoFileError(Exception):
    """A link, a folder, a FIFO or a device lies there."""

    def __init__(self) -> None:
        super().__init__("what lies there is no plain file; it was put there by hand")


@contextmanager
def opened_folder(root: Path, *names: str, make: bool = False, mode: int | None = None) -> Iterator[int]:
    """The folder below `root` as a descriptor; `root` itself may be a link. FileNotFoundError without `make`.

    `mode`: of the folders that are made, not cut by the umask. AlteredStoreError for a link, or no folder.
    """
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            below = _open_below(root, fd, name, make, mode)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def _open_below(root: Path, fd: int, name: str, make: bool, mode: int | None) -> int:
    made = False
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=fd)
            made = True
    try:
        below = os.open(name, _FOLDER, dir_fd=fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise AlteredStoreError(
                f"{name!r} in the store {root} is a link, or no folder", "look who put it there; remove it"
            ) from None
        raise
    if made and mode is not None:
        os.fchmod(below, mode)
    return below


def open_file(path: Path, raw: Callable[[int], io.FileIO] = io.FileIO) -> BinaryIO:
    """A plain file of an open folder. OSError; NoFileError for a link, a FIFO, a device, a folder.

    `raw` makes of the descriptor what is read.
    """
    _check(path.lstat().st_mode)  # a device acts when it is opened
    try:
        fd = os.open(path, _FILE)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NoFileError from None
        raise
    stream = io.BufferedReader(raw(fd))
    try:
        _check(os.fstat(fd).st_mode)
    except NoFileError:
        stream.close()
        raise
    return stream


def _check(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise NoFileError


def path_of(folder: int) -> Path:
    """A path that leads to an open folder, even where its name leads elsewhere by now."""
    return Path(f"/proc/self/fd/{folder}")
