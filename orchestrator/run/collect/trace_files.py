"""Traces of a job's processes: stored unchanged, and summarised. They are not trusted.

A trace can have tens of megabytes, so it is read line by line, and only the lines that a summary needs are
parsed: the first, the last, and the losses. The verdict compares the others.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from orchestrator.run.attempt_model import TraceFile
from orchestrator.run.collect.job_files import bounded, clean, costs_that_file, parse_json, reason
from orchestrator.run.collect.output_files import BlobSink
from orchestrator.run.collect.walk_tree import open_job_file, report_names
from orchestrator.run.metrics.read_metrics import as_float
from orchestrator.run.metrics.series import Points, Series
from orchestrator.value import Value

LOSS = "trace.loss"  # the series of the losses that were passed to backward
MAX_FILES = 256  # processes of one run that trained
MAX_SIZE = 512 << 20  # bytes of one file; the tracer stops at half of that
MAX_TOTAL = 4 << 30  # bytes of all files of a run
MAX_LINE = 32 << 20  # bytes; 100,000 tensors make 1.6 MB
MAX_PARSED = 1 << 20  # bytes of a line that is parsed: the first, the last, one of losses
MAX_POINTS = 100_000  # in the series of losses; also the most lines of losses that are parsed
MAX_WORD = 300  # characters of the reason why a tracer stopped

_UNREAD = "a trace was not read"

TRACE_NAME = re.compile(r"trace-([0-9]{1,10})\.jsonl\Z")
_MAX_RANK = 1 << 20
_MAX_NUMBER = (1 << 63) - 1  # a column of the record holds 64 bits


class Traces(Value):
    files: tuple[TraceFile, ...] = ()  # by rank, then by when each began
    losses: Points = ()  # of the first process of rank 0
    notes: tuple[str, ...] = ()


class _Read(NamedTuple):
    file: TraceFile
    began: int
    losses: Series

    @property
    def order(self) -> tuple[int, int, int]:
        return self.file.rank, self.began, self.file.pid


def read_traces(folder: Path, sink: BlobSink) -> Traces:
    """Store every trace file of a report folder. Raises nothing for what a job wrote there."""
    notes: list[str] = []
    found: list[_Read] = []
    first: _Read | None = None  # of rank 0; only its losses are kept
    left = MAX_TOTAL
    names, _ = report_names(folder, TRACE_NAME)  # reports.py notes a folder with too many
    for name in names[:MAX_FILES]:
        said = len(notes)
        with costs_that_file(_UNREAD, notes.append):
            fd, size = open_job_file(folder, name, min(MAX_SIZE, left))
            left -= size
            with os.fdopen(fd, "rb") as stream:
                digest = sink.add(stream, size)
                stream.seek(0)
                read = _read(stream, {"pid": _pid(name), "digest": digest, "size": size})
            if read.file.rank == 0 and (first is None or read.order < first.order):
                first = read
            found.append(read._replace(losses=Series()))
        if len(notes) > said:
            found.append(_unread(name, notes[-1].removeprefix(f"{_UNREAD}: "), sink))
    if len(names) > MAX_FILES:
        notes.append(f"{len(names)} processes left a trace; {MAX_FILES} were read")
        found.append(_unread(names[MAX_FILES], f"more than {MAX_FILES} processes left one", sink))
    found.sort(key=lambda item: item.order)
    if first is not None and len(first.losses) >= MAX_POINTS:
        notes.append(f"{LOSS}: the first {MAX_POINTS:,} points are kept")
    return Traces(
        files=tuple(item.file for item in found),
        losses=first.losses if first else (),
        notes=bounded(notes),
    )


def _pid(name: str) -> int:
    return int(name.removeprefix("trace-").removesuffix(".jsonl"))


def _unread(name: str, why: str, sink: BlobSink) -> _Read:
    """Stands for a trace that was left and not read, so that the others are not taken for all."""
    facts: dict[str, Any] = {"rank": 0, "world": 1, "steps": 0, "events": 0, "complete": False}
    facts |= {"pid": _pid(name), "digest": sink.add(io.BytesIO(), 0), "size": 0}
    return _Read(TraceFile(broken=f"it was not read: {why}", **facts), 0, Series())


def _read(stream: BinaryIO, facts: dict[str, Any]) -> _Read:
    """The summary of an open trace, from its header, its last line, and its number of events."""
    header: dict[str, Any] = {}
    last: dict[str, Any] = {}
    losses = Series()
    events, parsed, broken = 0, 0, None
    try:
        for number, line in enumerate(_lines(stream)):
            if number == 0:
                header = _object(line)
                _natural(header.get("trace"), 1)  # the format's version
            elif line.startswith(b'{"e":'):
                events += 1
                if line.startswith(b'{"e":"loss"') and parsed < MAX_POINTS and len(losses) < MAX_POINTS:
                    parsed += 1
                    _add_losses(losses, _object(line))
            elif not line.startswith(b'{"table":'):
                last = _object(line)
                break
        if not header:
            broken = "it is empty"
        elif "broken" in last:
            broken = clean(last["broken"], MAX_WORD) or "without a word"
        rank, world = _natural(header.get("rank", 0), _MAX_RANK), _natural(header.get("world", 1), _MAX_RANK)
        began, steps = (
            _natural(header.get("began", 0), _MAX_NUMBER),
            _natural(last.get("steps", 0), _MAX_NUMBER),
        )
    except (ValueError, RecursionError, MemoryError) as error:
        broken = f"it cannot be read: {reason(error)}"
        rank, world, began, steps = 0, 1, 0, 0
    complete = broken is None and last.get("end") is True
    file = TraceFile(
        rank=rank, world=world, steps=steps, events=events, complete=complete, broken=broken, **facts
    )
    return _Read(file, began, losses)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Complete lines. A last line without a line feed was cut off while it was written and is left out."""
    while line := stream.readline(MAX_LINE + 1):
        if line.endswith(b"\n"):
            yield line
        elif len(line) > MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE} bytes")


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_PARSED:
        raise ValueError(f"a line of more than {MAX_PARSED} bytes where a short one belongs")
    value = parse_json(line)
    if not isinstance(value, dict):
        raise ValueError("a line that is no object")  # noqa: TRY004 - of content, not of a caller
    return value


def _add_losses(losses: Series, event: dict[str, Any]) -> None:
    values = event.get("x")
    step = event.get("s")
    if not isinstance(step, int) or isinstance(step, bool) or abs(step) > _MAX_NUMBER:
        step = None
    for value in values if isinstance(values, list) else ():
        if len(losses) >= MAX_POINTS:
            return
        if isinstance(value, str):
            losses.add(LOSS, step, float(value))  # "nan" and "inf" are texts: JSON has no such numbers
        elif isinstance(value, int | float) and not isinstance(value, bool):
            losses.add(LOSS, step, as_float(value))


def _natural(value: object, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise ValueError(f"{clean(value, 40)!r} where a number from 0 to {limit} belongs")
    return value
