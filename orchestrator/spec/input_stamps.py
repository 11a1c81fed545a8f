"""What the file system says of an input without reading it: equal stamps, equal bytes, as far as it can tell.

An input is hashed before it is mounted, and read by the job long after. Device, inode, size and the two times
of each file and folder tell whether somebody wrote, moved or swapped it meanwhile: the change time cannot be
set back by who is not root.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

MOST = 1_000_000  # names, as of an input that is hashed


def stamp_of(path: Path) -> str:
    """Of a file, or of a folder and all that lies below it; no link below is followed. Else ""."""
    hasher, left = hashlib.sha256(), MOST
    try:
        hasher.update(f"{path.resolve()}\0{_seen(path.stat())}".encode("utf-8", "surrogateescape"))
        waiting = [str(path)] if path.is_dir() else []
        while waiting and left > 0:
            with os.scandir(waiting.pop()) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            left -= len(entries)
            for entry in entries:
                found_there = entry.stat(follow_symlinks=False)
                hasher.update(f"{entry.path}\0{_seen(found_there)}".encode("utf-8", "surrogateescape"))
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    except OSError:
        return ""
    return hasher.hexdigest()


def _seen(found: os.stat_result) -> str:
    """Without the time of reading."""
    place, times = (found.st_dev, found.st_ino), (found.st_mtime_ns, found.st_ctime_ns)
    return f"{place} {found.st_mode} {found.st_size} {times}\0"
