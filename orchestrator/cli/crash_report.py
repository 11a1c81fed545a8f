"""A bug in Reprise: the traceback goes to a file, the user gets one line and what to do with it."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

from orchestrator import __version__
from orchestrator.redaction import redact
from orchestrator.settings import load


def report_crash(error: Exception, args: list[str]) -> tuple[str, str]:
    """Write `REPRISE_HOME/crash-*.txt`; return the message and the hint for the user.

    Where the file cannot be written, the traceback is printed in its place: it is never lost.
    """
    first_line = redact((str(error).splitlines() or [""])[0])[:300]
    message = f"a bug in reprise: {type(error).__name__}: {first_line}"
    now = datetime.now(UTC)
    versions = f"reprise {__version__}, Python {platform.python_version()}, {platform.platform()}"
    text = f"{versions}, {now.isoformat()}\nreprise {shlex.join(args)}\n\n"
    text += "".join(traceback.format_exception(error))
    text = redact(text)
    try:
        path = _write(text, now)
    except OSError as failure:
        sys.stderr.write(text)
        return message, f"report it with the text above (it could not be written to a file: {failure})"
    return message, f"report it with the file {path}; look through it first: it holds the command line"


def _write(text: str, now: datetime) -> Path:
    home = load().home
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / f"crash-{now:%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
    return path
