"""Scalars that a script wrote for TensorBoard are metrics of the run, like those of metrics.jsonl."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.run.eventfiles import MAX_SIZE, EventFileError, is_event_file, read_events, timeless
from orchestrator.run.metrics import MAX_METRICS, MAX_POINTS, OURS, Metrics
from orchestrator.run.model import MetricPoint, Output, OutputStatus
from orchestrator.run.outputs import open_plain


def with_event_metrics(metrics: Metrics, workspace: Path, outputs: tuple[Output, ...]) -> Metrics:
    """`metrics`, and every scalar of the event files among a run's outputs whose name is not in them already.

    A name is the tag; where event files lie in several folders, `folder/tag`, without a moment in the
    folder's name. The last point is the final value. At most MAX_SIZE bytes are read; what cannot be read
    is noted.
    """
    known = metrics.final.keys() | {point.name for point in metrics.series}
    files = [item.path for item in outputs if item.status is OutputStatus.KEPT and is_event_file(item.path)]
    several = len({timeless(path.rpartition("/")[0]) for path in files}) > 1
    series: list[MetricPoint] = []
    notes: list[str] = []
    left = MAX_SIZE
    for path in files:
        folder = timeless(path.rpartition("/")[0])
        prefix = f"{folder}/" if several and folder else ""
        try:
            handle, size = open_plain(workspace, path, left)
            left -= size
            with os.fdopen(handle, "rb") as stream:
                for event in read_events(stream):
                    series += [
                        MetricPoint(name=prefix + scalar.tag, step=event.step, value=scalar.value)
                        for scalar in event.scalars
                        if prefix + scalar.tag not in known and not scalar.tag.startswith(OURS)
                    ]
        except (EventFileError, ValueError, FileNotFoundError) as error:
            notes.append(f"metrics: {path} was not read to its end: {error}")
        if len(series) > MAX_POINTS:
            notes.append(f"metrics: more than {MAX_POINTS} points in event files; the first are kept")
            series = series[:MAX_POINTS]
            break
    final = {point.name: point.value for point in series} | metrics.final
    if len(final) > MAX_METRICS:
        notes.append(f"{len(final)} metrics; {MAX_METRICS} are kept")
        final = dict(sorted(final.items())[:MAX_METRICS])
    return Metrics(final=final, series=(*metrics.series, *series), notes=(*metrics.notes, *notes))
