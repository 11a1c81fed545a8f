"""Reads the dependencies in a pyproject.toml (also of Poetry) and a setup.cfg; runs nothing."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.pylock import DEEP_KEY
from orchestrator.image.wheels.wheel_address import escaped, quoted
from orchestrator.launch.locking.sources.found_requirements import MAX_FILE, FoundRequirements, place_inside
from orchestrator.launch.locking.sources.own_code import (
    NOT_OF_INDEX,
    of_no_index,
    refuse_own_code,
    without_itself,
)
from orchestrator.launch.locking.sources.pip_file import read_pip_file
from orchestrator.launch.locking.sources.python_asked import about_python
from orchestrator.spec.plain_file import read_plain, utf8_text

_CARET = re.compile(r"(?P<operator>[\^~])\s*(?P<version>[0-9]{1,9}(?:\.[0-9]{1,9}){0,3})")
_POETRY_BARE = re.compile(r"[0-9][0-9A-Za-z.+!]*")
_MINOR = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_MAX_GROUPS = 50


def read_pyproject(
    path: Path, python: PythonFacts, extras: Sequence[str] = (), groups: Sequence[str] = ()
) -> FoundRequirements:
    """UsageError: not TOML, no dependencies in it, no such extra or group, or a package of no index."""
    table = read_toml(path)
    project, poetry = _table(table, "project"), _table(table, "tool", "poetry")
    if not project and poetry:
        return _poetry(path, python, poetry, extras, groups)
    if not project and not groups:
        raise UsageError(f"{path} has no [project] with dependencies", "write them into requirements.in")
    found = FoundRequirements(lines=tuple(_texts(project.get("dependencies"), path, "project.dependencies")))
    if made_by_program(project):
        found = found.and_more(_dynamic(path, _table(table, "tool", "setuptools", "dynamic")))
    optional = _table(project, "optional-dependencies")

    def of_extra(extra: str) -> Iterable[str]:
        named = _named(optional, extra, path, "extra")
        return _texts(named, path, f"project.optional-dependencies.{extra}")

    lines = [line for extra in extras for line in of_extra(extra)]
    known = _table(table, "dependency-groups")
    seen: set[str] = set()
    for group in groups:
        lines += _group(known, group, path, (), seen)
    found = found.and_more(FoundRequirements(lines=tuple(lines)))
    found = without_itself(path, str(project.get("name", "")), found, of_extra)
    uv = _table(table, "tool", "uv")
    limits = tuple(_texts(uv.get("constraint-dependencies"), path, "tool.uv.constraint-dependencies"))
    sources = _table(poetry, "dependencies") | _table(uv, "sources")
    refuse_own_code(path, python, found.lines, sources)
    asked = about_python(path, str(project.get("requires-python", "")), python)
    return found.and_more(FoundRequirements(limits=limits, notes=(*asked, *_left_out(uv))))


def read_setup_cfg(path: Path, python: PythonFacts, extras: Sequence[str] = ()) -> FoundRequirements:
    """UsageError: not of that form, or it lists nothing."""
    parser = configparser.RawConfigParser(strict=True)
    try:
        parser.read_string(utf8_text(path, read_plain(path, MAX_FILE)), str(path))
    except configparser.Error as error:
        raise UsageError(f"{path} cannot be read: {escaped(str(error).splitlines()[0])}") from None

    def listed(section: str, key: str) -> Iterable[str]:
        lines = (line.strip() for line in parser.get(section, key, fallback="").splitlines())
        return (line for line in lines if line and not line.startswith("#"))

    def of_extra(extra: str) -> Iterable[str]:
        if not parser.has_option("options.extras_require", extra):
            raise UsageError(f"{path} has no extra {extra!r}")
        return listed("options.extras_require", extra)

    lines = tuple(listed("options", "install_requires"))
    found = FoundRequirements(lines=lines)
    if lines and lines[0].startswith("file:"):
        names = ",".join(lines).removeprefix("file:").split(",")
        found = _of_files(path, [name.strip() for name in names if name.strip()])
    more = tuple(line for extra in extras for line in of_extra(extra))
    name = parser.get("metadata", "name", fallback="")
    found = without_itself(path, name, found.and_more(FoundRequirements(lines=more)), of_extra)
    if not found.lines:
        raise UsageError(f"{path} has no install_requires", "write the packages into requirements.in")
    notes = about_python(path, parser.get("options", "python_requires", fallback=""), python)
    return found.and_more(FoundRequirements(notes=tuple(notes)))


def made_by_program(project: dict[str, Any]) -> bool:
    """Whether a [project] leaves its dependencies to the program that builds it."""
    dynamic = project.get("dynamic")
    return isinstance(dynamic, list) and "dependencies" in dynamic


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's table. UsageError: it is not TOML, or takes minutes to read."""
    try:
        text = utf8_text(path, read_plain(path, MAX_FILE))
        if DEEP_KEY.search(text) is not None:
            raise UsageError(f"{path}: a key with more than 32 parts", "no tool writes such a file")
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
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
    found = {canonicalize_name(key): value for key, value in table.items()}
    key = canonicalize_name(name)
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


def _dynamic(path: Path, dynamic: dict[str, Any]) -> FoundRequirements:
    """setuptools' `dependencies = {file = [...]}`, inside the folder."""
    named = _table(dynamic, "dependencies").get("file")
    files = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    if not files:
        raise UsageError(
            f"{path}: its dependencies are made by a program (dynamic)", "write them into requirements.in"
        )
    return _of_files(path, [str(name) for name in files])


def _of_files(path: Path, names: Iterable[str]) -> FoundRequirements:
    """What requirements files ask for that a project file names, inside its folder."""
    found = FoundRequirements()
    for name in names:
        other = place_inside(path.parent, path.parent / name)
        if other is None:
            raise UsageError(f"{path}: {quoted(name)} does not lie beside it")
        found = found.and_more(read_pip_file(other))
    return found


def _left_out(uv: dict[str, Any]) -> Iterable[str]:
    """What of uv's table has no effect."""
    for name in list(_table(uv, "sources"))[:20]:
        yield f"tool.uv.sources.{escaped(name)} is left out: packages come from where this box's pip looks"
    if uv.get("override-dependencies"):
        yield "tool.uv.override-dependencies is left out: what packages ask for holds"


def _poetry(
    path: Path, python: PythonFacts, poetry: dict[str, Any], extras: Sequence[str], groups: Sequence[str]
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
    asked = _table(poetry, "dependencies").get("python")
    notes = about_python(path, _poetry_python(asked), python) if isinstance(asked, str) else ()
    return FoundRequirements(lines=tuple(lines), notes=tuple(notes))


def _poetry_line(path: Path, name: str, value: Any) -> str:
    fields = value if isinstance(value, dict) else {"version": value}
    versions, extras, marker = fields.get("version"), fields.get("extras"), fields.get("markers")
    if not isinstance(versions, str) or NOT_OF_INDEX & fields.keys():
        raise of_no_index(path, name)
    text = name + (f"[{','.join(map(str, extras))}]" if isinstance(extras, list) else "")
    text += ",".join(_poetry_versions(part.strip()) for part in versions.split(",") if part.strip() != "*")
    return text + (f"; {marker}" if isinstance(marker, str) else "")


def _poetry_python(text: str) -> str:
    """`^3.9` as pip writes it; `3.11` is each 3.11.x."""
    parts = (part.strip() for part in text.split(","))
    return ",".join(f"=={part}.*" if _MINOR.fullmatch(part) else _poetry_versions(part) for part in parts)


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
