"""Paths as people type them: on the command line, in variables, in Python."""

from __future__ import annotations

import errno
import os
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


def refuse_too_long(path: Path, start: str = "") -> None:
    """UsageError for a path that no file can have: looking there would fail as well as writing."""
    try:
        os.lstat(path.absolute())
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            hint = "shorten it: systems take 255 bytes of a name, and 4,095 of a path"
            raise UsageError(f"{start}{str(path)[:100]}…: {error.strerror}", hint) from error
