"""Reads a uv.lock: what its project needs on the target, without development groups. uv is not asked.

A lock may come from anybody: it is read into names, versions and hashes. Its addresses are left out; pip
finds the files by their hashes, where it is configured to look.
"""

from __future__ import annotations

import tomllib
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.packages.base_packages import provided, refuse_clashes
from orchestrator.image.wheels.lock import Lock, Pin, make_pin, problems_of
from orchestrator.image.wheels.pylock import DEEP_KEY
from orchestrator.image.wheels.wheel_address import escaped, quoted
from orchestrator.image.wheels.wheel_name import read_wheel_name
from orchestrator.image.wheels.wheel_target import marker_environment

_MAX_VISITS = 50_000  # packages with sets of extras that are looked at
_MAX_ENTRIES = 300_000  # dependencies that are followed, those of one package once for each of its visits
_MAX_SAME = 50  # packages of one name: a lock that forks by platform has some five
_MAX_PROBLEMS = 50
_OWN = ("editable", "virtual", "directory")  # sources of the project's own members


class _Needed:
    """A package of the lock and the extras that are wanted of it."""

    def __init__(self, package: dict[str, Any], extras: tuple[str, ...]) -> None:
        self.package = package
        self.extras = extras

    @property
    def key(self) -> tuple[str, str, tuple[str, ...]]:
        return str(self.package.get("name")), str(self.package.get("version")), self.extras


def read_uv_lock(path: Path, text: str, python: PythonFacts) -> Lock:
    """The pins that the project needs beside the base. UsageError with every package that cannot be taken."""
    packages = _packages(path, text, python)
    problems: list[str] = []
    found = _walk(path, packages, python, problems)
    refuse_clashes(path, sorted((name, version) for name, version in found), python)
    pins: dict[str, Pin] = {}
    for (name, version), package in sorted(found.items()):
        if provided(name, version, python):
            continue
        try:
            pin = make_pin(name, version, _hashes(package, name, version, python))
        except ValueError as error:
            problems.append(str(error))
            continue
        if pin.name in pins:
            problems.append(f"{pin.name}: is there twice for Python {python.version}")
        pins[pin.name] = pin
    if problems:
        raise problems_of(path, problems[:_MAX_PROBLEMS])
    return Lock(pins=tuple(pins[name] for name in sorted(pins)))


def _packages(path: Path, text: str, python: PythonFacts) -> list[dict[str, Any]]:
    if DEEP_KEY.search(text) is not None:
        raise UsageError(f"{path}: a key with more than 32 parts", "no tool writes such a lock")
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise UsageError(f"{path}: not TOML: {escaped(str(error).splitlines()[0])}") from None
    if data.get("version") != 1:
        raise UsageError(
            f"{path}: a lock of another form than uv's first: version {quoted(str(data.get('version')))}",
            "uv export --format pylock.toml -o pylock.toml writes one that is read",
        )
    _refuse_other_python(path, data.get("requires-python"), python)
    listed = data.get("package")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _refuse_other_python(path: Path, versions: object, python: PythonFacts) -> None:
    """uv leaves out of its markers what the Pythons that it locks for have in common: for another one such a
    lock lacks packages, and nothing in it says so."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        fits = SpecifierSet(str(versions or "")).contains(python.version, prereleases=True)
    except (InvalidSpecifier, ValueError):
        raise UsageError(f"{path}: not versions of Python: {quoted(str(versions))}") from None
    if not fits:
        raise UsageError(
            f"{path} is locked for Python {escaped(str(versions))}, and the base has {python.version}",
            "let requires-python in the pyproject.toml take in the base's, and lock again: uv lock",
        )


def _walk(
    path: Path, packages: list[dict[str, Any]], python: PythonFacts, problems: list[str]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Name and version of all that is needed -> its table. Own members are followed and are not among it."""
    roots = [one for one in packages if "." in (_source(one, "editable"), _source(one, "virtual"))]
    roots = roots or [one for one in packages if any(_source(one, kind) for kind in _OWN)]
    if not roots:
        raise UsageError(f"{path}: no project in it", "uv lock, in the project's folder, writes one")
    by_name: dict[str, list[dict[str, Any]]] = {}
    for one in packages:
        same = by_name.setdefault(str(one.get("name")), [])
        same.append(one)
        if len(same) > _MAX_SAME:
            raise UsageError(
                f"{path}: more than {_MAX_SAME} packages are called {quoted(str(one.get('name')))}"
            )
    ahead = deque(_Needed(one, ()) for one in roots)
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    found: dict[tuple[str, str], dict[str, Any]] = {}
    followed = 0
    while ahead and len(problems) < _MAX_PROBLEMS:
        needed = ahead.popleft()
        if needed.key in seen:
            continue
        seen.add(needed.key)
        if len(seen) > _MAX_VISITS:
            raise UsageError(f"{path}: needs more than {_MAX_VISITS:,} packages")
        package, (name, version, _) = needed.package, needed.key
        own = any(_source(package, kind) for kind in _OWN)
        if not own and not _source(package, "registry"):
            problems.append(f"{escaped(name)}: comes from no package index; its code belongs into the source")
            continue
        if not own:
            found[name, version] = package
        for entry in _entries(package, needed.extras, own or not provided(name, version, python)):
            followed += 1
            if followed > _MAX_ENTRIES:
                raise UsageError(f"{path}: has more than {_MAX_ENTRIES:,} dependencies to follow")
            try:
                ahead += _followed(entry, by_name, python)
            except ValueError as error:
                problems.append(f"{escaped(name)}: {error}")
    return found


def _entries(package: dict[str, Any], extras: tuple[str, ...], plain: bool) -> Iterable[Any]:
    """What a package needs. The base has the needs of what it has, but not those of extras."""
    listed = package.get("dependencies")
    if plain and isinstance(listed, list):
        yield from listed
    optional = package.get("optional-dependencies")
    for extra in extras:
        inner = optional.get(extra) if isinstance(optional, dict) else None
        yield from inner if isinstance(inner, list) else ()


def _followed(
    entry: Any, packages: dict[str, list[dict[str, Any]]], python: PythonFacts
) -> Iterable[_Needed]:
    """The package that a dependency means, on the target. ValueError: none, or several."""
    from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName

    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ValueError("a dependency without a name")  # noqa: TRY004  (a lock's fault, not a type's)
    marker = entry.get("marker")
    try:
        if marker is not None and not Marker(str(marker)).evaluate(marker_environment(python)):
            return []
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName, RecursionError, ValueError):
        raise ValueError(f"a marker that cannot be evaluated: {quoted(str(marker))}") from None
    wanted = {key: entry[key] for key in ("name", "version", "source") if key in entry}
    named = packages.get(entry["name"], [])
    meant = [one for one in named if all(one.get(key) == value for key, value in wanted.items())]
    if len(meant) != 1:
        raise ValueError(f"{len(meant)} packages of the lock are meant by {quoted(str(entry['name']))}")
    extras = entry.get("extra")
    return [_Needed(meant[0], tuple(sorted(map(str, extras))) if isinstance(extras, list) else ())]


def _hashes(package: dict[str, Any], name: str, version: str, python: PythonFacts) -> tuple[str, ...]:
    """The SHA-256 of each wheel that fits the target. ValueError: there is none."""
    found = []
    listed = package.get("wheels")
    for wheel in listed if isinstance(listed, list) else ():
        if not isinstance(wheel, dict):
            continue
        place = str(wheel.get("url") or wheel.get("path") or wheel.get("filename") or "")
        digest = str(wheel.get("hash"))
        try:
            read = read_wheel_name(place.partition("#")[0].rpartition("/")[2].replace("%2B", "+"), python)
        except ValueError:
            continue
        if read is not None and read.package == name and digest.startswith("sha256:"):
            found.append(digest.removeprefix("sha256:"))
    if not found:
        what = f"{escaped(name)} {escaped(version)}"
        raise ValueError(f"{what}: no wheel with a SHA-256 for Python {python.version}")
    return tuple(found)


def _source(package: dict[str, Any], kind: str) -> str:
    """Where a package of one kind of source lies; empty for another kind."""
    source = package.get("source")
    value = source.get(kind) if isinstance(source, dict) else None
    return value if isinstance(value, str) else ""
