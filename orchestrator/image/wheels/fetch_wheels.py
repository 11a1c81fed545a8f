"""Fetches the wheels of a lock: verified files on this box."""

from __future__ import annotations

import os
import re
from pathlib import Path

from orchestrator.digest import Digest, canonical_json
from orchestrator.durable import fsync_folder, write_bytes
from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.image.base.base_pins import list_pins
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.packages.base_packages import BaseClashError
from orchestrator.image.wheels.labelled_builds import download_labelled, split_by_label
from orchestrator.image.wheels.lock import Lock, Pin
from orchestrator.image.wheels.pip_download import download
from orchestrator.image.wheels.read_lock import (
    lock_bytes,
    locked_file,
    read_lock,
    refuse_other_python,
)
from orchestrator.image.wheels.wheel_folders import copy_found, copy_named, other_bytes
from orchestrator.image.wheels.wheel_name import read_wheel_name
from orchestrator.scratch import scratch_folder
from orchestrator.settings import Settings
from orchestrator.value import Value

_FORMAT = 3  # of the resolved locks; a change of the rules makes old ones miss


class WheelFile(Value):
    """A wheel in the box's cache, `settings.wheels/<sha256>/<filename>`.

    Its hash was checked on arrival, and is checked again before it is unpacked.
    """

    filename: str
    digest: Digest
    size: int  # bytes of the file
    path: Path

    @property
    def name(self) -> str:
        """Canonical name of the distribution."""
        return re.sub(r"[-_.]+", "-", self.filename.split("-")[0]).lower()

    @property
    def version(self) -> str:
        return self.filename.split("-")[1]


class _Resolved(Value):
    """What a lock was resolved to for one target; it is kept so that pip runs only once."""

    files: tuple[tuple[str, Digest, int], ...]  # filename, digest, size


def fetch_wheels(
    settings: Settings, requirements: Path, python: PythonFacts, index: str | None = None
) -> tuple[WheelFile, ...]:
    """The wheels of a lock for the base's Python, sorted by name; fetched by pip where they are not here.

    `index` is the address at which builds with a label (2.13.0+cpu) are asked for after pip's own settings.
    UsageError: the lock is not one (every problem at once), or has no wheel for the target.
    InfrastructureError: the index does not answer, or delivers other bytes than the lock names.
    """
    requirements = locked_file(requirements)
    data = lock_bytes(requirements)
    refuse_other_python(requirements, data, python)
    key = _key(requirements, data, python)
    found = _read_resolved(settings, key)
    if found is not None:
        return found
    lock = _read(settings, requirements, python, data)
    wheels = {pin.name: wheel for pin in lock.pins if (wheel := _cached(settings, pin)) is not None}
    missing = tuple(pin for pin in lock.pins if pin.name not in wheels)
    if missing:
        wanted = lock.model_copy(update={"pins": missing})
        wheels |= {wheel.name: wheel for wheel in _fetch(settings, wanted, requirements, python, index)}
    result = tuple(wheels[name] for name in sorted(wheels))
    resolved = _Resolved(files=tuple((wheel.filename, wheel.digest, wheel.size) for wheel in result))
    write_bytes(_resolved_path(settings, key), resolved.model_dump_json().encode())
    return result


def _read(settings: Settings, requirements: Path, python: PythonFacts, data: bytes) -> Lock:
    try:
        return read_lock(requirements, python, data)
    except BaseClashError as error:
        raise error.naming({pin.name: pin.python.packages for pin in list_pins(settings)}) from None


def _key(requirements: Path, data: bytes, python: PythonFacts) -> str:
    target = [python.version, python.glibc, python.machine, python.packages]
    facts = [_FORMAT, requirements.suffix, Digest.of(data), *target]
    return Digest.of(canonical_json(facts)).hex


def _resolved_path(settings: Settings, key: str) -> Path:
    return settings.wheels / "locks" / f"{key}.json"


def _read_resolved(settings: Settings, key: str) -> tuple[WheelFile, ...] | None:
    """The wheels of an earlier answer if every one is still here in full length, else None."""
    try:
        resolved = _Resolved.model_validate_json(_resolved_path(settings, key).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    wheels = [_wheel(settings, *file) for file in resolved.files]
    complete = all(_size(wheel.path) == wheel.size for wheel in wheels)
    return tuple(wheels) if complete else None


def _wheel(settings: Settings, filename: str, digest: Digest, size: int) -> WheelFile:
    path = settings.wheels / digest.hex / filename
    return WheelFile(filename=filename, digest=digest, size=size, path=path)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _cached(settings: Settings, pin: Pin) -> WheelFile | None:
    """A pin's file from an earlier lock, if the pin has one hash.

    Among several files pip chooses the best: the choice may not depend on what this box happens to have.
    """
    if len(pin.sha256) != 1:
        return None
    digest = Digest(f"sha256:{pin.sha256[0]}")
    for path in sorted((settings.wheels / digest.hex).glob("*.whl")):
        if Digest.of_file(path) == digest:
            return _wheel(settings, path.name, digest, path.stat().st_size)
    return None


def _fetch(
    settings: Settings, lock: Lock, path: Path, python: PythonFacts, index: str | None
) -> list[WheelFile]:
    """Every pin's file into the cache: from the folders and files that the lock names, else by pip."""
    settings.wheels.mkdir(parents=True, exist_ok=True)
    with scratch_folder(".download-", settings.wheels) as room:
        taken = copy_named(lock, path, room / "named")
        rest = tuple(pin for pin in lock.pins if pin.file is None)
        if rest:
            beside = copy_found(lock, rest, room / "found", python)
            plain, builds = split_by_label(rest)
            try:
                if builds:
                    taken += download_labelled(lock, builds, room, room / "found", path, python, index)
                if plain:
                    taken += download(lock, plain, room, room / "found", path, python)
            except UsageError as error:
                raise (other_bytes(beside[0], path) if beside else error) from error
        files = _verify(taken, lock.pins, path, python)
        for file, digest in files:
            _keep(file, settings.wheels / digest.hex / file.name)
        return [
            _wheel(settings, file.name, digest, (settings.wheels / digest.hex / file.name).stat().st_size)
            for file, digest in files
        ]


def _verify(
    paths: list[Path], pins: tuple[Pin, ...], lock: Path, python: PythonFacts
) -> list[tuple[Path, Digest]]:
    """One file for each pin, with a hash that the pin allows. pip checks hashes, too; this check counts."""
    allowed = {pin.name: pin for pin in pins}
    files: dict[str, tuple[Path, Digest]] = {}
    for path in paths:
        try:
            found = read_wheel_name(path.name, python)
        except ValueError as error:
            raise UsageError(f"{lock}: pip delivered {error}") from None
        digest = Digest.of_file(path)
        if found is None or found.package not in allowed or digest.hex not in allowed[found.package].sha256:
            raise InfrastructureError(
                f"{lock}: pip delivered {path.name} with sha256 {digest.hex}, not locked"
            )
        files[found.package] = (path, digest)
    absent = sorted(allowed.keys() - files.keys())
    if absent:
        raise InfrastructureError(f"{lock}: pip delivered no file for {', '.join(absent)}")
    return [files[name] for name in sorted(files)]


def _keep(path: Path, target: Path) -> None:
    """Move a verified file into the cache, in one step: several processes may do so with the same file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    path.replace(target)
    fsync_folder(target.parent)
    fsync_folder(target.parent.parent)
