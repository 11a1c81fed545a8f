"""A metric's extremes: its least and its greatest value, and at which steps.

They lie beside the last value in the rows of `metric`, so that a best point is read from an index. They
follow from the points, so no event holds them: the audit computes them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from orchestrator.record.run_record import Reached
from orchestrator.record.runs.metric_series import number_in
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import indexable

COLUMNS = {
    "low": "min",
    "low_step": "min_step",
    "high": "max",
    "high_step": "max_step",
    "last_step": "last_step",
}
"""Columns of `metric`, and the fields of Reached that lie in them."""

Point = tuple[str, int | None, float]  # name, step, value


def reached(final: Mapping[str, float], points: Iterable[Point]) -> dict[str, Reached]:
    """The extremes of every metric with a final value; `points` in the order in which the job wrote them.

    NaN is left out. Of equal values the first point counts; a final value without a point counts last.
    """
    found = {indexable(name): _Extremes() for name in final}
    for name, step, value in points:
        extremes = found.get(name) or found.get(indexable(name))
        if extremes is not None:
            extremes.add(step, value)
    return {indexable(name): found[indexable(name)].result(value) for name, value in final.items()}


class _Extremes:
    __slots__ = ("high", "high_step", "last", "last_step", "low", "low_step")

    def __init__(self) -> None:
        self.low: float | None = None
        self.high: float | None = None
        self.last: float | None = None
        self.low_step: int | None = None
        self.high_step: int | None = None
        self.last_step: int | None = None

    def add(self, step: int | None, value: float) -> None:
        self.last, self.last_step = value, step
        if value != value:  # NaN; a million points pass here
            return
        if self.low is None or value < self.low:
            self.low, self.low_step = value, step
        if self.high is None or value > self.high:
            self.high, self.high_step = value, step

    def result(self, final: float) -> Reached:
        last_step = self.last_step if repr(self.last) == repr(final) else None
        if last_step is None:
            self.add(None, final)
        return Reached(
            last_step=last_step,
            min=self.low,
            min_step=self.low_step,
            max=self.high,
            max_step=self.high_step,
        )


def columns_of(found: Reached) -> dict[str, Any]:
    return {column: getattr(found, field) for column, field in COLUMNS.items()}


def reached_fields(row: Any) -> dict[str, Any]:
    """What a Reached is made of, from a row of `metric`."""
    return {field: getattr(row, column) for column, field in COLUMNS.items()}


def without_extremes(
    connection: Connection, rows: Iterable[RowMapping], low: int, high: int
) -> Iterator[dict[str, Any]]:
    """Rows of `metric` of the runs `low` to `high`, by run, without the extremes that the points confirm.

    A wrong extreme stays in its row, so that the audit finds it.
    """
    points = _Points(connection, low, high)
    for key, group in groupby(rows, lambda row: row["run_id"]):
        mine = list(group)
        expected = reached({row["name"]: number_in(row["text"]) for row in mine}, points.of(key))
        for row in mine:
            said = {column: row[column] for column in COLUMNS}
            true = columns_of(expected[row["name"]])
            plain = {name: value for name, value in row.items() if name not in COLUMNS}
            yield plain | {column: value for column, value in said.items() if value != true[column]}


class _Points:
    """Points, read once: runs are asked for in the order of their keys."""

    def __init__(self, connection: Connection, low: int, high: int) -> None:
        point = tables.metric_point.c
        query = (
            select(point.run_id, point.name, point.step, point.text)
            .where(point.run_id.between(low, high))
            .order_by(point.run_id, point.position)
        )
        self._rows = iter(connection.execute(query, execution_options={"yield_per": 5000}))
        self._next = next(self._rows, None)

    def of(self, key: int) -> Iterator[Point]:
        while self._next is not None and self._next.run_id < key:
            self._next = next(self._rows, None)
        while self._next is not None and self._next.run_id == key:
            row = self._next
            yield row.name, row.step, number_in(row.text)
            self._next = next(self._rows, None)
