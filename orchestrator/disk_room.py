"""Checks that bytes which others announce fit on the disk: a full disk would stop everything else, too."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import StoreError

RESERVE = 256 << 20  # bytes that are left free
LOOK = 64 << 20  # bytes that are written between two looks


FULL = (errno.ENOSPC, errno.EDQUOT)


UNREADABLE = "its file must be there, yours to read, on a sound disk"


def hint_after(error: OSError, full: str) -> str:
    """What mends an error of a disk; `full`: what does where it has no room."""
    return full if error.errno in FULL else "the folder must be there, yours to write to, on a sound disk"


def nearest_folder(path: Path) -> Path:
    """The path, or the folder nearest above it that is there: on the disk where it would be made."""
    while not path.exists():
        path = path.parent
    return path


class Room:
    """Room for bytes, checked before the first is written and after every LOOK bytes: others write, too."""

    def __init__(self, what: str, sizes: Mapping[Path, int]) -> None:
        """`sizes`: bytes that go below each folder, which need not exist yet. StoreError: they do not fit."""
        self._what, self._written = what, 0
        self._disks: dict[int, tuple[Path, int]] = {}  # by device: a folder on it, and bytes
        for folder, size in sizes.items():
            there = nearest_folder(folder)
            disk = there.stat().st_dev
            place, planned = self._disks.get(disk, (there, 0))
            self._disks[disk] = (place, planned + size)
        for place, size in self._disks.values():
            if size:
                self._check(place, size)

    def wrote(self, size: int) -> None:
        """StoreError where others have filled the disk."""
        self._written += size
        if self._written >= LOOK:
            self._written = 0
            for place, _ in self._disks.values():
                self._check(place, 0)

    def _check(self, place: Path, size: int) -> None:
        free = shutil.disk_usage(place).free
        if size > free - RESERVE:
            raise StoreError(
                f"{self._what}: {size} bytes more are to be written, and {place} has {free} free",
                f"make room there ({RESERVE >> 20} MiB stay free); is it what is meant?",
            )
