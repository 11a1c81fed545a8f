"""Paths as people type them: on the command line, in variables, in Python."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

from orchestrator.errors import UsageError


def typed_path(text: str | Path, what: str = "") -> Path:
    """Absolute, with `~` and `~name` as a shell reads them. `what` names it in a message.

    UsageError where nothing was typed, which would mean the current folder (`$DATA` that is not set), for
    `~name` of nobody, and for what no file can be called.
    """
    start = f"{what}: " if what else ""
    if not str(text).strip():
        raise UsageError(f"{start}an empty path", "write the path; a variable in it may be unset")
    try:
        path = Path(text).expanduser().absolute()
    except RuntimeError as error:
        hint = "write the path from / on, or ./~ for a name that begins so"
        raise UsageError(f"{start}{str(text)[:100]}: there is no such user", hint) from error
    refuse_too_long(path, start)
    return path


def path_to_write(path: Path, *, appending: bool = False) -> Path:
    """The path made absolute. UsageError, before any work, where its folder is not there (a misspelt path
    would make a new one), or where nothing can be made in it. A file that is there needs the folder, too,
    because a new one takes its place; except where one is `appending` to it.
    """
    path = typed_path(path)
    try:
        there = path.parent.is_dir()
    except OSError:  # one above it may not be looked into
        there = False
    if not there:
        raise UsageError(
            f"there is no folder {path.parent} for {path.name}",
            f"correct the path, or make the folder: mkdir -p {shlex.quote(str(path.parent))}",
        )
    if appending and os.path.lexists(path):
        return path
    refuse_closed(path if os.path.isdir(path) else path.parent)  # noqa: PTH112  (Path's raises where it may not look)
    return path


def refuse_closed(folder: Path) -> None:
    """UsageError where nothing can be made in a folder."""
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):  # noqa: PTH112  (as above)
        raise UsageError(
            f"nothing can be written into the folder {folder}", "name a folder that you may write to"
        )


def refuse_too_long(path: Path, start: str = "") -> None:
    """UsageError for a path that no file can have: looking there would fail as well as writing."""
    try:
        os.lstat(path.absolute())
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            hint = "shorten it: systems take 255 bytes of a name, and 4,095 of a path"
            raise UsageError(f"{start}{str(path)[:100]}…: {error.strerror}", hint) from error
