"""Stamps of inputs, from the file system's facts: equal stamps mean equal bytes, as far as these facts tell.

An input is hashed before it is mounted, and read by the job long after. Device, inode, size and the two times
of each file and folder tell whether somebody wrote, moved or swapped it meanwhile: only root can set the
change time back.
"""

from __future__ import annotations

import hashlib
import os
import stat
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

READABLE = 0o444  # by its owner, its group and others


class Look(NamedTuple):
    """What a walk over an input saw."""

    stamp: str  # "" after an OSError
    newest: int  # nanoseconds: the latest time of a file or folder in it
    readable: bool  # by any user, as far as modes tell


def stamp_of(path: Path) -> str:
    """The stamp of a file, or of a folder and the names below it, links not followed; "" after an OSError.

    It looks at as many names as hashing the input did, and reads none of the files.
    """
    return look_at(path).stamp


def look_at(path: Path) -> Look:
    """As `stamp_of`, with the latest time: 100,000 files take half a second."""
    hasher = hashlib.sha256()
    try:
        found = path.stat()
        newest, modes = max(found.st_mtime_ns, found.st_ctime_ns), found.st_mode
        hasher.update(_facts(path.resolve(), found))
        waiting = [str(path)] if stat.S_ISDIR(found.st_mode) else []
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                names = sorted(entries, key=_name)
            seen = []
            for entry in names:
                found = entry.stat(follow_symlinks=False)
                seen.append(_facts(entry.path, found))
                newest = max(newest, found.st_mtime_ns, found.st_ctime_ns)
                modes &= found.st_mode
                if stat.S_ISDIR(found.st_mode):
                    waiting.append(entry.path)
            hasher.update(b"".join(seen))
    except OSError:
        return Look("", 0, readable=False)
    return Look(hasher.hexdigest(), newest, modes & READABLE == READABLE)


_name = attrgetter("name")


def _facts(path: Path | str, found: os.stat_result) -> bytes:
    """All but the time of reading."""
    return os.fsencode(
        f"{path}\0{found.st_dev} {found.st_ino} {found.st_mode} {found.st_size} "
        f"{found.st_mtime_ns} {found.st_ctime_ns}\0"
    )
