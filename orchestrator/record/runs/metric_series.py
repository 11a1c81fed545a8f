"""The points of one metric of one run, for a chart: a run may have a million."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from orchestrator.record.schema import tables

FETCHED = 20_000  # rows at a time


class MetricSeries(NamedTuple):
    """In the order in which the job wrote them."""

    steps: Sequence[int | None]
    values: Sequence[float]  # NaN and infinities, too


def metric_series(connection: Connection, run: str, name: str) -> MetricSeries:
    """Empty for a run that is not known, not over, or has no such metric; a text that is no number is NaN."""
    point = tables.metric_point.c
    key = select(tables.run.c.id).where(tables.run.c.public_id == run).scalar_subquery()
    query = (
        select(point.step, point.num, point.text)
        .where(point.run_id == key, point.name == name)
        .order_by(point.position)
    )
    steps: list[int | None] = []
    values: list[float] = []
    for step, number, text in connection.execute(query, execution_options={"yield_per": FETCHED}):
        steps.append(step)
        values.append(number_in(text) if number is None else number)
    return MetricSeries(steps, values)


def number_in(text: str) -> float:
    """The number in a row; NaN for other text, which the audit finds in its own column."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
