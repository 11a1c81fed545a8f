"""A page of a long history without reading all of it, for any filter and order.

- Where one condition fits few runs, an index finds those; they are sorted, and the whole filter is asked of
  them in that order until the page is full.
- Otherwise the runs are walked in their order, a piece at a time.
- Where that would take long, the answers of the indexes are intersected first, and what they have in common
  is sorted or walked. Without any index that could help (`or`, `not`), every run is asked.

Each statement names its runs by their keys, or reads one index: left to choose, Postgres walked a million
runs in the order of a metric and read another index anew for each, for ten minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    UnaryExpression,
    func,
    select,
)
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.sql.visitors import replacement_traverse

from orchestrator.record.database.among import among
from orchestrator.record.history.order import REST, Known, Order, OrderPlace, fitting_runs
from orchestrator.record.schema import tables

HANDFUL = 1_000  # runs that an index finds and that are sorted at once
GLANCE = 5_000  # runs that are walked before another way is tried
FEW = 10_000  # runs that are sorted then
MANY = 300_000  # runs, at most, of an index's answer that is intersected
AT_ONCE = 10_000  # runs in one statement


class RunQuery(NamedTuple):
    conditions: tuple[ColumnElement[bool], ...]  # over run, job, image, attempt, box
    seeks: tuple[Select[Any], ...]  # `key` of runs by an index: each finds at least every run that fits
    known: Known
    order: Order


def page(connection: Connection, wanted: RunQuery, limit: int | None) -> list[int]:
    """Keys of the first runs that fit, in order."""
    if limit is None:
        return _everything(connection, wanted)
    newest = connection.execute(select(func.max(tables.run.c.id))).scalar() or 0
    rare = limit * newest // GLANCE  # of so many the walk would see too few
    counted = [(_count(connection, seek, FEW), seek) for seek in wanted.seeks]
    least, few = min(counted, key=lambda item: item[0], default=(newest + 1, None))
    if few is not None and least <= HANDFUL:
        return _sorted(connection, wanted, _keys(connection, few), limit)
    if least > min(rare, FEW):
        found = _walk(connection, wanted, limit, GLANCE)
        if found is not None:
            return found
    if few is None:
        return _everything(connection, wanted)[:limit]
    if least <= FEW:
        return _sorted(connection, wanted, _keys(connection, few), limit)
    together = _together(connection, wanted.seeks)
    with _hashing(connection):
        common = _restricted(together[0], together[1:])
        found = list(connection.execute(common.limit(FEW + 1)).scalars())
    if len(found) <= FEW:
        return _sorted(connection, wanted, list(dict.fromkeys(found)), limit)
    return _walk(connection, wanted, limit, None, together) or []


def _keys(connection: Connection, seek: Select[Any]) -> list[int]:
    """Each once."""
    return list(dict.fromkeys(connection.execute(seek).scalars()))


def _count(connection: Connection, seek: Select[Any], most: int) -> int:
    """How many runs the query finds; a number above `most` means more than `most`."""
    some = seek.limit(most + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def _together(connection: Connection, seeks: Sequence[Select[Any]]) -> list[Select[Any]]:
    """The seeks worth intersecting, the largest first: those that find more than MANY are left out."""
    counted = sorted(((_count(connection, seek, MANY), number) for number, seek in enumerate(seeks)))
    worth = [seeks[number] for count, number in counted if count <= MANY]
    return (worth or [seeks[number] for _, number in counted])[::-1]


def _restricted(keys: Select[Any], seeks: Sequence[Select[Any]]) -> Select[Any]:
    """The keys that all the seeks find, too. `+`: answers are joined whole, not looked up one by one."""
    key = UnaryExpression(keys.selected_columns[0].element, operator=custom_op("+"), type_=Integer())
    return keys.where(*(key.in_(seek) for seek in seeks))


@contextmanager
def _hashing(connection: Connection) -> Iterator[None]:
    """Inside, Postgres joins whole answers, and does not look up the rows of one in another."""
    postgres = connection.dialect.name == "postgresql"
    if postgres:
        connection.exec_driver_sql("SET LOCAL enable_nestloop = off")
    yield
    if postgres:
        connection.exec_driver_sql("SET LOCAL enable_nestloop = on")


def _walk(
    connection: Connection,
    wanted: RunQuery,
    limit: int,
    most: int | None,
    within: Sequence[Select[Any]] = (),
) -> list[int] | None:
    """In order, until `limit` are found; None where `most` were walked before."""
    found: list[int] = []
    walked = 0
    for stretch in wanted.order.stretches(wanted.known):
        conditions = [*wanted.conditions, *([] if stretch.fitting is None else [stretch.fitting])]
        start, size = 0, 4 * limit if conditions else limit
        while True:
            piece = _restricted(stretch.keys, within).limit(size).offset(start)
            with _hashing(connection) if within else nullcontext():
                keys = list(connection.execute(piece).scalars())
            found += _fitting(connection, keys, conditions)
            if len(found) >= limit:
                return found[:limit]
            if len(keys) < size:
                break
            start, walked = start + size, walked + size
            size = min(4 * size, AT_ONCE)
            if most is not None and walked >= most:
                return None
    return found


def _fitting(connection: Connection, keys: list[int], conditions: Sequence[ColumnElement[bool]]) -> list[int]:
    """The keys whose runs meet the conditions, in the order in which they came."""
    if not conditions or not keys:
        return keys
    query = fitting_runs([among(connection, tables.run.c.id, keys), *conditions])
    fitting = set(connection.execute(_by_key(connection, query)).scalars())
    return [key for key in keys if key in fitting]


def _sorted(connection: Connection, wanted: RunQuery, keys: Sequence[int], limit: int) -> list[int]:
    """The first of these that fit, in order."""
    ordered = _in_order(connection, wanted.order, keys)
    found: list[int] = []
    start, size = 0, 4 * limit
    while start < len(ordered) and len(found) < limit:
        found += _fitting(connection, ordered[start : start + size], wanted.conditions)
        start, size = start + size, AT_ONCE
    return found[:limit]


def _everything(connection: Connection, wanted: RunQuery) -> list[int]:
    """All that fit, in order."""
    with _hashing(connection) if wanted.conditions else nullcontext():
        fitting = list(connection.execute(fitting_runs(wanted.conditions)).scalars())
    return _in_order(connection, wanted.order, fitting)


def _in_order(connection: Connection, order: Order, keys: Sequence[int]) -> list[int]:
    """The keys beyond `after`, sorted: those without a value come last, the newest first."""
    return [place.key for place in places(connection, order, keys) if order.is_beyond(place)]


def places(connection: Connection, order: Order, keys: Sequence[int]) -> list[OrderPlace]:
    """Where these runs stand in the order, sorted."""
    values = order.values()
    rows: list[Row[Any]] = []
    for some in _pieces(keys if order.field else ()):
        chosen = among(connection, tables.run.c.id, some)
        rows += connection.execute(_by_key(connection, values.where(chosen))).all()
    found = order.sort(rows)
    rest = sorted(set(keys).difference(place.key for place in found))
    run, missing = tables.run.c, []
    for some in _pieces(rest):
        moments = select(run.created_at, run.id).where(among(connection, run.id, some))
        missing += [OrderPlace(REST, *row) for row in connection.execute(_by_key(connection, moments))]
    return found + sorted(missing, reverse=True)


def _pieces(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(keys), AT_ONCE):
        yield keys[start : start + AT_ONCE]


def _by_key(connection: Connection, query: Select[Any]) -> Select[Any]:
    """Hide other columns of `run` behind a `+`: SQLite prefers their indexes to the keys that it is given."""
    if connection.dialect.name != "sqlite":
        return query
    run = tables.run

    def hidden(element: Any, **_: Any) -> Any:
        if isinstance(element, Column) and element.table is run and element is not run.c.id:
            return UnaryExpression(element, operator=custom_op("+"), type_=element.type)
        return None

    shown: Any = replacement_traverse(query, {}, hidden)
    return cast("Select[Any]", shown)
