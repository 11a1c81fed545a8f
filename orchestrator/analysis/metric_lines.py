"""One metric of one run as a line of a chart, over the horizontal axis that a reader chose."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

from orchestrator.analysis.series_reduction import Line, drawn_line

if TYPE_CHECKING:
    from orchestrator.record.runs.metric_series import MetricSeries


def metric_line(
    points: MetricSeries, axis: MetricSeries | None, stretches: int, weight: float, by_order: bool
) -> Line:
    """The line over steps; over another metric, `axis`; or over the order in which points were written.

    With `axis`, a point lies at that metric's value of the same step, and is left out where there is none.
    `by_order` numbers the points; so does a metric of which a point has no step.
    """
    if axis is not None:
        at = {step: value for step, value in zip(axis.steps, axis.values, strict=True) if value - value == 0}
        pairs = [
            (at[step], value)
            for step, value in zip(points.steps, points.values, strict=True)
            if step is not None and step in at
        ]
        return drawn_line([x for x, _ in pairs], [y for _, y in pairs], stretches, weight)
    steps = points.steps
    if by_order or None in steps:
        steps = range(len(points.values))
    return drawn_line(steps, points.values, stretches, weight)  # type: ignore[arg-type]


def timed_line(points: MetricSeries, stretches: int, weight: float) -> Line:
    """The line over the seconds since the run's start; a point without a time is left out."""
    timed = [at is not None for at in points.seconds]
    places = [at for at in points.seconds if at is not None]
    return drawn_line(places, list(compress(points.values, timed)), stretches, weight)
