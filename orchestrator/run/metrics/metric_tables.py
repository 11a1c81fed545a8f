"""Metrics in tables: CSV with a line of names, and mlflow's files of one metric each. Untrusted text."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from orchestrator.run.collect.job_files import lines
from orchestrator.run.metrics.series import TimedPoint, moment

MAX_LINE = 1 << 20  # bytes
MAX_LINES = 4_000_000
MAX_CELLS = 20_000_000  # ten seconds
# Columns that may say when a point was written: a number there counts where it can be a moment.
CLOCKS = ("timestamp", "_timestamp", "wall_time", "time")
STEPS = ("step", "global_step", "iteration", "epoch")  # columns of steps: the first that is there counts


def read_table(stream: BinaryIO, name: str | None = None) -> Iterator[TimedPoint]:
    """Every number of a CSV file under its column's name. Other cells are left out.

    `name`: of the one metric of a table with tabs, whose last column it is.

    ValueError or csv.Error where it is not a table.
    """
    names: list[str] | None = None
    step, left = -1, MAX_CELLS
    clocks: list[int] = []
    for line in _lines(stream):
        cells = next(csv.reader([line], strict=True, delimiter="," if name is None else "\t"), [])
        if names is None:
            names = cells if name is None else [*cells[:-1], name]
            step = next((names.index(key) for key in STEPS if key in names), -1)
            clocks = [names.index(key) for key in CLOCKS if key in names]
            if twice := [one for one, count in Counter(names).items() if one and count > 1]:
                raise ValueError(f"two columns are called {twice[0]}")
            continue
        if not cells:
            continue
        left -= len(cells)
        if left < 0:
            raise ValueError(f"more than {MAX_CELLS} cells; the first are read")
        if len(cells) != len(names):
            raise ValueError(f"a line has {len(cells)} cells where the first has {len(names)}")
        number = _whole(cells[step]) if step >= 0 else None
        moments = (moment(_number(cells[place])) for place in clocks)
        at = next((found for found in moments if found is not None), None)
        for place, cell in enumerate(cells):
            value = None if place == step else _number(cell)
            if value is not None:
                yield TimedPoint(names[place], number, value, at)


def is_keras_log(stream: BinaryIO) -> bool:
    """Whether a table is one of Keras' CSVLogger: `epoch` first, and a loss or what Keras calls a metric."""
    names = stream.readline(4096).decode("utf-8", "replace").strip().split(",")
    return names[0] == "epoch" and "loss" in names and all(name and "\0" not in name for name in names)


def read_points(stream: BinaryIO, name: str) -> Iterator[TimedPoint]:
    """The points of one metric, a line each: milliseconds, value, step. ValueError for another line."""
    for line in _lines(stream):
        parts = line.split()
        value = _number(parts[1]) if len(parts) in (2, 3) else None
        if value is None:
            raise ValueError("a line that is not `milliseconds value step`")
        step = _whole(parts[2]) if len(parts) == 3 else None
        yield TimedPoint(name, step, value, moment(_number(parts[0])))


def _lines(stream: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(lines(stream, MAX_LINE), 1):
        if line is None or number > MAX_LINES:
            raise ValueError(f"more than {MAX_LINES} lines, or one of more than {MAX_LINE} bytes")
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace").removesuffix("\r")
        if text.strip():
            yield text


def _number(text: str) -> float | None:
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None


def _whole(text: str) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else None
