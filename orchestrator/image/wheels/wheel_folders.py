"""Copies wheels from folders and files that a lock names, if their hashes are right."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from orchestrator.digest import Hashed, chunks_of
from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.lock import Lock, Pin
from orchestrator.image.wheels.wheel_name import read_wheel_name
from orchestrator.spec.plain_file import open_plain

MAX_WHEEL = 8 << 30  # bytes of one wheel's file; the largest known has 4


class Rejected(NamedTuple):
    """A file with the name of a wanted wheel and other bytes."""

    pin: Pin
    path: Path
    sha256: str  # hex


def copy_named(lock: Lock, path: Path, target: Path) -> list[Path]:
    """Copies of the files that a pylock names, verified."""
    target.mkdir()
    copies = []
    for pin in lock.pins:
        if pin.file is None:
            continue
        copy = target / pin.file.name
        digest = _copy(pin.file, copy)
        if digest not in pin.sha256:
            raise other_bytes(Rejected(pin, pin.file, digest), path)
        copies.append(copy)
    return copies


def copy_found(lock: Lock, pins: tuple[Pin, ...], target: Path, python: PythonFacts) -> list[Rejected]:
    """Copy every wheel in the lock's folders that fits a pin. Returns the files with other bytes.

    pip then chooses among these copies and what an index has: it never sees the folders themselves.
    """
    target.mkdir()
    wanted = {pin.name: pin for pin in pins}
    rejected = []
    for folder in lock.folders:
        for name in _names(folder):
            try:
                found = read_wheel_name(name, python)
            except ValueError:
                continue
            pin = wanted.get(found.package) if found is not None else None
            if found is None or pin is None or not _fits(found.version, pin.version):
                continue
            copy = target / name
            digest = _copy(folder / name, copy)
            if digest not in pin.sha256:
                copy.unlink()
                rejected.append(Rejected(pin, folder / name, digest))
    return rejected


def other_bytes(found: Rejected, lock: Path) -> InfrastructureError:
    pin = found.pin
    return InfrastructureError(
        f"{lock}: {pin.name}=={pin.version}: {found.path} has other bytes, sha256 {found.sha256}",
        "the folder does not have the file that was locked; do not use it before you know why",
    )


def _fits(version: str, pinned: str) -> bool:
    """Whether `==pinned` takes a version. 2.13.0 takes 2.13.0+cpu, too; then the hash decides."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(f"=={pinned}").contains(version, prereleases=True)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  (names, not paths)
    except OSError as error:
        raise UsageError(f"cannot list the folder of wheels {folder}: {error.strerror}") from error


def _copy(path: Path, target: Path) -> str:
    """Copy a plain file and return its SHA-256 in hex."""
    with open_plain(path) as stream, target.open("wb") as copy:
        passing = Hashed(chunks_of(stream, MAX_WHEEL))
        copy.writelines(passing)
        if stream.read(1):
            raise UsageError(f"{path} is larger than {MAX_WHEEL >> 30} GiB")
    return passing.digest.hex
