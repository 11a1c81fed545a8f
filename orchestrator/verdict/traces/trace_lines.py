"""Reads one trace file line by line. The job could have forged it, so nothing in it is trusted.

Lines are handed out as bytes; only those that differ, and tables, are parsed. A line of another form ends the
reading with a `problem` in words, never with an exception.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, BinaryIO

from orchestrator.digest import CHUNK
from orchestrator.run.attempt_model import TraceFile
from orchestrator.run.collect.job_files import refuse_large
from orchestrator.run.collect.trace_line import HEX, LONGEST_LINE
from orchestrator.verdict.verdict_model import Phase

MAX_TABLES = 128 << 20  # bytes of tables that are kept to name tensors by; what comes later has no names
MAX_TEXT = 200  # characters of a name
CUT_OFF = "was cut off before its end"
DAMAGED = "is damaged in the store"

EVENT, TABLE = b'{"e":', b'{"table":'
NO_DIGEST = "-" * HEX
NO_BYTES = ("none", "uninitialized", "meta ")  # what the shape of a tensor without bytes begins with

PHASES = {
    "init": Phase.INIT,
    "rng": Phase.RNG,
    "batch": Phase.BATCH,
    "forward": Phase.FORWARD,
    "loss": Phase.FORWARD,
    "grads": Phase.BACKWARD,
    "params": Phase.OPTIMIZER,
}


@dataclass(frozen=True)
class TracedTensor:
    """One tensor of an event. No digest where the event was over the budget of bytes."""

    name: str
    shape: str  # with the dtype: float32[8,1,3,3]; "" where no table says
    digest: str


@dataclass(frozen=True)
class TableLine:
    number: int
    of: str
    tensors: tuple[tuple[str, str], ...]  # name, shape


@dataclass(frozen=True)
class TraceEvent:
    kind: str
    step: int
    where: str  # a module, a loader, an optimizer
    key: tuple[object, ...]  # what two runs on the same path have in common
    entries: tuple[TracedTensor, ...]
    combined: str = ""  # the one digest of an event over the budget
    values: tuple[object, ...] = ()  # losses

    @property
    def phase(self) -> Phase:
        return PHASES[self.kind]

    def undigested(self) -> str:
        """The first tensor that was there and has no digest, in words; "" where all have one.

        A gradient may be absent, which its table does not say: whether it has a digest shows nothing.
        """
        if self.kind == "grads":
            return ""
        found = (
            one for one in self.entries if one.digest == NO_DIGEST and not one.shape.startswith(NO_BYTES)
        )
        return next((f"{one.name or self.where or 'a tensor'} ({one.shape})" for one in found), "")


@dataclass(frozen=True)
class Last:
    """The last line of a trace."""

    steps: int
    events: int | None
    broken: str | None
    other_threads: bool = False  # trained, too, and were not watched


class TraceReader:
    """Hands out a trace's lines after the header, and knows its tables.

    `problem`: why the trace is not evidence; complete after `finish`, which also checks the digest of all
    bytes, so that a damaged store is noticed.
    """

    def __init__(self, file: TraceFile, stream: BinaryIO) -> None:
        self.file = file
        self.problem = ""
        self.last: Last | None = None
        self.header: dict[str, Any] = {}
        self._stream = stream
        self._hasher = hashlib.sha256()
        self._size = 0
        self._events = 0
        self._tables: dict[int, TableLine] = {}
        self._table_bytes = 0
        line = self._line()
        if line is None:
            self.problem = self.problem or "is empty"
            return
        try:
            self.header = _scalars(_object(line))
        except (ValueError, RecursionError) as error:
            self.problem = f"has no readable header ({word(error)})"

    def next(self) -> bytes | None:
        """The next line that is an event or a table; None at the last line, or where reading must end."""
        if self.problem or self.last is not None:
            return None
        line = self._line()
        if line is None:
            self.problem = self.problem or CUT_OFF
            return None
        if line.startswith(EVENT):
            self._events += 1
            return line
        if line.startswith(TABLE):
            return line
        try:
            self.last = _last(_object(line))
        except (ValueError, RecursionError) as error:
            self.problem = f"has a line that cannot be read ({word(error)})"
        return None

    def parse(self, line: bytes) -> TraceEvent | TableLine | None:
        """What `next` gave; None, and a problem, where it cannot be read."""
        try:
            if line.startswith(TABLE):
                return _table(_object(line))
            return _event(_object(line), self._tables)
        except (ValueError, RecursionError) as error:
            self.problem = f"has a line that cannot be read ({word(error)})"
            return None

    def keep(self, line: bytes) -> TableLine | None:
        """Remember a table, so that the events after it have names."""
        table = self.parse(line)
        self._table_bytes += len(line)
        if not isinstance(table, TableLine):
            return None
        if self._table_bytes > MAX_TABLES:
            table = TableLine(table.number, table.of, ())
        self._tables[table.number] = table
        return table

    @property
    def of_one_thread_of_several(self) -> bool:
        """Which thread of several was watched may be another in each run. Known after `finish`."""
        return self.last is not None and self.last.other_threads

    def finish(self) -> None:
        """Read what is left, and compare the trace with its record: `problem` says what does not fit."""
        while self.next() is not None:
            pass
        file, last = self.file, self.last
        rest = 0
        while data := self._stream.read(CHUNK):
            self._hasher.update(data)
            rest += len(data)
        if f"sha256:{self._hasher.hexdigest()}" != file.digest or self._size + rest != file.size:
            self.problem = DAMAGED
        elif self.problem or last is None:
            return
        elif last.broken is not None:
            self.problem = f"broke off: {last.broken}"
        elif rest:
            self.problem = "goes on after its last line"
        elif (last.steps, last.events) != (file.steps, self._events) or file.events != self._events:
            self.problem = "contradicts the record of it in its number of steps or events"
        elif (self.header.get("rank"), self.header.get("world")) != (file.rank, file.world):
            self.problem = "contradicts the record of it in its rank"
        elif last.other_threads:
            self.problem = "is of one thread of several that trained"

    def _line(self) -> bytes | None:
        line = self._stream.readline(LONGEST_LINE + 1)
        self._size += len(line)
        self._hasher.update(line)
        if line.endswith(b"\n"):
            return line
        if len(line) > LONGEST_LINE:
            self.problem = f"has a line of more than {LONGEST_LINE >> 20} MiB"
        return None


def word(value: object) -> str:
    """Text that a verdict can hold: short, and no halves of surrogate pairs, no NUL."""
    text = str(value)[:MAX_TEXT]
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _object(line: bytes) -> dict[str, Any]:
    refuse_large(line)
    value = json.loads(line.decode("utf-8"), parse_int=_int)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - one kind of error for all that is wrong in a line
    return value


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _scalars(value: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for nested values: a list that can be read may be too deep to print."""
    if not all(map(_is_scalar, value.values())):
        raise ValueError("a header of more than words and numbers")
    return value


def _int(text: str) -> int | float:
    return int(text) if len(text) < 20 else float(text)


def _natural(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise ValueError(f"{word(value)[:40]!r} is not a count")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{word(value)[:40]!r} is not a text")  # noqa: TRY004
    return word(value)


def header_of(line: bytes) -> dict[str, Any]:
    """The fields of a trace's first line; none where it cannot be read."""
    try:
        return _scalars(_object(line))
    except (ValueError, RecursionError):
        return {}


def _last(value: dict[str, Any]) -> Last:
    if "broken" in value:
        return Last(0, None, word(value["broken"]) or "without a word")
    if value.get("end") is not True:
        raise ValueError("neither table, event nor end")
    others = value.get("other_threads") is True
    return Last(_natural(value.get("steps")), _natural(value.get("events")), None, others)


def _table(value: dict[str, Any]) -> TableLine:
    rows = value.get("tensors")
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 2 for row in rows):
        raise ValueError("a table without tensors")
    tensors = tuple((_text(row[0]), _text(row[1])) for row in rows)
    return TableLine(_natural(value.get("table")), _text(value.get("of", "")), tensors)


def _event(value: dict[str, Any], tables: dict[int, TableLine]) -> TraceEvent:
    kind, step = value.get("e"), _natural(value.get("s"))
    if not isinstance(kind, str) or kind not in PHASES:
        raise ValueError(f"{word(kind)[:40]!r} is not an event")
    where, combined = _text(value.get("n", "")), _text(value.get("c", ""))
    if "t" in value:
        number, order = _natural(value["t"]), _natural(value.get("o", 0))
        table = tables.get(number, TableLine(number, "", ()))
        where = table.of + (f" #{order + 1}" if order else "")
        entries = _named(_text_of_any_length(value.get("d", "")), table)
        key: tuple[object, ...] = (kind, step, number, order, len(entries), bool(combined))
    else:
        entries = tuple(_entry(row) for row in _rows(value.get("v", [])))
        key = (kind, step, where, tuple((entry.name, entry.shape) for entry in entries), bool(combined))
    found = value.get("x")
    values = tuple(item if _is_scalar(item) else "?" for item in found) if isinstance(found, list) else ()
    return TraceEvent(kind, step, where, key, entries, combined, values)


def _named(digests: str, table: TableLine) -> tuple[TracedTensor, ...]:
    if len(digests) % HEX:
        raise ValueError("digests of another length")
    count = len(digests) // HEX
    names = table.tensors if len(table.tensors) == count else ()
    return tuple(
        TracedTensor(
            *(names[index] if names else (f"tensor {index}", "")), digests[index * HEX : (index + 1) * HEX]
        )
        for index in range(count)
    )


def _rows(value: object) -> list[list[Any]]:
    if not isinstance(value, list) or not all(isinstance(row, list) and 2 <= len(row) <= 3 for row in value):
        raise ValueError("an event without tensors")
    return value


def _entry(row: list[Any]) -> TracedTensor:
    return TracedTensor(_text(row[0]), _text(row[1]), _text(row[2]) if len(row) > 2 else "")


def _text_of_any_length(value: object) -> str:
    if not isinstance(value, str) or not value.isascii():
        raise ValueError("digests that are not a text")
    return value
