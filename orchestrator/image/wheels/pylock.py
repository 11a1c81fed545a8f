"""Reads a pylock.toml: for each package the one wheel that fits the target, judged by its file name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.packages.base_packages import cuda_part, has_cpu_torch, provided, refuse_clashes
from orchestrator.image.wheels.lock import Lock, Pin, make_pin, problems_of
from orchestrator.image.wheels.wheel_address import escaped, file_name, local_path, quoted, web_address
from orchestrator.image.wheels.wheel_name import read_wheel_name
from orchestrator.image.wheels.wheel_target import marker_environment, tags

if TYPE_CHECKING:
    from packaging.pylock import Package, PackageWheel

# tomllib takes time and memory quadratic in the parts of a key: 60 kB of `a.a.a...` took minutes.
DEEP_KEY = re.compile(
    r"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}"""
)


def read_pylock(path: Path, text: str, python: PythonFacts) -> Lock:
    """The pins that apply to the target. UsageError with every package that cannot be taken."""
    from packaging.pylock import PackageWheel, Pylock, PylockSelectError, PylockValidationError

    if DEEP_KEY.search(text) is not None:
        raise UsageError(f"{path}: a key with more than 32 parts", "no tool writes such a lock")
    try:
        lock = Pylock.from_dict(tomllib.loads(text))
        selected = list(
            lock.select(environment=marker_environment(python), tags=tags(python))  # type: ignore[arg-type]
        )
    except (PylockValidationError, PylockSelectError, ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path}: {escaped(reason)}", f"the target is Python {python.version}") from None
    pins: dict[str, Pin] = {}
    problems: list[str] = []
    versions = [(str(package.name), str(package.version)) for package, _ in selected if package.version]
    refuse_clashes(path, versions, python)
    # The base's build for the CPU takes the place of the build for GPUs, with all that only that one needs.
    cpu = has_cpu_torch(python.packages) and any(name == "torch" for name, _ in versions)
    for package, file in selected:
        name = escaped(package.name)
        if cpu and cuda_part(package.name):
            continue
        if not isinstance(file, PackageWheel):
            problems.append(f"{name}: no wheel for Python {python.version}; only wheels are used")
            continue
        try:
            pin = _pin(path.parent, package, file, python)
        except ValueError as error:
            problems.append(f"{name}: {error}")
            continue
        if pin.name in pins:
            problems.append(f"{name}: is there twice for Python {python.version}")
        pins[pin.name] = pin
    if problems:
        raise problems_of(path, problems)
    brought = (pins[name] for name in sorted(pins))
    return Lock(pins=tuple(pin for pin in brought if not provided(pin.name, pin.version, python)))


def _pin(folder: Path, package: Package, wheel: PackageWheel, python: PythonFacts) -> Pin:
    """ValueError: no hash, or a file that by its name is not a wheel of this package."""
    digest = wheel.hashes.get("sha256", "")
    address, file = _place(folder, wheel)
    name = file.name if address is None else file_name(address)
    if wheel.name is not None and wheel.name != name:
        raise ValueError(f"the file of {quoted(wheel.name)} is called {quoted(name)}")
    found = read_wheel_name(name, python)
    if found is None:
        raise ValueError(f"{quoted(name)} is not for Python {python.version}")
    if found.package != package.name or str(package.version or found.version) != found.version:
        raise ValueError(f"{quoted(name)} is not a wheel of this package and version")
    try:
        return make_pin(package.name, found.version, (digest,), address, None if address else file)
    except ValueError:
        raise ValueError(f"no sha256 for {quoted(name)}") from None


def _place(folder: Path, wheel: PackageWheel) -> tuple[str | None, Path]:
    """The wheel's path if it has one, else its address."""
    if wheel.path is not None or (wheel.url or "").lower().startswith("file:"):
        return None, local_path(str(wheel.path or wheel.url), folder)
    return web_address(str(wheel.url)), folder
