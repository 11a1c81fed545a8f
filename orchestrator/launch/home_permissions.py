"""This box's home is closed to other users: it holds sources, parameters, data and keys of all runs.

Only a store that was opened for a team stays open to others, even inside the home.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.settings import Settings

_OTHERS = 0o077
_THROUGH = 0o011  # on the way to a shared store: names cannot be listed
_OURS = frozenset(
    {"attempts", "bases.lock", "bases.toml", "flavours", "identity.key", "images", "imports", "imports.lock"}
    | {"inputs", "keys", "last-audit.json", "spool", "store", "web", "wheels", "worker.log"}
)
_BEGINNINGS = ("reprise.db", "hashes.db", "crash-", ".")


def close_home(settings: Settings) -> Iterator[str]:
    """Make the home if it is absent and close it to other users. Yields warnings for what stays open."""
    with suppress(OSError):  # the code that needs the home reports what is wrong with it
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home, through = settings.home, _THROUGH if _shared_inside(settings) else 0
    if _mode(home) & _OTHERS & ~through:
        strangers = sorted(path.name for path in home.iterdir() if not _is_ours(path.name))
        if strangers:  # the folder has other uses: closing it could lock somebody out
            yield f"{home} is open to others, and left so: {strangers[0]} in it is not of Reprise"
        else:
            yield from _close(home, through)
    for folder in (settings.layout, settings.attempts):
        if _mode(folder) & _OTHERS:
            yield from _close(folder, 0)


def _close(folder: Path, through: int) -> Iterator[str]:
    try:
        folder.chmod(_mode(folder) & ~_OTHERS | through)
    except OSError as error:
        yield f"{folder} is open to others, and cannot be closed: {error.strerror}"


def _shared_inside(settings: Settings) -> bool:
    inside = settings.store.resolve().is_relative_to(settings.home.resolve())
    return inside and bool(_mode(settings.store) & 0o022)


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(_BEGINNINGS)


def _mode(folder: Path) -> int:
    """Permission bits; 0 where the folder is absent."""
    try:
        facts = folder.stat()
    except OSError:
        return 0
    return stat.S_IMODE(facts.st_mode) if stat.S_ISDIR(facts.st_mode) else 0
