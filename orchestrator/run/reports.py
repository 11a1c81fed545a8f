"""What the runtime reported from inside the container: evidence that the job could have forged.

So it is read with caps, and anything of another shape than agreed becomes a note, never an error.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from orchestrator.run.began import Stamp
from orchestrator.run.model import Readback
from orchestrator.run.tree import escaped, read_small
from orchestrator.value import Value

MAX_REPORT = 16 << 20  # bytes of one file; 3,000 source files make 0.3 MB
MAX_REPORTS = 1000  # files; a job with more processes than that keeps the first
MAX_TOTAL = 64 << 20  # bytes of all of them: a job can write the names of all, each as large as one may be
MAX_NAMES = 100_000  # entries of the folder that are looked at
MAX_TEXT = 4096  # characters of one value

_NAME = re.compile(r"(start|end|error|refused)-([0-9]{1,10})\.json\Z")


class Reports(Value):
    packages: dict[str, str] = {}
    source: dict[str, str] = {}
    stamps: dict[str, Stamp] = {}  # of the source's files, as the entry point left them
    readbacks: tuple[Readback, ...] = ()
    missing: bool = True  # not even the entry point reported
    refused: str | None = None  # the operation that has no deterministic form, where one ended a process
    notes: tuple[str, ...] = ()


def read_reports(folder: Path) -> Reports:
    """Everything in a report folder, by the names that the runtime uses."""
    notes: list[str] = []
    entry = _read(folder, "entry.json", notes)
    names = _names(folder, notes)
    left = MAX_TOTAL
    if len(names) > MAX_REPORTS:
        notes.append(f"{len(names)} process reports; {MAX_REPORTS} were read")
    starts: dict[int, dict[str, Any]] = {}
    ends: dict[int, dict[str, Any]] = {}
    refused: str | None = None
    for name in names[:MAX_REPORTS]:
        kind, pid = _parts(name)
        left -= _size(folder, name)
        if left < 0:
            notes.append(f"process reports of more than {MAX_TOTAL} bytes; those before {name} were read")
            break
        value = _read(folder, name, notes)
        if value is None:
            continue
        if kind == "error":
            notes.append(f"the runtime failed in process {pid}: {_last_line(value.get('error'))}")
        elif kind == "refused":
            refused = refused or escaped(str(value.get("op")))[:200]
        else:
            (starts if kind == "start" else ends)[pid] = value
    return Reports(
        packages=_texts(entry, "packages"),
        source=_texts(entry, "source"),
        stamps=_stamps(_read(folder, "stamps.json", notes)),
        readbacks=tuple(_readback(pid, starts.get(pid), ends.get(pid)) for pid in sorted(starts | ends)),
        missing=entry is None,
        refused=refused,
        notes=tuple(notes),
    )


def _names(folder: Path, notes: list[str]) -> list[str]:
    """The reports of processes, sorted; a folder that a job has filled is not listed whole."""
    found: list[str] = []
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= MAX_NAMES:
                notes.append(
                    f"more than {MAX_NAMES} entries in the report folder; the rest was not looked at"
                )
                break
            if _NAME.match(entry.name):
                found.append(entry.name)
    return sorted(found)


def _size(folder: Path, name: str) -> int:
    try:
        return min((folder / name).lstat().st_size, MAX_REPORT + 1)
    except OSError:
        return 0  # reading it says what is wrong


def _parts(name: str) -> tuple[str, int]:
    kind, _, rest = name.partition("-")
    return kind, int(rest.removesuffix(".json"))


def _read(folder: Path, name: str, notes: list[str]) -> dict[str, Any] | None:
    try:
        data = read_small(folder, name, MAX_REPORT)
        value = json.loads(data) if data is not None else None
    except (ValueError, RecursionError) as error:
        notes.append(f"report {escaped(name)} cannot be read: {escaped(str(error))[:200]}")
        return None
    if value is not None and not isinstance(value, dict):
        notes.append(f"report {escaped(name)} is not an object")
        return None
    return value


def _readback(pid: int, start: dict[str, Any] | None, end: dict[str, Any] | None) -> Readback:
    argv = (start or end or {}).get("argv")
    words = [_text(str(word)) for word in argv[:256]] if isinstance(argv, list) else []
    return Readback(pid=pid, argv=tuple(words), start=_flags(start), end=_flags(end))


def _flags(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """Flat names to scalars; anything else in there is dropped."""
    flags = None if value is None else value.get("flags")
    if not isinstance(flags, dict):
        return None
    return {
        _text(name): _text(flag) if isinstance(flag, str) else flag
        for name, flag in flags.items()
        if flag is None or isinstance(flag, bool | int | float | str)
    }


def _texts(value: dict[str, Any] | None, key: str) -> dict[str, str]:
    table = (value or {}).get(key)
    if not isinstance(table, dict):
        return {}
    return {_text(name): _text(str(text)) for name, text in sorted(table.items())}


def _stamps(value: dict[str, Any] | None) -> dict[str, Stamp]:
    """Path -> what `entry.stamp` says; what has another shape is dropped."""
    names = tuple(Stamp.model_fields)
    return {
        _text(path): Stamp(**dict(zip(names, numbers, strict=True)))
        for path, numbers in (value or {}).items()
        if isinstance(numbers, list)
        and len(numbers) == len(names)
        and all(type(number) is int and abs(number) < 1 << 64 for number in numbers)
    }


def _text(text: str) -> str:
    """Text that a column and a hash can take. JSON may hold halves of surrogate pairs, and a command line
    that is not UTF-8 is reported with them; UTF-8 has no bytes for them. Nor has PostgreSQL for NUL.
    """
    cut = text[:MAX_TEXT]
    return cut.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _last_line(text: object) -> str:
    lines = str(text).strip().splitlines()
    return escaped(lines[-1])[:200] if lines else "without a word"
