"""Pins say which digest the name of a base stands for, in two TOML files; the committed one takes precedence.

    ["cpu".pin]
    digest = "sha256:..."           # of the manifest
    config_digest = "sha256:..."
    reference = "reprise-base:cpu"  # what an engine or a registry is asked for
    ["cpu".pin.python]              # PythonFacts, as probed
    ["cpu".pin.python.packages]

Beside `pin`, a flavour's table holds its recipe (recipe.py reads it): the committed flavours in the one file,
this box's own in the other. Manifest and config bytes are blobs of the layout under these digests.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.digest import Digest
from orchestrator.durable import locked, write_bytes
from orchestrator.errors import StoreError, UsageError
from orchestrator.image.image_model import Base, PythonFacts
from orchestrator.settings import Settings
from orchestrator.spec.plain_file import read_plain
from orchestrator.value import Value

PINS_BYTES = 16 << 20  # of a file of pins
COMMITTED = "bases.toml"  # in settings.recipes


class BasePin(Value):
    """One name's pin, as a pins file has it."""

    name: str
    digest: Digest
    config_digest: Digest
    reference: str
    python: PythonFacts
    committed: bool = False  # in the repository, the same for everyone; else made on this box


def list_pins(settings: Settings) -> tuple[BasePin, ...]:
    """Every pin that is in force, sorted by name. Where both files pin a name, the committed one is."""
    own = {pin.name: pin for pin in read_pins(settings.pins, committed=False)}
    shared = {pin.name: pin for pin in read_pins(settings.recipes / COMMITTED, committed=True)}
    return tuple(pin for _, pin in sorted((own | shared).items()))


def flavours(settings: Settings) -> tuple[str, ...]:
    """The names that have a recipe, pinned or not."""
    return tuple(sorted(recipe_tables(settings)))


def recipe_tables(settings: Settings) -> dict[str, tuple[Path, dict[str, Any]]]:
    """The file and the table of each flavour; where both files have it, those of the committed one."""
    found = {}
    for path in (settings.pins, settings.recipes / COMMITTED):
        for name, table in _read(path).items():
            if isinstance(table, dict) and (path != settings.pins or "os_image" in table):
                found[name] = (path, table)
    return found


def default_flavour(settings: Settings) -> str:
    """The base of a spec that names none. UsageError where bases.toml does not say it."""
    path = settings.recipes / COMMITTED
    name = _read(path).get("default")
    if not isinstance(name, str):
        hint = 'write default = "FLAVOUR" at its top, or a base in the spec'
        raise UsageError(f"{path} has no default", hint)
    return name


def read_pins(path: Path, committed: bool) -> tuple[BasePin, ...]:
    """UsageError for a file that is not TOML, or a pin with a missing or malformed field."""
    pins = []
    for name, table in _read(path).items():
        if not isinstance(table, dict) or "pin" not in table:
            continue
        try:
            pins.append(BasePin.model_validate(table["pin"] | {"name": name, "committed": committed}))
        except (ValidationError, TypeError) as error:
            where = error.errors()[0]["loc"] if isinstance(error, ValidationError) else ()
            field = ".".join(str(part) for part in where)
            raise UsageError(f"{path}: the pin of {name!r} is malformed: {field or error}") from None
    return tuple(pins)


def write_pin(path: Path, name: str, base: Base) -> None:
    """Pin `name` to the base in a pins file; its recipe, comments and other pins stay as they are.

    Safe for processes at once: the folder is locked. StoreError if the file would not read back the same.
    """
    pin = BasePin(
        name=name,
        digest=base.ref.digest,
        config_digest=base.ref.config_digest,
        reference=base.reference,
        python=base.python,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):
        before = _read(path)
        old = read_plain(path, PINS_BYTES, named=True).decode() if path.exists() else ""
        text = _without(old, name) + _block(pin)
        expected = before | {name: before.get(name, {}) | {"pin": _table(pin)}}
        if tomllib.loads(text) != expected:
            raise StoreError(
                f"{path}: the pin of {name!r} is not written as its own tables",
                "remove it by hand, then try again",
            )
        write_bytes(path, text.encode())


def _read(path: Path) -> dict[str, Any]:
    if not os.path.lexists(path):
        return {}
    try:
        return tomllib.loads(read_plain(path, PINS_BYTES, named=True).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from None


def _without(text: str, name: str) -> str:
    """The file without the tables of one pin: from their headers to the next header or comment."""
    quoted = f"(?:{re.escape(quoted_toml(name))}|'{re.escape(name)}'|{re.escape(name)})"
    header = re.compile(rf"\s*\[\s*{quoted}\s*\.\s*pin\s*[.\]]")
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith(("[", "#")):
            inside = header.match(line) is not None
        if not inside:
            kept.append(line)
    body = "".join(kept).rstrip("\n")
    return body + "\n\n" if body else ""


def _table(pin: BasePin) -> dict[str, Any]:
    return pin.model_dump(mode="json", exclude={"name", "committed"}, exclude_none=True)


def _block(pin: BasePin) -> str:
    name, table = quoted_toml(pin.name), _table(pin)
    python = table.pop("python")
    packages = python.pop("packages")
    parts = [
        (f"{name}.pin", table),
        (f"{name}.pin.python", python),
        (f"{name}.pin.python.packages", dict(sorted(packages.items()))),
    ]
    return "\n".join(f"[{header}]\n{_pairs(values)}" for header, values in parts)


def _pairs(values: dict[str, str]) -> str:
    return "".join(f"{quoted_toml(key)} = {quoted_toml(value)}\n" for key, value in values.items())


def quoted_toml(text: str) -> str:
    """A TOML basic string: JSON's escapes are among TOML's, but for DEL, which JSON leaves bare."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
