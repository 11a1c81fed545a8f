"""What an index can find: for a comparison, the runs that may fit it, and hardly any others.

The exact filter is asked afterwards, so a seek may find too many; it never misses one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, false, or_, select, true

from orchestrator.record.history.filter_fields import (
    ORDERS,
    TABLES,
    Comparison,
    Field,
    Literal,
    compare,
    number_for,
)
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import storable
from orchestrator.record.schema.tables import PREFIX, prefix_of

_RUN, _JOB, _IMAGE = tables.run, tables.job, tables.image
# Fields of the run that have an index, and the operators that are selective enough for it.
_INDEXED = ("user", "seconds", "seed", "state", "status", "failure", "created")
SELECTIVE = ("<", "<=", ">", ">=", "==", "in")


def seeks_of(certain: Iterable[Comparison], job: int | None) -> Iterator[Select[Any]]:
    """`key` of runs, from one index each. All comparisons of one field go together."""
    of_field: dict[Field, list[Comparison]] = {}
    for one in certain:
        of_field.setdefault(one.field, []).append(one)
    for field, comparisons in of_field.items():
        table = TABLES.get(field.word)
        if table is not None:
            named = table.c.name == field.name
            conditions = [within(one, table) for one in comparisons]
            if table is tables.metric and job is not None:
                conditions.append(table.c.job_id == job)
            yield select(table.c.run_id.label("key")).where(named, *conditions)
            continue
        found = [one for one in comparisons if one.operator in SELECTIVE]
        held = and_(true(), *(compare(*one) for one in found))
        if not found:
            continue
        if field.word == "job":
            yield runs_where(_RUN.c.job_id.in_(select(_JOB.c.id).where(held)))
        elif field.word == "image":
            yield runs_where(_RUN.c.image_id.in_(select(_IMAGE.c.id).where(held)))
        elif field.word in _INDEXED:
            yield runs_where(held)


def runs_where(condition: ColumnElement[bool]) -> Select[Any]:
    return select(_RUN.c.id.label("key")).where(condition)


def within(one: Comparison, table: FromClause) -> ColumnElement[bool]:
    """A condition on the indexed columns of one of TABLES: it holds wherever the comparison does."""
    if one.operator in ("!=", "not in"):
        return true()
    if isinstance(one.value, tuple):
        return or_(false(), *(_near(table, one.field, "==", value) for value in one.value))
    return _near(table, one.field, one.operator, one.value)


def _near(table: FromClause, field: Field, operator: str, value: Literal) -> ColumnElement[bool]:
    if isinstance(value, str):
        prefix = prefix_of(table)
        start = storable(value)[:PREFIX]
        wide = {"<": "<=", ">": ">="}.get(operator, operator)
        return and_(table.c.num.is_(None), _held(prefix, wide, start))
    column = table.c[field.number]
    return _held(column, operator, number_for(column, value))


def _held(column: Any, operator: str, value: Any) -> ColumnElement[bool]:
    held: ColumnElement[bool] = column == value if operator == "==" else ORDERS[operator](column, value)
    return held
