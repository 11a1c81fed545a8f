"""Paths as people type them: on the command line, in variables, in Python."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import UsageError


def typed_path(text: str | Path, what: str = "") -> Path:
    """Absolute, with `~` and `~name` as a shell reads them. `what` names it in a message.

    UsageError where nothing was typed, which would mean the current folder (`$DATA` that is not set), and
    for `~name` of nobody.
    """
    start = f"{what}: " if what else ""
    if not str(text).strip():
        raise UsageError(f"{start}an empty path", "write the path; a variable in it may be unset")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        hint = "write the path from / on, or ./~ for a name that begins so"
        raise UsageError(f"{start}{str(text)[:100]}: there is no such user", hint) from error
