"""The order of the history: read piece by piece from indexes, or by sorting what was found; the same lines.

- Newest first where nothing else is asked for.
- By a metric or parameter: numbers; then, of parameters, texts by their first PREFIX characters; then runs
  without. By a field of the run: runs that have it, then runs without.
- Among equals the one recorded first comes first (last where descending), as in an index, so that a million
  equal values need no sorting. Among runs without, the newest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Enum,
    Row,
    Select,
    Table,
    Text,
    and_,
    exists,
    not_,
    null,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.sql.visitors import iterate

from orchestrator.record.history.filter_fields import (
    PARAMETERS,
    TABLES,
    Comparison,
    Field,
    column_of,
    compare,
)
from orchestrator.record.history.index_seeks import SELECTIVE, within
from orchestrator.record.history.recorded_names import KnownNames, field_of
from orchestrator.record.schema import tables
from orchestrator.record.schema.table_alias import alias
from orchestrator.record.schema.tables import prefix_of
from orchestrator.run.attempt_model import State

_RUN, _JOB, _IMAGE = tables.run, tables.job, tables.image


class Stretch(NamedTuple):
    """A part of an ordered list: the keys of its runs, in order, and which of them fit (None: all)."""

    keys: Select[Any]
    fitting: ColumnElement[bool] | None


class Known(NamedTuple):
    """Conditions that every run looked for meets, and that an index could use."""

    certain: tuple[Comparison, ...] = ()
    of_run: tuple[ColumnElement[bool], ...] = ()  # over run: equalities, and moments
    job: int | None = None  # its key


class OrderPlace(NamedTuple):
    """Where a run stands in an order; its tuples compare as the order goes up."""

    part: int  # NUMBERS, TEXTS, REST
    value: Any  # among the rest, the moment of submission
    key: int


NUMBERS, TEXTS, REST = range(3)


class Order(NamedTuple):
    field: Field | None  # None: newest first
    descending: bool
    after: OrderPlace | None = None  # only what comes after this one

    def stretches(self, known: Known) -> list[Stretch]:
        """The parts of the order from `after` on."""
        return [
            stretch for part, stretch in self._parts(known) if self.after is None or part >= self.after.part
        ]

    def is_beyond(self, place: OrderPlace) -> bool:
        if self.after is None or place.part != self.after.part:
            return self.after is None or place.part > self.after.part
        down = self.descending or place.part == REST
        return place < self.after if down else place > self.after

    def _parts(self, known: Known) -> list[tuple[int, Stretch]]:
        if self.field is None:
            return [(REST, Stretch(self._newest(known), None))]
        mine = [one for one in known.certain if one.field == self.field]
        table = TABLES.get(self.field.word)
        if table is not None:
            return self._by_table(table, self.field, mine, known)
        column = column_of(self.field)
        keys = _of_runs(self.field, _RUN.c.id.label("key")).where(column.is_not(None), *known.of_run)
        keys = keys.where(*(compare(*one) for one in mine))
        always = mine or self.field.word in ("job", "image")
        found = [(NUMBERS, Stretch(self._directed(keys, NUMBERS, column, _RUN.c.id), None))]
        if not always:
            found.append((REST, Stretch(self._newest(known).where(column.is_(None)), None)))
        return found

    def _by_table(
        self, table: Table, field: Field, mine: list[Comparison], known: Known
    ) -> list[tuple[int, Stretch]]:
        value, again = alias(table, "sorted"), alias(table, "unsorted")
        keys = select(value.c.run_id.label("key")).where(value.c.name == field.name)
        if table is tables.metric and known.job is not None:
            keys = keys.where(value.c.job_id == known.job)
        keys = keys.where(*(within(one, value) for one in mine))
        number = field.number
        numbers = keys.where(value.c[number].is_not(None))
        ordered = self._directed(numbers, NUMBERS, value.c[number], value.c.run_id)
        found = [(NUMBERS, Stretch(ordered, None))]
        has = [again.c.run_id == _RUN.c.id, again.c.name == field.name]
        always = bool(mine)
        if field.word in PARAMETERS:
            texts = keys.where(value.c.num.is_(None))
            found.append(
                (TEXTS, Stretch(self._directed(texts, TEXTS, prefix_of(value), value.c.run_id), None))
            )
        else:
            has.append(again.c[number].is_not(None))
            always = any(one.operator in SELECTIVE for one in mine)  # NaN is unequal to everything
        if not always:
            found.append((REST, Stretch(self._newest(known), not_(exists().where(*has)))))
        return found

    def _directed(self, keys: Select[Any], part: int, value: Any, key: Any) -> Select[Any]:
        return self._beyond(keys, part, value, key, self.descending)

    def _newest(self, known: Known) -> Select[Any]:
        """`key` of the runs that meet `known`, the newest first."""
        keys = select(_RUN.c.id.label("key")).where(*known.of_run)
        return self._beyond(keys, REST, _RUN.c.created_at, _RUN.c.id, True)

    def _beyond(self, keys: Select[Any], part: int, value: Any, key: Any, down: bool) -> Select[Any]:
        """`keys` in order, and only those beyond `after` where that is in this part."""
        if self.after is not None and self.after.part == part:
            plain = type_coerce(value, Text()) if isinstance(value.type, Enum) else value
            last = self.after.value
            equal = and_(plain == last, key < self.after.key if down else key > self.after.key)
            # The first condition is for the index.
            keys = keys.where(plain <= last if down else plain >= last)
            keys = keys.where(or_(plain < last if down else plain > last, equal))
        return keys.order_by(*(column.desc() if down else column.asc() for column in (value, key)))

    def values(self) -> Select[Any]:
        """`key` and what `sort` needs: `value`, `text`; runs without a row have neither."""
        table = TABLES.get(self.field.word) if self.field else None
        if self.field is None or table is None:
            value = null() if self.field is None else column_of(self.field)
            of_run = _RUN.c.id.label("key"), value.label("value"), null().label("text")
            return select(*of_run) if self.field is None else _of_runs(self.field, *of_run)
        text = prefix_of(table) if self.field.word in PARAMETERS else null()
        columns = _RUN.c.id.label("key"), table.c[self.field.number].label("value"), text.label("text")
        # From the run, or SQLite reads the whole index of the name.
        mine = and_(table.c.run_id == _RUN.c.id, table.c.name == self.field.name)
        return select(*columns).select_from(_RUN).outerjoin(table, mine)

    def sort(self, rows: Iterable[Row[Any]]) -> list[OrderPlace]:
        """The places of the runs that have something to sort by, in order."""
        places = [place for row in rows if (place := self.place_of(row)) is not None]
        parts = ([one for one in places if one.part == part] for part in (NUMBERS, TEXTS))
        return [place for part in parts for place in sorted(part, reverse=self.descending)]

    def place_of(self, row: Row[Any]) -> OrderPlace | None:
        """The place of a row of `values`; None for a run with nothing to sort by. A text that somebody put
        where a number belongs is nothing.
        """
        number = self.field is not None and self.field.is_number
        if row.value is not None and isinstance(row.value, int | float) is number:
            return OrderPlace(
                NUMBERS, row.value.value if isinstance(row.value, StrEnum) else row.value, row.key
            )
        return None if row.text is None else OrderPlace(TEXTS, row.text, row.key)


def order_of(text: str | None, names: KnownNames) -> Order:
    """`metrics.accuracy`, `-seconds`: Mismatch if unknown."""
    if text is None:
        return Order(None, True)
    return Order(field_of(text.removeprefix("-"), names), text.startswith("-"))


def fitting_runs(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """`key` of the runs that fit, with the tables that the conditions name joined to `run`."""
    parts = (part for condition in conditions for part in iterate(condition))
    named = {part.table for part in parts if isinstance(part, Column)}
    query = select(_RUN.c.id.label("key")).select_from(_RUN)
    if _JOB in named:
        query = query.join(_JOB, _JOB.c.id == _RUN.c.job_id)
    if _IMAGE in named:
        query = query.join(_IMAGE, _IMAGE.c.id == _RUN.c.image_id)
    if tables.attempt in named:
        query = query.outerjoin(tables.attempt, executed())
    return query.where(*conditions)


def executed() -> ColumnElement[bool]:
    """Joins `run` with its current or last attempt; a queued run has none."""
    attempt = tables.attempt
    current = (attempt.c.run_id == _RUN.c.id) & (attempt.c.number == _RUN.c.attempt)
    return current & (_RUN.c.state != State.QUEUED)


def _of_runs(field: Field, *columns: Any) -> Select[Any]:
    if field.word == "job":
        return select(*columns).join(_JOB, _JOB.c.id == _RUN.c.job_id)
    if field.word == "image":
        return select(*columns).join(_IMAGE, _IMAGE.c.id == _RUN.c.image_id)
    return select(*columns)
