"""Fields of a run that have a table of their own: how each is written and read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Row, Table

from orchestrator.record.run_record import InputOrigin, Submission, Wanted
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import comparable, indexable, scalar_columns, scalar_of
from orchestrator.record.schema.stored_values import columns_of, value_from
from orchestrator.run.attempt_model import Fingerprint, Log, LoggedParam, Output, Readback, TraceFile
from orchestrator.run.metrics.series import Series, TimedPoint, timed_points
from orchestrator.spec.source.source_tree import GitState
from orchestrator.value import Value

T = TypeVar("T")
Columns = dict[str, Any]


class FieldTable(NamedTuple):
    table: Table
    rows: Callable[[Any], Iterable[Columns]]  # of the field, without the run's key
    field: Callable[[Iterable[Row[Any]]], Any]  # of the rows in the order of their key


def _listed(table: Table, kind: type[Value]) -> FieldTable:
    return FieldTable(
        table,
        lambda items: ({"position": place, **columns_of(table, item)} for place, item in enumerate(items)),
        lambda rows: tuple(value_from(kind, table, row) for row in rows),
    )


def _one(table: Table, kind: type[Value], absent: Value | None = None) -> FieldTable:
    return FieldTable(
        table,
        lambda item: () if item is None else (columns_of(table, item),),
        lambda rows: next((value_from(kind, table, row) for row in rows), absent),
    )


def _named(
    table: Table, name: str, write: Callable[[Any], Columns], read: Callable[[Row[Any]], Any]
) -> FieldTable:
    """A mapping. Names that are stored alike are one row: a forged report must not undo the whole result."""

    def rows(mapping: Mapping[str, Any]) -> Iterator[Columns]:
        alike = {indexable(key): value for key, value in mapping.items()}
        return ({name: key, **write(value)} for key, value in alike.items())

    return FieldTable(table, rows, lambda found: {row._mapping[name]: read(row) for row in found})


def _float(value: float) -> Columns:
    return {"text": repr(value), "num": comparable(value)}


def _points(series: Any) -> Iterator[Columns]:
    for position, (name, step, value, at) in enumerate(timed_points(series)):
        yield {"position": position, "name": name, "step": step, **_float(value), "at": at}


# Values by their places: by their names it takes half as long again.
_point_of = itemgetter(*map(tables.metric_point.c.keys().index, ("name", "step", "text", "at")))


def points_in(rows: Iterable[Row[Any]]) -> Series:
    return Series(TimedPoint(name, step, float(text), at) for name, step, text, at in map(_point_of, rows))


SUBMITTED: dict[str, FieldTable] = {
    "wanted": _one(tables.wanted, Wanted, Wanted()),
    "git": _one(tables.git_state, GitState),
    "input_origins": _named(
        tables.input_origin,
        "name",
        lambda item: columns_of(tables.input_origin, item),
        lambda row: value_from(InputOrigin, tables.input_origin, row),
    ),
}
RESULTS: dict[str, FieldTable] = {
    "metrics": _named(tables.metric, "name", _float, lambda row: float(row.text)),
    "logged": _named(
        tables.logged_param,
        "name",
        lambda item: {"source": item.source, **scalar_columns(item.value)},
        lambda row: LoggedParam(value=scalar_of(row.type, row.text), source=row.source),
    ),
    "outputs": _listed(tables.output, Output),
    "packages": _named(
        tables.package, "name", lambda text: {"version": indexable(text)}, lambda row: row.version
    ),
    "source": _named(tables.source_file, "path", lambda text: {"sha256": text}, lambda row: row.sha256),
    "readbacks": _listed(tables.flag, Readback),
    "traces": _listed(tables.trace, TraceFile),
    "notes": FieldTable(
        tables.note,
        lambda notes: ({"position": place, "text": text} for place, text in enumerate(notes)),
        lambda rows: tuple(row.text for row in rows),
    ),
    "log": _one(tables.log, Log),
    "fingerprint": _one(tables.fingerprint, Fingerprint),
    "series": FieldTable(tables.metric_point, _points, points_in),
}


class Rows(Iterable[Columns]):
    """Rows of one run, made anew in each pass: a million points would take 1 GB."""

    def __init__(self, run: int, make: Callable[[], Iterable[Columns]]) -> None:
        self._run, self._make = run, make

    def __iter__(self) -> Iterator[Columns]:
        return ({"run_id": self._run, **row} for row in self._make())


def rows_of(run: int, value: Value, held: Mapping[str, FieldTable]) -> Iterator[tuple[Table, Rows]]:
    """Each field of the value that has a table, as that table and its rows."""
    for name, (table, rows, _) in held.items():
        field = getattr(value, name)
        yield table, Rows(run, lambda rows=rows, field=field: rows(field))  # type: ignore[misc]


def copies_of(run: int, asked: Submission) -> Iterator[tuple[Table, Rows]]:
    """Copies from the program, for questions: parameters by value, inputs by content."""
    program = asked.program
    params = [{"name": name, **scalar_columns(value)} for name, value in program.params.items()]
    yield tables.param, Rows(run, lambda: params)
    inputs = [{"name": name, "digest": digest} for name, digest in program.inputs.items()]
    yield tables.run_input, Rows(run, lambda: inputs)


def submitted_rows(run: int, asked: Submission) -> Iterator[tuple[Table, Rows]]:
    return chain(copies_of(run, asked), rows_of(run, asked, SUBMITTED))
