"""Writes reports: small JSON files in the folder REPRISE_REPORT. Without that folder nothing is written.

The writer is our own because importing `json` adds 7 ms to the 9 ms of an interpreter's start, and
pathlib 9 ms.
"""

# ruff: noqa: PTH105, PTH112, PTH118, PTH123

from __future__ import annotations

import os
import sys
from _json import encode_basestring_ascii as _quote

FOLDER = os.environ.get("REPRISE_REPORT", "")
"""Read once, before the user's code can change it."""


def encode(value: object) -> str:
    """JSON of dicts, lists and scalars. NaN and infinities become strings."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        text = float.__repr__(value)
        return text if text[-1].isdigit() else _quote(text)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quote(str(key))}:{encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(encode, value)) + "]"
    return _quote(str(value))


def write(name: str, value: dict[str, object]) -> None:
    """Write `REPRISE_REPORT/name` completely or not at all. Raises OSError where the folder refuses it."""
    if not os.path.isdir(FOLDER):
        return
    path = os.path.join(FOLDER, name)
    partial = f"{path}.{os.getpid()}.tmp"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with open(descriptor, "w", encoding="ascii") as stream:
        stream.write(encode(value))
    os.replace(partial, path)


def argv() -> list[str]:
    """This process's command line with the interpreter's options; before Python 3.10 without them."""
    return list(getattr(sys, "orig_argv", sys.argv))


def failed(where: str, error: BaseException) -> None:
    """Leave `error-<pid>.json`: a part of the runtime broke, and the job goes on without it.

    Where there is no folder or the report cannot be written, standard error gets the message.
    """
    import traceback

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        if os.path.isdir(FOLDER):
            pid = os.getpid()
            write(f"error-{pid}.json", {"pid": pid, "argv": argv(), "where": where, "error": text})
            return
    except OSError as second:
        text += f"and the report could not be written: {second}"
    if sys.stderr is not None:
        sys.stderr.write(f"reprise: {where} failed, the job goes on without it: {text.strip()}\n")
