"""What a chart's points lie across: steps, their order, or another metric."""

from __future__ import annotations

import math

from orchestrator.analysis.metric_lines import metric_line, timed_line
from orchestrator.record.runs.metric_series import MetricSeries

LOSS = MetricSeries([10, 20, 30], [3.0, 2.0, 1.0])


def test_a_point_lies_at_its_step_or_by_its_order() -> None:
    assert metric_line(LOSS, None, 100, 0, by_order=False).x == [10, 20, 30]
    assert metric_line(LOSS, None, 100, 0, by_order=True).x == [0, 1, 2]
    without = MetricSeries([None, 20], [3.0, 2.0])
    assert metric_line(without, None, 100, 0, by_order=False).x == [0, 1], "where a job gave no steps"


def test_a_point_lies_where_another_metric_was_at_its_step() -> None:
    epoch = MetricSeries([10, 30, 40, 20], [0.5, 1.5, 2.0, math.nan])
    line = metric_line(LOSS, epoch, 100, 0, by_order=False)
    assert (line.x, line.y) == ([0.5, 1.5], [3.0, 1.0])


def test_a_point_lies_at_its_time_and_not_where_it_has_none() -> None:
    timed = LOSS._replace(seconds=[0.5, None, 4.0])
    line = timed_line(timed, 100, 0)
    assert (line.x, line.y, line.points) == ([0.5, 4.0], [3.0, 1.0], 2)
    assert timed_line(LOSS, 100, 0).points == 0
