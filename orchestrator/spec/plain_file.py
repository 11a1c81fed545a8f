"""Opens files that others may have put there: it follows no link and never waits."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from orchestrator.errors import UsageError

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


def open_plain(path: Path, *, named: bool = False) -> BinaryIO:
    """The open file. UsageError: a link, FIFO, device or folder is there, or the file cannot be read.

    The path is checked before it is opened, because opening a device can act, and the open file again: that
    check counts. `named`: a person or a setting named it; then it may be a link to a plain file.
    """
    try:
        _check(path, path.stat(follow_symlinks=named).st_mode)
        stream = os.fdopen(os.open(path, _FLAGS & ~os.O_NOFOLLOW if named else _FLAGS), "rb")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_plain(path) from None
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    try:
        _check(path, os.fstat(stream.fileno()).st_mode)
    except BaseException:
        stream.close()
        raise
    return stream


def read_plain(path: Path, limit: int, *, named: bool = False) -> bytes:
    """The bytes of a plain file. UsageError as above, and for more than `limit` bytes."""
    with open_plain(path, named=named) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise UsageError(f"{path} is larger than {limit:,} bytes")
    return data


def utf8_text(path: Path, data: bytes) -> str:
    """Text without a byte order mark. UsageError, with the line, where it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: this is not UTF-8 text", "save it as UTF-8") from error


def _check(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise _not_plain(path)


def _not_plain(path: Path) -> UsageError:
    return UsageError(f"{path} is not a plain file", "put the file itself there: no link, FIFO or device")
