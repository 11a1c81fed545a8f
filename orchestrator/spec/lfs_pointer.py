"""Pointers of Git LFS: small texts in the place of large files that were not fetched (`git lfs pull`).

A copy of a repository without its large files looks whole, and a job would read the pointers for its data.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.spec.plain_file import open_plain

_START = b"version https://git-lfs"
_LARGEST = 1024  # bytes, by its specification
_SMALLEST = 100
_LOOKED_AT = 10_000  # names of a folder: where one file was not fetched, usually none of them was
_READ = 1000  # files


def refuse_pointer(name: str, data: bytes) -> None:
    """UsageError for a file with these bytes, if they are a pointer."""
    if data.startswith(_START) and len(data) < _LARGEST:
        raise UsageError(
            f"{name} is a Git LFS pointer, not the file itself: `git lfs pull` fetches it",
            "a commit has pointers only: submit the folder without one, or give large files as `inputs`",
        )


def refuse_pointers(path: Path) -> None:
    """UsageError for a file, or for a folder with files, that were not fetched."""
    small = filter(_may_be_pointer, islice(_names(path), _LOOKED_AT))
    for file in islice(small, _READ):
        with open_plain(file) as stream:
            refuse_pointer(str(file), stream.read(_LARGEST))


def _names(path: Path) -> Iterator[Path]:
    yield Path(os.path.realpath(path))
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)


def _may_be_pointer(file: Path) -> bool:
    try:
        found = file.lstat()
    except OSError:  # the code that reads the input reports it
        return False
    return stat.S_ISREG(found.st_mode) and _SMALLEST <= found.st_size < _LARGEST
