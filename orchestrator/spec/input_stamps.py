"""Stamps of inputs, from the file system's facts: equal stamps mean equal bytes, as far as these facts tell.

An input is hashed before it is mounted, and read by the job long after. Device, inode, size and the two times
of each file and folder tell whether somebody wrote, moved or swapped it meanwhile: only root can set the
change time back.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def stamp_of(path: Path) -> str:
    """The stamp of a file, or of a folder and the names below it, links not followed; "" after an OSError.

    It looks at as many names as hashing the input did, and reads none of the files.
    """
    hasher = hashlib.sha256()
    try:
        hasher.update(_facts(path.resolve(), path.stat()))
        waiting = [str(path)] if path.is_dir() else []
        while waiting:
            with os.scandir(waiting.pop()) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            for entry in entries:
                hasher.update(_facts(entry.path, entry.stat(follow_symlinks=False)))
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    except OSError:
        return ""
    return hasher.hexdigest()


def _facts(path: Path | str, found: os.stat_result) -> bytes:
    """All but the time of reading."""
    place, times = (found.st_dev, found.st_ino), (found.st_mtime_ns, found.st_ctime_ns)
    text = f"{path}\0{place} {found.st_mode} {found.st_size} {times}\0"
    return text.encode("utf-8", "surrogateescape")
