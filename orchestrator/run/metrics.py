"""Metrics: numbers that the job wrote to a file, read as what they are, untrusted text."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from orchestrator.run.began import NOTHING, Began
from orchestrator.run.model import MetricPoint
from orchestrator.run.tree import read_small
from orchestrator.spec.names import is_plain
from orchestrator.value import Value

FINAL = "metrics.json"
SERIES = "metrics.jsonl"
STEPS = ("step", "global_step", "iteration", "epoch")  # the first one that a line has is its step
MAX_FILE = 64 << 20  # bytes
MAX_METRICS = 10_000
MAX_NAME = 200  # characters
OURS = "trace."  # beginning of the names of series that the tracer makes; a job's are left out
MAX_POINTS = 1_000_000  # of all series: 64 MiB of short lines would be 8 million, 0.7 KB each


class Metrics(Value):
    final: dict[str, float] = {}
    series: tuple[MetricPoint, ...] = ()
    notes: tuple[str, ...] = ()


def read_metrics(workspace: Path, named: str | None, began: Began = NOTHING) -> Metrics:
    """Final values and series. Without a named file, metrics.json and metrics.jsonl where they are.

    `.json`: one object; nested objects are joined with `.`; numbers count, true and false are 1 and 0,
    all else is left out. `.jsonl`: one object a line, with a step if it has one; a metric's final value
    is the one in the object, else its last in the series.

    `began`: what came with the source is no measurement of this run, and a note says so.
    """
    notes: list[str] = []
    final: dict[str, float] = {}
    series: list[MetricPoint] = []
    for name in (named,) if named is not None else (FINAL, SERIES):
        text = _text(workspace, name, began, notes, wanted=named is not None)
        if text is None:
            continue
        if name.endswith(".jsonl"):
            series.extend(islice(_series(text, name, notes), MAX_POINTS + 1 - len(series)))
        else:
            final.update(_object(text, name, notes))
    if len(series) > MAX_POINTS:
        notes.append(f"metrics: more than {MAX_POINTS} points; the first {MAX_POINTS} are kept")
        series = series[:MAX_POINTS]
    last = {point.name: point.value for point in series}
    merged = last | final
    if len(merged) > MAX_METRICS:
        notes.append(f"{len(merged)} metrics; {MAX_METRICS} are kept")
        merged = dict(sorted(merged.items())[:MAX_METRICS])
    return Metrics(final=merged, series=tuple(series), notes=tuple(notes))


def _text(workspace: Path, name: str, began: Began, notes: list[str], *, wanted: bool) -> str | None:
    try:
        data = read_small(workspace, name, MAX_FILE)
        brought = began.brought(workspace, name) if data is not None else 0
    except ValueError as error:
        notes.append(f"metrics: {error}")
        return None
    if data is None:
        if wanted:
            notes.append(f"metrics: the job did not write {name}")
        return None
    if brought >= len(data) > 0:
        notes.append(f"metrics: {name} came with the source and the job did not write it: not read")
        return None
    if brought and name.endswith(".jsonl"):
        notes.append(f"metrics: the first {brought:,} bytes of {name} came with the source: not read")
        data = data[brought:]
    return data.decode("utf-8", "replace")


def _object(text: str, name: str, notes: list[str]) -> dict[str, float]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        notes.append(f"metrics: {name} is not JSON: {str(error)[:200]}")
        return {}
    if not isinstance(value, dict):
        notes.append(f"metrics: {name} is not an object")
        return {}
    return dict(_numbers(value))


def _series(text: str, name: str, notes: list[str]) -> Iterator[MetricPoint]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            notes.append(f"metrics: {name}:{number} is not JSON: {str(error)[:200]}")
            return
        if not isinstance(value, dict):
            notes.append(f"metrics: {name}:{number} is not an object")
            return
        key = next((key for key in STEPS if _is_step(value.get(key))), None)
        step = value.pop(key) if key is not None else None
        for metric, number_ in _numbers(value):
            yield MetricPoint(name=metric, step=step, value=number_)


def _is_step(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def _numbers(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    pending = deque([(prefix, value)])
    while pending:
        path, table = pending.popleft()
        for key, item in table.items():
            if len(path) + len(key) > MAX_NAME:
                continue
            name = f"{path}{key}"
            if isinstance(item, dict):
                pending.append((f"{name}.", item))
            elif isinstance(item, bool | int | float) and is_plain(name) and not name.startswith(OURS):
                yield name, _float(item)


def _float(value: float) -> float:
    """An integer past a float's range is infinite, as it would be anywhere else in a plot."""
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
