"""What the payload reported from inside the container. The job could have forged it.

So it is read within limits, and what has another shape than agreed becomes a note, never an error.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.run.attempt_model import Readback
from orchestrator.run.collect.job_files import MAX_REASON, bounded, clean, costs_that_file, parse_json
from orchestrator.run.collect.starting_source import Stamp, StartingSource
from orchestrator.run.collect.walk_tree import MAX_NAMES, read_small, report_names
from orchestrator.value import Value

MAX_ENTRY = 16 << 20  # bytes of the entry point's report; 3,000 source files make 0.3 MB
MAX_REPORT = 1 << 20  # bytes of a process's; 5 kB are usual
MAX_REPORTS = 1000  # files; a job with more processes than that keeps the first
MAX_TOTAL = 16 << 20  # bytes of all of them: a job can write the names of all, each as large as one may be
MAX_TEXT = 4096  # characters of one value
MAX_WORDS = 256  # of a command line
_INTEGERS = range(-(1 << 63), 1 << 63)

_NAME = re.compile(r"(start|now|end|error|refused)-([0-9]{1,10})\.json\Z")


class Reports(Value):
    packages: dict[str, str] = {}
    source: dict[str, str] = {}
    stamps: dict[str, Stamp] = {}  # of the source's files, as the entry point left them
    readbacks: tuple[Readback, ...] = ()
    missing: bool = True  # not even the entry point reported
    refused: str | None = None  # the operation that has no deterministic form, where one ended a process
    notes: tuple[str, ...] = ()

    @property
    def began(self) -> StartingSource:
        return StartingSource(hashes=self.source, stamps=self.stamps)


def read_reports(folder: Path) -> Reports:
    """Everything in a report folder, by the names that the runtime uses."""
    notes: list[str] = []
    entry = _EntryReport()
    with costs_that_file("report entry.json cannot be read", notes.append):
        entry = _entry(_object(folder, "entry.json", MAX_ENTRY))
    stamps: dict[str, Stamp] = {}
    with costs_that_file("report stamps.json cannot be read", notes.append):
        stamps = _stamps(_object(folder, "stamps.json", MAX_ENTRY))
    names, more = report_names(folder, _NAME)
    if more:
        notes.append(f"more than {MAX_NAMES} entries in the report folder; the rest was not looked at")
    left = MAX_TOTAL
    if len(names) > MAX_REPORTS:
        notes.append(f"{len(names)} process reports; {MAX_REPORTS} were read")
    found = _Processes(notes)
    for name in names[:MAX_REPORTS]:
        left -= _size(folder, name)
        if left < 0:
            notes.append(f"process reports of more than {MAX_TOTAL} bytes; those before {name} were read")
            break
        with costs_that_file(f"report {name} cannot be read", notes.append):
            value = _object(folder, name, MAX_REPORT)
            if value is not None:
                found.add(*_parts(name), value)
    return Reports(
        packages=entry.packages,
        source=entry.source,
        stamps=stamps,
        readbacks=found.readbacks(),
        missing=entry.missing,
        refused=found.refused,
        notes=bounded(notes),
    )


class _EntryReport(NamedTuple):
    """What the entry point says of the container."""

    packages: dict[str, str] = {}
    source: dict[str, str] = {}
    missing: bool = True


def _entry(value: dict[str, Any] | None) -> _EntryReport:
    if value is None:
        return _EntryReport()
    return _EntryReport(_texts(value, "packages"), _texts(value, "source"), missing=False)


class _Processes:
    """What processes say of themselves. Of each report only what is kept is held."""

    def __init__(self, notes: list[str]) -> None:
        self.refused: str | None = None
        self._notes = notes
        self._argv: dict[int, tuple[str, ...]] = {}
        self._flags: dict[str, dict[int, dict[str, Any]]] = {"start": {}, "now": {}, "end": {}}

    def add(self, kind: str, pid: int, value: dict[str, Any]) -> None:
        if kind == "error":
            said = _last_line(value.get("error"))
            self._notes.append(f"the runtime failed in process {pid}: {said}")
        elif kind == "refused":
            self.refused = self.refused or clean(value.get("op"), MAX_REASON)
        else:
            flags = value.get("flags")
            if kind == "start" or pid not in self._argv:
                self._argv[pid] = _argv(value)
            if isinstance(flags, dict):
                self._flags[kind][pid] = _flags(flags)

    def readbacks(self) -> tuple[Readback, ...]:
        start, end = self._flags["start"], self._flags["now"] | self._flags["end"]
        return tuple(
            Readback(pid=pid, argv=self._argv[pid], start=start.get(pid), end=end.get(pid))
            for pid in sorted(self._argv)
        )


def _size(folder: Path, name: str) -> int:
    try:
        return min((folder / name).lstat().st_size, MAX_REPORT)
    except OSError:
        return 0  # reading it says what is wrong


def _parts(name: str) -> tuple[str, int]:
    kind, _, rest = name.partition("-")
    return kind, int(rest.removesuffix(".json"))


def _object(folder: Path, name: str, limit: int) -> dict[str, Any] | None:
    """The object in a report; None where the file is absent. Anything else raises."""
    data = read_small(folder, name, limit)
    value = None if data is None else parse_json(data)
    if data is not None and not isinstance(value, dict):
        raise ValueError("it is not an object")
    return value


def _argv(value: dict[str, Any]) -> tuple[str, ...]:
    words = value.get("argv")
    return tuple(_text(str(word)) for word in words[:MAX_WORDS]) if isinstance(words, list) else ()


def _flags(flags: dict[str, Any]) -> dict[str, Any]:
    """Flat names to scalars; anything else in there is dropped."""
    return {
        _text(name): _flag(flag)
        for name, flag in flags.items()
        if flag is None or isinstance(flag, bool | int | float | str)
    }


def _flag(flag: Any) -> Any:
    """A number of more than 64 bits becomes text: no library has such a flag, and some readers refuse it."""
    if isinstance(flag, int) and flag not in _INTEGERS:
        return _text(str(flag))
    return _text(flag) if isinstance(flag, str) else flag


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
    """Text that a column and a hash can take.

    JSON may hold halves of surrogate pairs, which UTF-8 cannot encode; a command line that is not UTF-8 is
    reported with them. PostgreSQL refuses NUL.
    """
    cut = text[:MAX_TEXT]
    return cut.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _last_line(text: object) -> str:
    kept = [line for line in str(text)[-MAX_TEXT:].split("\n") if line.strip()]
    return clean(kept[-1].strip(), MAX_REASON) if kept else "without a word"
