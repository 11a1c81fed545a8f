"""A box's own flavours: a table in REPRISE_HOME/bases.toml, and a folder with its lock and its inputs.

The table is the recipe of the flavour that it was made from, with another lock:

    [mine]
    requirements = "flavours/mine/requirements.txt"
    target = "cuda"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from orchestrator.durable import locked, write_bytes
from orchestrator.errors import StoreError, UsageError
from orchestrator.image.base.base_pins import PINS_BYTES, list_pins, quoted_toml, recipe_tables
from orchestrator.image.base.recipe import Recipe
from orchestrator.settings import Settings
from orchestrator.spec.plain_file import read_plain

FOLDER = "flavours"  # in REPRISE_HOME
ASKED = "requirements.in"
LOCK = "requirements.txt"

# Also a Docker tag's part, a folder's name and a bare key of TOML.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}\Z")


def check_name(settings: Settings, name: str) -> None:
    """UsageError: no name for a flavour, or one that is taken."""
    if not _NAME.match(name):
        raise UsageError(
            f"not a name for a base: {name!r}", "letters, digits, dash and underscore, at most 60"
        )
    pinned = {pin.name for pin in list_pins(settings)}
    if name in recipe_tables(settings) or name in pinned:
        raise UsageError(
            f"the name {name} is taken: there is such a base",
            f"choose another; one of your own goes when its tables leave {settings.pins}",
        )


def write_flavour(settings: Settings, name: str, parent: Recipe, asked: Iterable[str], lock: str) -> None:
    """Keep a flavour: the recipe of `parent` with another lock. Safe for processes at once.

    UsageError: the name is taken. StoreError: the file of bases would not read back the same.
    """
    folder = settings.home / FOLDER / name
    settings.home.mkdir(parents=True, exist_ok=True)
    with locked(settings.home):
        check_name(settings, name)
        old = read_plain(settings.pins, PINS_BYTES, named=True).decode() if settings.pins.exists() else ""
        table = _table(name, parent)
        text = (old.rstrip("\n") + "\n\n" if old.strip() else "") + _block(name, table)
        if _loads(text) != _loads(old) | {name: table}:
            raise StoreError(
                f"{settings.pins}: {name} cannot be added to it: something there has this name already"
            )
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"# Asked for by `reprise base new {name} --from {parent.flavour}`.\n"]
        write_bytes(folder / ASKED, "".join([*lines, *(f"{line}\n" for line in asked)]).encode())
        write_bytes(folder / LOCK, lock.encode())
        write_bytes(settings.pins, text.encode())  # last: it names the others


def _loads(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _table(name: str, parent: Recipe) -> dict[str, Any]:
    table = {
        "os_image": parent.os_image,
        "release": f"{parent.release.distribution}/{parent.release.codename}",
        "python": parent.python,
        "requirements": f"{FOLDER}/{name}/{LOCK}",
        "packages": list(parent.packages),
        "wheel_index": parent.wheel_index,
        "target": parent.target,
    }
    return {key: value for key, value in table.items() if value}


def _block(name: str, table: dict[str, Any]) -> str:
    lines = [f"[{name}]"]
    for key, value in table.items():
        words = f"[{', '.join(map(quoted_toml, value))}]" if isinstance(value, list) else quoted_toml(value)
        lines.append(f"{key} = {words}")
    return "\n".join(lines) + "\n"
