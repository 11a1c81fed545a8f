"""The points of one metric of one run, for a chart: a run may have a million."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import NoMoment

FETCHED = 1_000  # rows at a time; more of them cost the collector of garbage time


class MetricSeries(NamedTuple):
    """In the order in which the job wrote them."""

    steps: Sequence[int | None]
    values: Sequence[float]  # NaN and infinities, too
    seconds: Sequence[float | None] = ()  # since the run's start; none at all where no point has a time


def metric_series(connection: Connection, run: str, name: str) -> MetricSeries:
    """Empty for a run that is not known, not over, or has no such metric; a text that is no number is NaN."""
    point = tables.metric_point.c
    key = select(tables.run.c.id).where(tables.run.c.public_id == run).scalar_subquery()
    query = (
        select(point.step, point.num, point.text, point.at)
        .where(point.run_id == key, point.name == name)
        .order_by(point.position)
    )
    steps: list[int | None] = []
    values: list[float] = []
    moments: list[float | None] = []
    for step, number, text, at in connection.execute(query, execution_options={"yield_per": FETCHED}):
        steps.append(step if isinstance(step, int) else None)
        values.append(number if isinstance(number, int | float) else number_in(text))
        moments.append(at if isinstance(at, float) else None)
    first = next((at for at in moments if at is not None), None)
    if first is None:
        return MetricSeries(steps, values)
    start = _start(connection, run, first)
    return MetricSeries(steps, values, [None if at is None else at - start for at in moments])


def _start(connection: Connection, run: str, first: float) -> float:
    """When the run began, in seconds since 1970; the first point's moment where nobody saw it begin."""
    query = select(tables.run.c.started_at).where(tables.run.c.public_id == run)
    began = connection.execute(query).scalar()
    return first if began is None or isinstance(began, NoMoment) else began.timestamp()


def number_in(text: str) -> float:
    """The number in a row; NaN for other text, which the audit finds in its own column."""
    try:
        return float(text)
    except (ValueError, TypeError):
        return float("nan")
