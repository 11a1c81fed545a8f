"""The job's wheels: from a lock to verified files on this box."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.digest import Digest, canonical_json
from orchestrator.durable import fsync_folder, write_bytes
from orchestrator.errors import InfrastructureError, RepriseError, UsageError
from orchestrator.image.model import PythonFacts
from orchestrator.image.requirements import Pin, read_lock
from orchestrator.image.target import abi, platforms
from orchestrator.settings import Settings
from orchestrator.value import Value

_FORMAT = 1  # of the resolved locks; a change of the rules makes old ones miss

_OTHER_BYTES = "DO NOT MATCH THE HASHES"
_NETWORK = re.compile(
    r"Retrying \(|NewConnectionError|ConnectTimeout|ReadTimeout|SSLError|ProxyError|HTTP error"
)


class WheelFile(Value):
    """A wheel in the box's cache, `settings.wheels/<sha256>/<filename>`. Its hash was checked on arrival;
    it is checked again before it is unpacked."""

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
    """What a lock came to for one target: the names of files, kept so that pip is asked only once."""

    files: tuple[tuple[str, Digest, int], ...]  # filename, digest, size


def fetch_wheels(settings: Settings, requirements: Path, python: PythonFacts) -> tuple[WheelFile, ...]:
    """The wheels of a lock for the base's Python, sorted by name; fetched by pip where they are not here.

    UsageError: the lock is not one (every problem at once), or has no wheel for the target.
    InfrastructureError: the index does not answer, or delivers other bytes than the lock names.
    """
    key = _key(requirements, python)
    found = _read_resolved(settings, key)
    if found is not None:
        return found
    lock = read_lock(requirements, python)
    wheels = {pin.name: wheel for pin in lock.pins if (wheel := _cached(settings, pin)) is not None}
    missing = tuple(pin for pin in lock.pins if pin.name not in wheels)
    if missing:
        wheels |= {
            wheel.name: wheel for wheel in _download(settings, lock.options, missing, requirements, python)
        }
    result = tuple(wheels[name] for name in sorted(wheels))
    resolved = _Resolved(files=tuple((wheel.filename, wheel.digest, wheel.size) for wheel in result))
    write_bytes(_resolved_path(settings, key), resolved.model_dump_json().encode())
    return result


def _key(requirements: Path, python: PythonFacts) -> str:
    try:
        digest = Digest.of_file(requirements)
    except FileNotFoundError:
        raise UsageError(f"no such requirements file: {requirements}") from None
    facts = [_FORMAT, requirements.suffix, digest, python.version, python.glibc, python.machine]
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
    """A pin's file from an earlier lock. Only where one file can be meant: which of several fits best is
    for pip to say, and may not hang on what this box happens to have."""
    if len(pin.sha256) != 1:
        return None
    digest = Digest(f"sha256:{pin.sha256[0]}")
    for path in sorted((settings.wheels / digest.hex).glob("*.whl")):
        if Digest.of_file(path) == digest:
            return _wheel(settings, path.name, digest, path.stat().st_size)
    return None


def _download(
    settings: Settings, options: Iterable[str], pins: tuple[Pin, ...], lock: Path, python: PythonFacts
) -> list[WheelFile]:
    settings.wheels.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=settings.wheels, prefix=".download-") as temporary:
        folder = Path(temporary) / "wheels"
        failure = _run_pip(options, pins, "==", folder, python)
        # A folder of wheels names no hashes: pip took the newest build of a version, 2.13.0+cpu for 2.13.0.
        # Word for word comes second: a lock written by hand may say 1.0 where the wheel says 1.0.0.
        if _OTHER_BYTES in failure and not _run_pip(options, pins, "===", folder, python):
            failure = ""
        if failure:
            raise _pip_error(failure, lock, python)
        files = _verify(sorted(folder.iterdir()), pins, lock)
        for path, digest in files:
            _keep(path, settings.wheels / digest.hex / path.name)
        return [
            _wheel(settings, path.name, digest, (settings.wheels / digest.hex / path.name).stat().st_size)
            for path, digest in files
        ]


def _run_pip(
    options: Iterable[str], pins: tuple[Pin, ...], operator: str, folder: Path, python: PythonFacts
) -> str:
    """One pip for all files; what it said if it failed, else nothing. Its index, mirrors and certificates
    are what the user has configured."""
    wanted = folder.with_name("requirements.txt")
    lines = [*options, *(pin.requirement(operator) for pin in pins)]
    wanted.write_text("\n".join(lines) + "\n", "utf-8")
    command = [sys.executable, "-P", "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "--require-hashes", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", python.version, "--abi", abi(python)]
    command += [argument for name in platforms(python) for argument in ("--platform", name)]
    command += ["--dest", str(folder), "--requirement", str(wanted)]
    environment = {**os.environ, "TMPDIR": str(folder.parent)}  # gigabytes; /tmp may be memory
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=environment
    )
    return done.stderr + "\n" + done.stdout if done.returncode else ""


def _pip_error(output: str, lock: Path, python: PythonFacts) -> RepriseError:
    """pip's many lines as the one that tells what to do."""
    if "No module named pip" in output:
        return InfrastructureError(
            f"{sys.executable} has no pip to fetch wheels with", f"run: {sys.executable} -m ensurepip"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if any(_OTHER_BYTES in line for line in errors):
        what = next((line for line in lines if " from " in line and line.endswith(":")), "a wheel")
        got = next((line.split()[-1] for line in lines if line.startswith("Got ")), "unknown")
        return InfrastructureError(
            f"{lock}: {what.split(' from ')[0]} was delivered with other bytes, sha256 {got}",
            "the index or a mirror does not have the file that was locked; do not use it before you know why",
        )
    network = next((line for line in reversed(lines) if _NETWORK.search(line)), None)
    if network is not None:
        return InfrastructureError(
            f"pip cannot reach its index: {network}", "check the network, pip's index-url"
        )
    message = next((line for line in errors if line.startswith("Could not find a version")), None)
    message = message or (errors[-1] if errors else lines[-1] if lines else "pip said nothing")
    return UsageError(
        f"{lock}: {message}",
        f"only wheels are used: for CPython {python.version}, glibc {python.glibc}, {python.machine}, "
        "with a hash that the lock names",
    )


def _verify(paths: list[Path], pins: tuple[Pin, ...], lock: Path) -> list[tuple[Path, Digest]]:
    """Each pin has one file, with a hash that it allows. pip has checked; this is the check that counts."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    allowed = {pin.name: pin for pin in pins}
    files: dict[str, tuple[Path, Digest]] = {}
    for path in paths:
        try:
            name = str(parse_wheel_filename(path.name)[0])
        except InvalidWheelFilename:
            raise UsageError(f"{lock}: pip delivered {path.name}, which is not a wheel") from None
        digest = Digest.of_file(path)
        if name not in allowed or digest.hex not in allowed[name].sha256:
            raise InfrastructureError(
                f"{lock}: pip delivered {path.name} with sha256 {digest.hex}, not locked"
            )
        files[name] = (path, digest)
    absent = sorted(allowed.keys() - files.keys())
    if absent:
        raise InfrastructureError(f"{lock}: pip delivered no file for {', '.join(absent)}")
    return [files[name] for name in sorted(files)]


def _keep(path: Path, target: Path) -> None:
    """Move a verified file into the cache: two processes with the same file both end with it whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    path.replace(target)
    fsync_folder(target.parent)
    fsync_folder(target.parent.parent)
