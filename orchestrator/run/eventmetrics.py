"""Scalars that a script wrote for TensorBoard are metrics of the run, like those of metrics.jsonl."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.run.eventfiles import MAX_SIZE, EventFileError, is_event_file, read_events, timeless
from orchestrator.run.metrics import MAX_METRICS, MAX_NAME, MAX_POINTS, OURS, Metrics
from orchestrator.run.model import MetricPoint, Output, OutputStatus
from orchestrator.run.tree import open_plain

_Point = tuple[str, str, int, float]  # folder, tag, step, value


def with_event_metrics(metrics: Metrics, workspace: Path, outputs: tuple[Output, ...]) -> Metrics:
    """`metrics`, and every scalar of the event files among a run's outputs whose name is not in them already.

    A name is the tag; where several folders have the tag, it is told apart by the folder: `train/loss` and
    `val/loss`, as seen from the folder that all event files lie in. The last point is the final value. At
    most MAX_SIZE bytes and MAX_POINTS points are read; what cannot be read is noted.
    """
    known = metrics.final.keys() | {point.name for point in metrics.series}
    files = [item.path for item in outputs if item.status is OutputStatus.KEPT and is_event_file(item.path)]
    notes: list[str] = []
    points = _points(workspace, files, MAX_POINTS - len(metrics.series), notes)
    names = _names((folder, tag) for folder, tag, _, _ in points)
    series = [
        MetricPoint(name=names[folder, tag], step=step, value=value)
        for folder, tag, step, value in points
        if names[folder, tag] not in known and len(names[folder, tag]) <= MAX_NAME
    ]
    final = {point.name: point.value for point in series} | metrics.final
    if len(final) > MAX_METRICS:
        notes.append(f"{len(final)} metrics; {MAX_METRICS} are kept")
        final = dict(sorted(final.items())[:MAX_METRICS])
    return Metrics(final=final, series=(*metrics.series, *series), notes=(*metrics.notes, *notes))


def _points(workspace: Path, files: list[str], most: int, notes: list[str]) -> list[_Point]:
    found: list[_Point] = []
    left = MAX_SIZE
    for path in files:
        folder = timeless(path.rpartition("/")[0])
        try:
            handle, size = open_plain(workspace, path, left)
            left -= size
            for tag, step, value in _scalars(handle):
                if len(found) >= most:
                    notes.append(f"metrics: more than {MAX_POINTS} points; the first {MAX_POINTS} are kept")
                    return found
                found.append((folder, tag, step, value))
        except (EventFileError, ValueError, FileNotFoundError) as error:
            notes.append(f"metrics: {path} was not read to its end: {error}")
    return found


def _scalars(handle: int) -> Iterator[tuple[str, int, float]]:
    with os.fdopen(handle, "rb") as stream:
        for event in read_events(stream):
            for scalar in event.scalars:
                if not scalar.tag.startswith(OURS):
                    yield scalar.tag, event.step, scalar.value


def _names(seen: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Metric names of (folder, tag)."""
    pairs = set(seen)
    folders: dict[str, set[str]] = {}
    for folder, tag in pairs:
        folders.setdefault(tag, set()).add(folder)
    common = os.path.commonpath({folder for folder, _ in pairs}) if pairs else ""
    names = {}
    for folder, tag in pairs:
        inside = folder[len(common) :].strip("/")
        names[folder, tag] = f"{inside}/{tag}" if inside and len(folders[tag]) > 1 else tag
    return names
