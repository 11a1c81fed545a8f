"""Reading the numbers that a job wrote to a file: untrusted text.

An honest million points take 3 s and 120 MiB (benchmarks/metrics_reading.py), a hostile file no more memory.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.run.collect.job_files import bounded, costs_that_file, lines, parse_json, reason
from orchestrator.run.collect.starting_source import NOTHING, StartingSource
from orchestrator.run.collect.walk_tree import open_job_file
from orchestrator.run.metrics.metric_sources import FINAL as FINAL
from orchestrator.run.metrics.metric_sources import (
    MAX_FILES,
    MetricFile,
    MetricFormat,
    metric_files,
    short_names,
)
from orchestrator.run.metrics.metric_sources import SERIES as SERIES
from orchestrator.run.metrics.metric_tables import CLOCKS, STEPS, is_keras_log, read_points, read_table
from orchestrator.run.metrics.series import Points, Series, moment, timed_points
from orchestrator.run.metrics.unread_metrics import Broken, Ignored
from orchestrator.run.metrics.wandb_log import MAX_SIZE as MAX_WANDB
from orchestrator.run.metrics.wandb_log import read_wandb
from orchestrator.spec.shown_names import is_plain
from orchestrator.value import Value

MAX_FILE = 64 << 20  # bytes of a file that is one object
MAX_LINES_FILE = 1 << 30  # bytes of a file of lines: a million points of a long name make 300 MB
MAX_LINE = 1 << 20  # bytes; 10,000 metrics make 0.4 MB
MAX_LINES = 4_000_000
MAX_METRICS = 10_000
MAX_NAME = 200  # characters
OURS = "trace."  # beginning of the names of series that the tracer makes; a job's are left out
MAX_POINTS = 1_000_000  # of all series
TRAINER_CLOCKS = ("_runtime", "_samples_per_second", "_steps_per_second", "_tokens_per_second")
_STEPS_FIT = range(-(1 << 63), 1 << 63)


class Metrics(Value):
    final: dict[str, float] = {}
    series: Points = ()
    notes: tuple[str, ...] = ()
    incomplete: str = ""  # which metrics could not be read, in a sentence; empty: all were


def read_metrics(
    workspace: Path, named: str | None, began: StartingSource = NOTHING, written: Sequence[str] = ()
) -> Metrics:
    """Final values and series, of the files that metric_sources.py chooses among those that the job wrote.

    `.json`: one object; nested objects are joined with `.`; numbers count, true and false are 1 and 0,
    all else is left out. `.jsonl`: one object a line, with a step if it has one; a metric's final value
    is the one in the object, else its last in the series. A line that cannot be read costs that line.
    Where several folders have a metric of a name, the folder stands before it. Raises nothing for what a job
    wrote.

    `began`: a file that came with the source holds no measurement of this run, and a note says so.
    """
    reading = Reading()
    files = [file for file in metric_files(named, written) if not file.maybe or _is_table(workspace, file)]
    if not files:
        reading.notes.append(f"metrics: nothing that the job wrote fits {named!r}")
    elif named is None and len(files) > 2:
        reading.notes.append(f"metrics: read from {files[2].path}{_more(len(files) - 3)}")
    if len(files) > MAX_FILES:
        reading.lose(f"metrics: {len(files)} files; the first {MAX_FILES} are read")
    names: dict[str, tuple[str, str]] = {}  # as read -> folder, name
    for file in files[:MAX_FILES]:
        with costs_that_file(f"metrics: {file.path}", reading.lose):
            found = _read(workspace, file, began, reading)
            if not found and named is not None:
                reading.notes.append(f"metrics: the job did not write {file.path}")
        for name in {*reading.series.names(), *reading.final} - names.keys():
            names[name] = (file.folder, name.removeprefix(file.prefix))
    return reading.metrics(short_names(names))


def _is_table(workspace: Path, file: MetricFile) -> bool:
    """Whether a file that could be any table is a Keras CSVLogger's."""
    try:
        handle, _ = open_job_file(workspace, file.path, MAX_LINES_FILE)
    except (OSError, ValueError):
        return False
    with os.fdopen(handle, "rb") as stream:
        return is_keras_log(stream)


def _read(workspace: Path, file: MetricFile, began: StartingSource, reading: Reading) -> bool:
    """Read a file, unless all of it came with the source. False where it is absent."""
    try:
        limit = _LIMITS.get(file.kind, MAX_LINES_FILE)
        handle, size = open_job_file(workspace, file.path, limit)
    except FileNotFoundError:
        return False
    with os.fdopen(handle, "rb") as stream:
        brought = began.brought(workspace, file.path)
        if brought >= size > 0:
            reading.notes.append(
                f"metrics: {file.path} came with the source and the job did not write it: not read"
            )
        else:
            _READERS[file.kind](stream, brought, file, reading)
    return True


def _more(count: int) -> str:
    return f" and {count} more" if count else ""


class Reading:
    """The metrics read so far, within the limits, and notes on what was not read."""

    def __init__(self, before: Metrics | None = None) -> None:
        self.series = Series() if before is None else Series(timed_points(before.series))
        self.final = {} if before is None else dict(before.final)
        self.notes = [] if before is None else list(before.notes)
        self._lost = [before.incomplete] if before is not None and before.incomplete else []
        self._crowded = False

    def lose(self, what: str) -> None:
        """Note a metric that the job wrote and that is not recorded."""
        self.notes.append(what)
        self._lost.append(what)

    @property
    def full(self) -> bool:
        return len(self.series) >= MAX_POINTS

    def add(self, name: str, step: int | None, value: float, at: float | None = None) -> None:
        if self.takes(self.series, name):
            self.series.add(name, step, value, at)

    def takes(self, series: Series, name: str) -> bool:
        """Whether one more name fits: a job can give each point another name."""
        if name in series.names() or len(series.names()) < MAX_METRICS:
            return True
        if not self._crowded:
            self._crowded = True
            self.lose(f"metrics: series of more than {MAX_METRICS} metrics; the first are kept")
        return False

    def overflow(self) -> None:
        self.lose(f"metrics: more than {MAX_POINTS} points; the first {MAX_POINTS} are kept")

    def metrics(self, names: Mapping[str, str] | None = None) -> Metrics:
        """All of them. `names`: names as read -> as recorded."""
        if names is not None and any(name != new for name, new in names.items()):
            self.series = self.series.renamed(names)
            self.final = {names[name]: value for name, value in self.final.items()}
        merged = self.series.last() | self.final
        if len(merged) > MAX_METRICS:
            self.lose(f"{len(merged)} metrics; {MAX_METRICS} are kept")
            merged = dict(sorted(merged.items())[:MAX_METRICS])
        more = f" (and {len(self._lost) - 1} more)" if len(self._lost) > 1 else ""
        return Metrics(
            final=merged,
            series=self.series,
            notes=bounded(self.notes),
            incomplete=self._lost[0] + more if self._lost else "",
        )


def _read_object(stream: BinaryIO, _brought: int, file: MetricFile, reading: Reading) -> None:
    try:
        value = parse_json(stream.read(MAX_FILE))
    except json.JSONDecodeError as error:
        reading.lose(f"metrics: {file.path} is not JSON: {reason(error)}")
        return
    if not isinstance(value, dict):
        reading.lose(f"metrics: {file.path} is not an object")
        return
    ignored = Ignored()
    if file.hidden:
        value = {key: item for key, item in value.items() if not key.startswith("_")}
    reading.final.update(_numbers(value, ignored, file.prefix))
    ignored.tell(file.path, reading)


def _read_table(stream: BinaryIO, _brought: int, file: MetricFile, reading: Reading) -> None:
    ignored = Ignored()
    if file.kind is MetricFormat.POINTS:
        rows = read_points(stream, file.name)
    else:
        rows = read_table(stream, file.name or None)
    for row in rows:
        if reading.full:
            reading.overflow()
            break
        name = file.prefix + row.name
        if (why := _no_name(name)) is None:
            reading.add(name, row.step, row.value, row.at)
        else:
            ignored.add(name, why)
    ignored.tell(file.path, reading)


def _read_lines(stream: BinaryIO, brought: int, file: MetricFile, reading: Reading) -> None:
    """Read an object a line, from behind the first `brought` bytes, which came with the source."""
    broken, ignored = Broken(file.path), Ignored()
    if brought:
        reading.notes.append(
            f"metrics: the first {brought:,} bytes of {file.path} came with the source: not read"
        )
        stream.seek(brought)
    for number, line in enumerate(lines(stream, MAX_LINE), 1):
        if number > MAX_LINES:
            reading.lose(f"metrics: {file.path} has more than {MAX_LINES} lines; the first are read")
            break
        value = _line(line, number, broken)
        if value is None:
            continue
        if not _add(value, _step(value, number, broken), _moment(value), file, ignored, reading):
            break
    broken.tell(reading)
    ignored.tell(file.path, reading)


def names_read(file: MetricFile, stream: BinaryIO) -> set[str]:
    """The metrics in a file's bytes, with its folder and without: other files decide which is recorded.

    Raises nothing for what a job wrote: what cannot be read has no names.
    """
    reading = Reading()
    with costs_that_file(file.path, reading.notes.append):
        if file.maybe and not is_keras_log(stream):
            return set()
        stream.seek(0)
        _READERS[file.kind](stream, 0, file, reading)
    found = {*reading.series.names(), *reading.final}
    return found | {name.removeprefix(file.prefix) for name in found}


def one_line(value: Any) -> tuple[int | None, float | None, list[tuple[str, float]]]:
    """Step, moment and numbers of one line's object, by the rules above. ValueError for another value."""
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - of content, not of a caller
    step = _step(value, 0, Broken(""))
    return step, _moment(value), list(_numbers(value, Ignored()))


def _read_trainer(stream: BinaryIO, _brought: int, file: MetricFile, reading: Reading) -> None:
    """The `log_history` of Hugging Face's Trainer: objects with a step. How fast it ran is left out: that is
    no result, and differs in every rerun.
    """
    state = parse_json(stream.read(MAX_FILE))
    history = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(history, list):
        reading.lose(f"metrics: {file.path} has no log_history")
        return
    broken, ignored = Broken(file.path), Ignored()
    for number, entry in enumerate(history, 1):
        if not isinstance(entry, dict):
            broken.add(number, "is not an object")
            continue
        timeless = {name: value for name, value in entry.items() if not name.endswith(TRAINER_CLOCKS)}
        if not _add(timeless, _step(timeless, number, broken), None, file, ignored, reading):
            break
    broken.tell(reading)
    ignored.tell(file.path, reading)


def _read_wandb(stream: BinaryIO, _brought: int, file: MetricFile, reading: Reading) -> None:
    """W&B's history as series; what a script put into the summary is a final value, where no point is it."""
    ignored, last = Ignored(), Ignored()
    summary: dict[str, float] = {}  # numbers only: values may be large, and a log says them again and again
    try:
        for record in read_wandb(stream, ("history", "summary")):
            if record.kind == "summary":
                last = Ignored()
                for name, value in _numbers(dict(record.items), last, file.prefix):
                    if name in summary or len(summary) < MAX_METRICS:
                        summary[name] = value
            elif not _add(dict(record.items), record.step, record.at, file, ignored, reading):
                break
    finally:
        names = reading.series.names()
        for name, value in summary.items():
            if name not in names:
                reading.final[name] = value
        ignored.tell(file.path, reading)
        last.tell(file.path, reading)


def _add(
    entry: dict[str, Any],
    step: int | None,
    at: float | None,
    file: MetricFile,
    ignored: Ignored,
    reading: Reading,
) -> bool:
    """Add the numbers of an object. False where no more points are taken."""
    for name, amount in _numbers(entry, ignored, file.prefix):
        if reading.full:
            reading.overflow()
            return False
        reading.add(name, step, amount, at)
    return True


def _line(line: bytes | None, number: int, broken: Broken) -> dict[str, Any] | None:
    """The object in a line. None for an empty line and for anything else, which is noted."""
    if line is None:
        broken.add(number, f"is longer than {MAX_LINE} bytes")
        return None
    try:
        value = json.loads(line.decode("utf-8", "replace")) if line else None
    except (ValueError, RecursionError) as error:
        if line.strip():
            broken.add(number, f"is not JSON: {reason(error)}")
        return None
    if isinstance(value, dict):
        return value
    if line:
        broken.add(number, "is not an object")
    return None


def _step(value: dict[str, Any], number: int, broken: Broken) -> int | None:
    """The step of a line, which is taken out of it. Tools that know floats only write a step as 3.0; an epoch
    that is a float may have a fraction in the next line.
    """
    for key in STEPS:
        step = value.get(key)
        if isinstance(step, float) and step.is_integer() and abs(step) < 1 << 53 and key != "epoch":
            step = int(step)
        if isinstance(step, int) and not isinstance(step, bool):
            del value[key]
            if step in _STEPS_FIT:
                return step
            broken.add(number, f"has a {key} that does not fit 64 bits; its points are kept without it")
            return None
    return None


def _moment(value: dict[str, Any]) -> float | None:
    """When a line was written, if it says so. It stays in the line: it is a number that the job wrote."""
    for key in CLOCKS:
        if key in value and (found := moment(value[key])) is not None:
            return found
    return None


def _numbers(value: dict[str, Any], ignored: Ignored, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Names and numbers. Names of nested objects are joined by dots, up to the length of a name."""
    for key, item in value.items():
        if isinstance(item, float | int):  # and bool
            name = prefix + key
            if (why := _no_name(name)) is None:
                yield name, as_float(item)
            else:
                ignored.add(name, why)
        elif isinstance(item, dict):
            if len(prefix) + len(key) < MAX_NAME:
                yield from _numbers(item, ignored, f"{prefix}{key}.")
            elif item:
                ignored.add(prefix + key, f"is longer than {MAX_NAME} characters")


_READERS = {
    MetricFormat.OBJECT: _read_object,
    MetricFormat.LINES: _read_lines,
    MetricFormat.TABLE: _read_table,
    MetricFormat.POINTS: _read_table,
    MetricFormat.TABS: _read_table,
    MetricFormat.TRAINER: _read_trainer,
    MetricFormat.WANDB: _read_wandb,
}
_LIMITS = {
    MetricFormat.OBJECT: MAX_FILE,
    MetricFormat.TRAINER: MAX_FILE,
    MetricFormat.WANDB: MAX_WANDB,
}


def _no_name(name: str) -> str | None:
    if len(name) > MAX_NAME:
        return f"is longer than {MAX_NAME} characters"
    if not is_plain(name):
        return "cannot be printed"
    return f"begins with {OURS}" if name.startswith(OURS) else None


def as_float(value: float) -> float:
    """As a float; an integer beyond a float's range becomes infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
