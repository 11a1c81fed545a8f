"""Scalars that a script wrote for TensorBoard are metrics of the run, like those of metrics.jsonl."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.run.collect.job_files import costs_that_file
from orchestrator.run.collect.walk_tree import open_job_file
from orchestrator.run.metrics.event_files import MAX_SIZE, is_event_file, read_scalars, timeless
from orchestrator.run.metrics.read_metrics import MAX_NAME, MAX_POINTS, OURS, Metrics, Reading
from orchestrator.run.metrics.series import Series, points_of

_BETWEEN = "\0"  # folder and tag; neither has one


def with_event_metrics(metrics: Metrics, workspace: Path, outputs: tuple[Output, ...]) -> Metrics:
    """`metrics`, and every scalar of the event files among a run's outputs whose name is not in them already.

    A metric is called by its tag. Where several folders have the tag, the folder stands before it, as in
    `train/loss` and `val/loss`. The last point is the final value. At most MAX_SIZE bytes and MAX_POINTS
    points are read, and what cannot be read is noted. Raises nothing for what a job wrote.
    """
    files = [item.path for item in outputs if item.status is OutputStatus.KEPT and is_event_file(item.path)]
    if not files:
        return metrics
    reading = Reading(metrics)
    points = _points(workspace, files, reading)
    names = _names(_folder_and_tag(key) for key in points.names())
    known = metrics.final.keys() | {point.name for point in points_of(metrics.series)}
    new = {_BETWEEN.join(pair): name for pair, name in names.items() if name not in known}
    if long := [key for key, name in new.items() if len(name) > MAX_NAME]:
        reading.lose(f"metrics: {len(long)} tags whose names with their folders are longer than {MAX_NAME}")
        new = {key: name for key, name in new.items() if len(name) <= MAX_NAME}
    for point in points.renamed(new).timed_rows():
        reading.add(*point)
    return reading.metrics()


def names_of_tags(tags: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The tags of each event file, under the names that the run's metrics have."""
    folders = {path: timeless(path.rpartition("/")[0]) for path in tags}
    names = _names((folders[path], tag) for path, found in tags.items() for tag in found)
    return {path: {names[folders[path], tag] for tag in found} for path, found in tags.items()}


def _points(workspace: Path, files: list[str], reading: Reading) -> Series:
    """Every scalar, named by folder and tag."""
    found = Series()
    room = MAX_POINTS - len(reading.series)
    left = MAX_SIZE
    for path in files:
        folder = timeless(path.rpartition("/")[0])
        with costs_that_file(f"metrics: {path} was not read to its end", reading.lose):
            handle, size = open_job_file(workspace, path, left)
            left -= size
            with os.fdopen(handle, "rb") as stream:
                for tag, step, value, at in read_scalars(stream):
                    if len(found) >= room:
                        reading.overflow()
                        return found
                    name = f"{folder}{_BETWEEN}{tag}"
                    if not tag.startswith(OURS) and reading.takes(found, name):
                        found.add(name, step, value, at)
    return found


def _folder_and_tag(name: str) -> tuple[str, str]:
    folder, _, tag = name.partition(_BETWEEN)
    return folder, tag


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
