"""What the tracer in a job's processes left behind: into the store as it is, summed up, never believed.

A trace can be tens of megabytes, so it is read line by line, and only the few lines that are needed here
are parsed: the first, the last, and the losses. What is in the others is compared by the verdict.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.run.model import MetricPoint, TraceFile
from orchestrator.run.outputs import BlobSink
from orchestrator.run.tree import escaped, open_plain
from orchestrator.value import Value

LOSS = "trace.loss"  # the series of the losses that were passed to backward
MAX_FILES = 256  # processes of one run that trained
MAX_NAMES = 100_000  # entries of the folder that are looked at
MAX_SIZE = 512 << 20  # bytes of one file; the tracer itself stops at half of it
MAX_TOTAL = 4 << 30  # bytes of all files of a run
MAX_LINE = 64 << 20  # bytes; 100,000 tensors make 1.6 MB
MAX_POINTS = 100_000  # of the series of losses
MAX_WORD = 300  # characters of a text that is kept

_NAME = re.compile(r"trace-([0-9]{1,10})\.jsonl\Z")
_MAX_RANK = 1 << 20


class Traces(Value):
    files: tuple[TraceFile, ...] = ()  # by rank, then by when each began
    losses: tuple[MetricPoint, ...] = ()  # of the first process of rank 0
    notes: tuple[str, ...] = ()


class _Read(Value):
    file: TraceFile
    began: int
    losses: tuple[MetricPoint, ...]


def read_traces(folder: Path, sink: BlobSink) -> Traces:
    """Store every trace file of a report folder. Raises nothing for what a job wrote there."""
    notes: list[str] = []
    found: list[_Read] = []
    left = MAX_TOTAL
    for name in _names(folder, notes):
        try:
            fd, size = open_plain(folder, name, min(MAX_SIZE, left))
        except ValueError as error:
            notes.append(f"a trace was not read: {error}")
            continue
        left -= size
        with os.fdopen(fd, "rb") as stream:
            digest = sink.add(stream, size)
            stream.seek(0)
            found.append(_read(stream, {"pid": int(name[6:-6]), "digest": digest, "size": size}))
    found.sort(key=lambda item: (item.file.rank, item.began, item.file.pid))
    first = next((item for item in found if item.file.rank == 0), None)
    if first is not None and len(first.losses) >= MAX_POINTS:
        notes.append(f"{LOSS}: the first {MAX_POINTS:,} points are kept")
    return Traces(
        files=tuple(item.file for item in found),
        losses=first.losses if first else (),
        notes=tuple(notes),
    )


def _names(folder: Path, notes: list[str]) -> list[str]:
    found: list[str] = []
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= MAX_NAMES:  # reports.py says so
                break
            if _NAME.match(entry.name):
                found.append(entry.name)
    if len(found) > MAX_FILES:
        notes.append(f"{len(found)} processes left a trace; {MAX_FILES} were read")
    return sorted(found)[:MAX_FILES]


def _read(stream: BinaryIO, facts: dict[str, Any]) -> _Read:
    """The summary of an open trace, from its header, its last line, and its number of events."""
    header: dict[str, Any] = {}
    last: dict[str, Any] = {}
    losses: list[MetricPoint] = []
    events, broken = 0, None
    try:
        for number, line in enumerate(_lines(stream)):
            if number == 0:
                header = _object(line)
                _natural(header.get("trace"), 1)
            elif line.startswith(b'{"e":'):
                events += 1
                if line.startswith(b'{"e":"loss"') and len(losses) < MAX_POINTS:
                    losses.extend(_losses(_object(line)))
            elif not line.startswith(b'{"table":'):
                last = _object(line)
                break
        if not header:
            broken = "it is empty"
        elif "broken" in last:
            broken = _word(last["broken"]) or "without a word"
        rank, world = _natural(header.get("rank", 0), _MAX_RANK), _natural(header.get("world", 1), _MAX_RANK)
        began, steps = _natural(header.get("began", 0), 1 << 63), _natural(last.get("steps", 0), 1 << 63)
    except (ValueError, RecursionError) as error:
        broken = f"it cannot be read: {_word(str(error))}"
        rank, world, began, steps = 0, 1, 0, 0
    complete = broken is None and last.get("end") is True
    file = TraceFile(
        rank=rank, world=world, steps=steps, events=events, complete=complete, broken=broken, **facts
    )
    return _Read(file=file, began=began, losses=tuple(losses[:MAX_POINTS]))


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Whole lines; a last line without its end was cut off while it was written, and is no line."""
    while line := stream.readline(MAX_LINE + 1):
        if line.endswith(b"\n"):
            yield line
        elif len(line) > MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE} bytes")


def _object(line: bytes) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("a line that is no object")  # noqa: TRY004 - of content, not of a caller
    return value


def _losses(event: dict[str, Any]) -> Iterator[MetricPoint]:
    values = event.get("x")
    step = event.get("s")
    if not isinstance(step, int) or isinstance(step, bool) or abs(step) >= 1 << 63:
        step = None
    for value in values if isinstance(values, list) else ():
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            number = float(value)  # "nan" and "inf" are words, as JSON has none
            yield MetricPoint(name=LOSS, step=step, value=number)


def _natural(value: object, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise ValueError(f"{str(value)[:40]!r} where a number from 0 to {limit} belongs")
    return value


def _word(text: object) -> str:
    return escaped(str(text).encode("utf-8", "backslashreplace").decode())[:MAX_WORD]
