"""The ledger as it is read: its head, its events in order or by question, its tree heads.

All but `save_signed_head` only read. Every query is answered by an index at a million events.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from heapq import nlargest
from itertools import product
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, insert, select
from sqlalchemy.exc import DataError, OperationalError

from orchestrator.errors import RecordError
from orchestrator.record.database.database_clock import now
from orchestrator.record.database.each_value import each_value
from orchestrator.record.ledger.append_events import ENDS, read_ledger
from orchestrator.record.ledger.fold_events import LedgerEvent as LedgerEvent
from orchestrator.record.ledger.fold_events import LedgerHead as LedgerHead
from orchestrator.record.schema import tables
from orchestrator.value import Value

_event, _checkpoint = tables.event, tables.checkpoint


# What the reading of a column raises that was filled behind Reprise's back: SQLite takes anything anywhere.
NO_VALUE = (ValueError, LookupError, TypeError, AttributeError, OperationalError, DataError)


class EventFilter(Value):
    """Which events. A field that is None leaves none out."""

    run: str | None = None  # public id
    kinds: tuple[str, ...] = ()  # or their part before the point: `run`
    by: str | None = None  # user, or user@machine
    since: datetime | None = None
    limit: int | None = None  # the newest so many


class Signed(Value):
    """A tree head as it was stored: a signed note over the tree of the first `size` events."""

    size: int
    text: str
    at: datetime


def head(connection: Connection) -> LedgerHead:
    name, frontier = read_ledger(connection)
    return LedgerHead(id=name, size=frontier.size, root=frontier.root)


def find_events(connection: Connection, wanted: EventFilter) -> list[LedgerEvent]:
    """Oldest first. `since` starts at the first event of that time, by the index: clocks may jump."""
    some: list[ColumnElement[bool]] = []
    if wanted.run is not None:
        some.append(_event.c.run == wanted.run)
    if wanted.since is not None:
        first = _first_since(connection, wanted.since)
        if first is None:
            return []
        some.append(_event.c.idx >= first)
    # One query for each kind and author: each walks down an index and stops at the limit.
    kinds = _words(connection, _event.c.kind, wanted.kinds, ".") if wanted.kinds else [None]
    authors = _words(connection, _event.c.made_by, (wanted.by,), "@") if wanted.by else [None]
    lines: list[LedgerEvent] = []
    for kind, by in product(kinds, authors):
        query = select(_event).where(*some).order_by(_event.c.idx.desc()).limit(wanted.limit)
        if kind is not None:
            query = query.where(_event.c.kind == kind)
        if by is not None:
            query = query.where(_event.c.made_by == by)
        lines += event_lines(connection, query)
    if wanted.limit is not None:
        lines = nlargest(wanted.limit, lines, key=lambda line: line.index)
    return sorted(lines, key=lambda line: line.index)


def _first_since(connection: Connection, since: datetime) -> int | None:
    query = select(_event.c.idx).where(_event.c.at >= since).order_by(_event.c.at).limit(1)
    return connection.execute(query).scalar()


def _words(
    connection: Connection, column: ColumnElement[str], wanted: Sequence[str], mark: str
) -> list[str | None]:
    """The column's few words that are wanted, or begin with what is wanted and the mark."""
    words = each_value(connection, column)
    return [word for word in words if any(word == text or word.startswith(text + mark) for text in wanted)]


def event_lines(connection: Connection, query: Select[Any]) -> list[LedgerEvent]:
    """Events from rows. A column that holds another kind of value is empty in the event."""
    try:
        return [_event_line(row) for row in connection.execute(query)]
    except NO_VALUE as error:
        no_value(error)
        indexes = connection.execute(query.with_only_columns(tables.event.c.idx)).scalars().all()
        return [_salvaged(connection, index) for index in indexes]


_EMPTY: dict[str, Any] = {"at": datetime.min.replace(tzinfo=UTC), "made_by": "", "kind": "", "document": b""}


def _salvaged(connection: Connection, index: int) -> LedgerEvent:
    event, found = tables.event, {}
    for name in (*_EMPTY, "run"):
        query = select(event.c[name]).where(event.c.idx == index)
        kind = {"at": datetime, "document": bytes}.get(name, str)
        try:
            value = connection.execute(query).scalar_one()
        except NO_VALUE as error:
            no_value(error)
            value = None
        found[name] = value if isinstance(value, kind) else _EMPTY.get(name)
    return LedgerEvent.model_validate({"index": index, "by": found.pop("made_by"), **found})


def _event_line(row: Row[Any]) -> LedgerEvent:
    return LedgerEvent(
        index=row.idx, at=row.at, by=row.made_by, kind=row.kind, run=row.run, document=row.document
    )


def no_value(error: Exception) -> str:
    """What is wrong with a column, in words; another error of the database is raised again."""
    said: object = error
    if isinstance(error, OperationalError):
        said = error.orig
        if "decode" not in str(said):  # SQLite's "Could not decode to UTF-8"
            raise error
    return f"a column holds what is no value of it: {type(error).__name__}: {' '.join(str(said).split())}"


# Signed tree heads


def head_due(connection: Connection) -> bool:
    """Whether a run has ended, or a verdict was given, that no tree head covers."""
    covered = select(func.coalesce(func.max(_checkpoint.c.size), 0)).scalar_subquery()
    later = [
        select(_event.c.idx).where(_event.c.kind == kind, _event.c.idx >= covered).exists() for kind in ENDS
    ]
    return any(connection.execute(select(*later)).one())


def signed_heads(connection: Connection, after: int = 0) -> list[Signed]:
    """The tree heads over more than `after` events, the oldest first."""
    query = select(_checkpoint).where(_checkpoint.c.size > after).order_by(_checkpoint.c.size)
    return [Signed(**row._asdict()) for row in connection.execute(query)]


def latest_signed_head(connection: Connection) -> Signed | None:
    row = connection.execute(select(_checkpoint).order_by(_checkpoint.c.size.desc()).limit(1)).one_or_none()
    return None if row is None else Signed(**row._asdict())


def save_signed_head(connection: Connection, size: int, text: str) -> Signed:
    """Keep a note, unless there is one of that size. RecordError for one that is ahead of the ledger."""
    there = connection.execute(select(_checkpoint).where(_checkpoint.c.size == size)).one_or_none()
    if there is not None:
        return Signed(**there._asdict())
    grown = read_ledger(connection)[1].size
    if size > grown:
        raise RecordError(
            f"a tree head over {size} events, and the ledger has {grown}",
            "the ledger was cut short, or the database was restored from a copy: `reprise audit` says more",
        )
    signed = Signed(size=size, text=text, at=now(connection))
    connection.execute(insert(_checkpoint), signed.model_dump())
    return signed
