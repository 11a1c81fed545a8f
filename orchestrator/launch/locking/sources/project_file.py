"""Reads the dependencies in a pyproject.toml (also of Poetry) and a setup.cfg; runs nothing."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.image.wheels.pylock import DEEP_KEY
from orchestrator.image.wheels.wheel_address import escaped, quoted
from orchestrator.launch.locking.sources.found_requirements import MAX_FILE, FoundRequirements, place_inside
from orchestrator.launch.locking.sources.pip_file import read_pip_file
from orchestrator.spec.plain_file import read_plain

_CARET = re.compile(r"(?P<operator>[\^~])\s*(?P<version>[0-9]{1,9}(?:\.[0-9]{1,9}){0,3})")
_POETRY_BARE = re.compile(r"[0-9][0-9A-Za-z.+!]*")
_MAX_GROUPS = 50


def read_pyproject(path: Path, extras: Sequence[str] = (), groups: Sequence[str] = ()) -> FoundRequirements:
    """UsageError: not TOML, no dependencies in it, or no such extra or group."""
    table = read_toml(path)
    project, poetry = _table(table, "project"), _table(table, "tool", "poetry")
    if not project and poetry:
        return _poetry(path, poetry, extras, groups)
    if not project and not groups:
        raise UsageError(f"{path} has no [project] with dependencies", "write them into requirements.in")
    lines = list(_texts(project.get("dependencies"), path, "project.dependencies"))
    if made_by_program(project):
        lines += _dynamic(path, _table(table, "tool", "setuptools", "dynamic"))
    optional = _table(project, "optional-dependencies")
    for extra in extras:
        lines += _texts(
            _named(optional, extra, path, "extra"), path, f"project.optional-dependencies.{extra}"
        )
    known = _table(table, "dependency-groups")
    seen: set[str] = set()
    for group in groups:
        lines += _group(known, group, path, (), seen)
    return FoundRequirements(
        lines=tuple(lines), notes=tuple(_sources(_table(table, "tool", "uv", "sources")))
    )


def read_setup_cfg(path: Path, extras: Sequence[str] = ()) -> FoundRequirements:
    """UsageError: not of that form, or it lists nothing."""
    parser = configparser.RawConfigParser(strict=True)
    try:
        parser.read_string(read_plain(path, MAX_FILE).decode("utf-8-sig"), str(path))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {escaped(str(error).splitlines()[0])}") from None
    lines = parser.get("options", "install_requires", fallback="").splitlines()
    if lines and lines[0].strip().startswith("file:"):
        named = lines[0].strip().removeprefix("file:").split(",")
        lines = _of_files(path, [name.strip() for name in named])
    for extra in extras:
        if not parser.has_option("options.extras_require", extra):
            raise UsageError(f"{path} has no extra {extra!r}")
        lines += parser.get("options.extras_require", extra).splitlines()
    found = tuple(line.strip() for line in lines if line.strip() and not line.strip().startswith("#"))
    if not found:
        raise UsageError(f"{path} has no install_requires", "write the packages into requirements.in")
    return FoundRequirements(lines=found)


def made_by_program(project: dict[str, Any]) -> bool:
    """Whether a [project] leaves its dependencies to the program that builds it."""
    dynamic = project.get("dynamic")
    return isinstance(dynamic, list) and "dependencies" in dynamic


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's table. UsageError: it is not TOML, or takes minutes to read."""
    try:
        text = read_plain(path, MAX_FILE).decode("utf-8-sig")
        if DEEP_KEY.search(text) is not None:
            raise UsageError(f"{path}: a key with more than 32 parts", "no tool writes such a file")
        return tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise UsageError(f"{path}: not TOML: {escaped(str(error).splitlines()[0])}") from None


def _table(value: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        inner = value.get(name)
        value = inner if isinstance(inner, dict) else {}
    return value


def _texts(value: Any, path: Path, key: str) -> Iterable[str]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError(f"{path}: {key} is not a list of texts")
    return value


def _named(table: dict[str, Any], name: str, path: Path, what: str) -> Any:
    found = {re.sub(r"[-_.]+", "-", key).lower(): value for key, value in table.items()}
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key not in found:
        known = ", ".join(sorted(escaped(one) for one in table)[:20]) or "none"
        raise UsageError(f"{path} has no {what} {name!r}", f"there is: {known}")
    return found[key]


def _group(known: dict[str, Any], name: str, path: Path, above: tuple[str, ...], seen: set[str]) -> list[str]:
    """The lines of a group and of those that it includes, each group once: `seen` has those that are done."""
    if name in above or len(above) > _MAX_GROUPS:
        raise UsageError(f"{path}: the dependency groups include each other: {escaped(' '.join(above))}")
    if name in seen:
        return []
    seen.add(name)
    lines: list[str] = []
    entries = _named(known, name, path, "dependency group")
    for entry in entries if isinstance(entries, list) else [None]:
        inner = entry.get("include-group") if isinstance(entry, dict) else None
        if isinstance(inner, str):
            lines += _group(known, inner, path, (*above, name), seen)
        elif isinstance(entry, str):
            lines.append(entry)
        else:
            raise UsageError(f"{path}: dependency-groups.{escaped(name)} is not a list of requirements")
    return lines


def _dynamic(path: Path, dynamic: dict[str, Any]) -> list[str]:
    """setuptools' `dependencies = {file = [...]}`, inside the folder."""
    named = _table(dynamic, "dependencies").get("file")
    files = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    if not files:
        raise UsageError(
            f"{path}: its dependencies are made by a program (dynamic)", "write them into requirements.in"
        )
    return _of_files(path, [str(name) for name in files])


def _of_files(path: Path, names: Iterable[str]) -> list[str]:
    """The lines of requirements files that a project file names, inside its folder."""
    lines: list[str] = []
    for name in names:
        other = place_inside(path.parent, path.parent / name)
        if other is None:
            raise UsageError(f"{path}: {quoted(name)} does not lie beside it")
        lines += read_pip_file(other).lines
    return lines


def _sources(sources: dict[str, Any]) -> Iterable[str]:
    for name in list(sources)[:20]:
        yield f"tool.uv.sources.{escaped(name)} is left out: packages come from where this box's pip looks"


def _poetry(
    path: Path, poetry: dict[str, Any], extras: Sequence[str], groups: Sequence[str]
) -> FoundRequirements:
    tables = [_table(poetry, "dependencies")]
    for group in groups:
        named = _named(_table(poetry, "group"), group, path, "dependency group")
        tables.append(_table(named if isinstance(named, dict) else {}, "dependencies"))
    wanted = {
        name
        for extra in extras
        for name in _texts(_named(_table(poetry, "extras"), extra, path, "extra"), path, f"extras.{extra}")
    }
    lines: list[str] = []
    for table in tables:
        for name, value in table.items():
            optional = isinstance(value, dict) and value.get("optional") is True
            if name.lower() != "python" and (not optional or name in wanted):
                lines.append(_poetry_line(path, name, value))
    return FoundRequirements(lines=tuple(lines))


def _poetry_line(path: Path, name: str, value: Any) -> str:
    fields = value if isinstance(value, dict) else {"version": value}
    versions, extras, marker = fields.get("version"), fields.get("extras"), fields.get("markers")
    if not isinstance(versions, str) or {"git", "path", "url"} & fields.keys():
        raise UsageError(
            f"{path}: {escaped(name)} comes from no package index, or has several versions",
            "write it into requirements.in as one requirement; code of your own belongs into the source",
        )
    text = name + (f"[{','.join(map(str, extras))}]" if isinstance(extras, list) else "")
    text += ",".join(_poetry_versions(part.strip()) for part in versions.split(",") if part.strip() != "*")
    return text + (f"; {marker}" if isinstance(marker, str) else "")


def _poetry_versions(text: str) -> str:
    """Poetry's `^1.2` is `>=1.2,<2`, `~1.2` is `>=1.2,<1.3`, `1.2` is `==1.2`."""
    match = _CARET.fullmatch(text)
    if match is None:
        if "*" in text and not text.startswith(("=", "!")):
            return f"=={text}"
        return f"=={text}" if _POETRY_BARE.fullmatch(text) else text
    numbers = [int(part) for part in match["version"].split(".")]
    if match["operator"] == "~":
        place = min(1, len(numbers) - 1)
    else:
        place = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
    upper = [*numbers[:place], numbers[place] + 1]
    return f">={match['version']},<{'.'.join(map(str, upper))}"
