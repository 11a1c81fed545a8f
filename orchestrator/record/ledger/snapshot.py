"""One state of the record, as an audit or an export goes through it: nothing that is stored there stops it.

Functions take a connection inside a reading transaction; all is read in pages: a million runs need little
memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, func, null, select

from orchestrator.digest import Digest
from orchestrator.record.ledger.fold_events import OWNED, SHARED, LedgerEvent, LedgerHead
from orchestrator.record.ledger.read_ledger import (
    NO_VALUE,
    Signed,
    event_lines,
    head,
    no_value,
    signed_heads,
)
from orchestrator.record.ledger.row_evidence import of_runs, row_value, rows_value
from orchestrator.record.schema import tables

T = TypeVar("T")

PAGE = 500  # rows
EVENTS = 5000  # events of the whole ledger that are read at a time

# Every column that names a blob of the store; a test classifies all columns.
BLOBS = (
    tables.output.c.digest,
    tables.log.c.digest,
    tables.trace.c.digest,
    tables.git_state.c.patch_digest,
)


# Columns that name input data. The store may have the data or not; if it has a folder, it has its files, too
# (record/store/input_trees.py). A new column that names input data is to be added here.
INPUTS = (tables.run_input.c.digest, tables.input_file.c.digest, tables.data_version.c.digest)


# The columns of INPUTS whose digest can be a folder's.
ROOTS = (tables.run_input.c.digest, tables.data_version.c.digest)


class BlobLine(NamedTuple):
    """One row that names a blob of the store."""

    digest: Digest
    what: str  # the table: output, log, trace, git_state
    run: str
    size: int | None  # bytes; None where the row does not say it: a patch is small


def named(connection: Connection, digests: Sequence[Digest]) -> set[Digest]:
    """The digests among these that some row names, as a blob or as input data."""
    found: set[Digest] = set()
    for column in (*BLOBS, *INPUTS):
        found.update(map(Digest, connection.execute(select(column).where(column.in_(digests))).scalars()))
    return found


def named_as_inputs_only(connection: Connection, digests: Sequence[Digest]) -> set[Digest]:
    """The digests among these that are input data as a whole, and that no row names as anything else."""
    named = [
        {digest for column in columns for digest in connection.execute(_among(column, digests)).scalars()}
        for columns in (ROOTS, (*BLOBS, tables.input_file.c.digest))
    ]
    return set(map(Digest, named[0] - named[1]))


def _among(column: Any, digests: Sequence[Digest]) -> Select[Any]:
    return select(column).where(column.in_(digests))


def input_roots(connection: Connection, number: int, after: str) -> tuple[list[Digest], str | None]:
    """(the next digests of input data that the column ROOTS[number] names, the last text). None: the end."""
    column = ROOTS[number]
    query = select(column).where(column > after).distinct().order_by(column).limit(PAGE)
    rows = connection.execute(query).scalars().all()
    found = [digest for row in rows if (digest := Digest.parse(row)) is not None]
    return found, rows[-1] if rows else None


def blob_lines(
    connection: Connection, number: int, after: str, since: datetime | None
) -> tuple[list[BlobLine], str | None]:
    """(the next blobs that the column BLOBS[number] names, the last digest); None for it at the end.

    Each blob comes once, with one of its runs. What is no digest is left out: the audit of rows finds it.
    """
    column, run = BLOBS[number], tables.run
    size = column.table.c.size if "size" in column.table.c else null()
    query = (
        select(column.label("digest"), func.min(run.c.public_id).label("run"), func.max(size).label("size"))
        .join(run, run.c.id == column.table.c.run_id)
        .where(column > after)
        .group_by(column)
        .order_by(column)
        .limit(PAGE)
    )
    if since is not None:
        query = query.where(runs_since(since))
    rows = connection.execute(query).all()
    lines = [
        BlobLine(digest, column.table.name, row.run, row.size)
        for row in rows
        if (digest := Digest.parse(row.digest)) is not None
    ]
    return lines, rows[-1].digest if rows else None


def runs_since(moment: datetime) -> ColumnElement[bool]:
    """A condition over `run`: it was submitted, or an event is about it, since then.

    By the row alone, who moves its moment back would hide the run. The events' moments are in the ledger,
    which an audit reads whole.
    """
    event = tables.event.c
    told = select(event.run).where(event.at >= moment, event.run.is_not(None))
    return (tables.run.c.created_at >= moment) | tables.run.c.public_id.in_(told)


class RunEvidence(NamedTuple):
    """One run: what the ledger says of it, and its rows as they are."""

    run: str
    events: list[LedgerEvent]
    rows: dict[str, Any] | None  # None: a column holds another kind of value
    trouble: str = ""  # why


def run_evidence(
    connection: Connection, after: int | None, since: datetime | None
) -> tuple[list[RunEvidence], int | None]:
    """(the next PAGE runs, the key of the last), both sides from one snapshot; an empty page at the end.

    `after` None begins with the least key, even a negative one, which we never give.
    """
    table = tables.run
    query = _beyond(select(table.c.id, table.c.public_id), table.c.id, after).limit(PAGE)
    if since is not None:
        query = query.where(runs_since(since))
    wanted = {key: str(name) for key, name in connection.execute(query)}
    if not wanted:
        return [], after
    keys = list(wanted)
    told = events_of_runs(connection, list(wanted.values()))
    try:
        found = dict(of_runs(connection, keys[0], keys[-1]))
        page = [RunEvidence(run, told[run], found[run]) for run in wanted.values()]
    except NO_VALUE as error:
        no_value(error)
        page = [_alone(connection, key, run, told[run]) for key, run in wanted.items()]
    return page, keys[-1]


def _beyond(query: Select[Any], key: ColumnElement[int], after: int | None) -> Select[Any]:
    return (query if after is None else query.where(key > after)).order_by(key)


def _alone(connection: Connection, key: int, run: str, events: list[LedgerEvent]) -> RunEvidence:
    try:
        return RunEvidence(run, events, dict(of_runs(connection, key, key))[run])
    except NO_VALUE as error:
        return RunEvidence(run, events, None, no_value(error))


def events_of_runs(connection: Connection, runs: Sequence[str]) -> dict[str, list[LedgerEvent]]:
    """Run -> its events, oldest first."""
    found: dict[str, list[LedgerEvent]] = {run: [] for run in runs}
    event = tables.event
    for line in event_lines(connection, select(event).where(event.c.run.in_(runs)).order_by(event.c.idx)):
        found[str(line.run)].append(line)
    return found


def events_of_no_run(connection: Connection, after: int | None) -> list[LedgerEvent]:
    """The next PAGE of them; with None from the least index on, be it below 0."""
    event = tables.event
    query = _beyond(select(event).where(event.c.run.is_(None)), event.c.idx, after).limit(PAGE)
    return event_lines(connection, query)


def events_after(connection: Connection, after: int | None) -> list[LedgerEvent]:
    """The next EVENTS of all; with None from the least index on, be it below 0."""
    event = tables.event
    return event_lines(connection, _beyond(select(event), event.c.idx, after).limit(EVENTS))


def events_at(connection: Connection, indexes: Sequence[int]) -> list[LedgerEvent]:
    event = tables.event
    query = select(event).where(event.c.idx.in_(indexes)).order_by(event.c.idx)
    return event_lines(connection, query)


def shared_rows(connection: Connection) -> Iterator[tuple[str, str, dict[str, Any] | None, str]]:
    """Rows that several runs share: (table, key, value with the list of its own, why there is no value)."""
    for name, column in SHARED.items():
        key = tables.METADATA.tables[name].c[column]
        last = None
        while True:
            query = select(key).order_by(key).limit(PAGE)
            page = connection.execute(query if last is None else query.where(key > last)).scalars().all()
            if not page:
                break
            try:
                yield from list(_shared_page(connection, name, page))
            except NO_VALUE as trouble:
                no_value(trouble)
                for one in page:
                    try:
                        found = list(_shared_page(connection, name, [one]))
                    except NO_VALUE as error:
                        found = [(name, str(one), None, no_value(error))]
                    yield from found
            last = page[-1]


def _shared_page(
    connection: Connection, name: str, keys: Sequence[Any]
) -> Iterator[tuple[str, str, dict[str, Any] | None, str]]:
    table, column = tables.METADATA.tables[name], SHARED[name]
    owned = next((item for item, (owner, _) in OWNED.items() if owner == name), None)
    lists = _owned(connection, tables.METADATA.tables[owned], keys) if owned else {}
    query = select(table).where(table.c[column].in_(keys)).order_by(table.c[column])
    for row in connection.execute(query).mappings():
        key = str(row[column])
        value: dict[str, Any] = {name: {key: row_value(table, row)}}
        if row[column] in lists:
            value[str(owned)] = {key: lists[row[column]]}
        yield name, key, value, ""


def _owned(connection: Connection, table: Table, keys: Sequence[Any]) -> dict[Any, Any]:
    """Key of the owner -> the value of its rows."""
    owner = table.c[OWNED[table.name][1]]
    rest = [column for column in table.primary_key if column.name != owner.name]
    rows = connection.execute(select(table).where(owner.in_(keys)).order_by(owner, *rest)).mappings()
    return {key: rows_value(table, group) for key, group in groupby(rows, lambda row: row[owner.name])}


class Pages(ABC):
    """Long lists of the record, read page by page."""

    @abstractmethod
    def _read(self, work: Callable[[Connection], T]) -> T: ...

    def blobs(self, since: datetime | None = None) -> Iterator[BlobLine]:
        """Blobs that the record names, each with one of its runs; one may come once per kind of row."""
        for number in range(len(BLOBS)):
            after: str | None = ""
            while after is not None:
                page, after = self._read(partial(blob_lines, number=number, after=after, since=since))
                yield from page

    def input_roots(self) -> Iterator[Digest]:
        """Digests of input data that the record names: of files, and of folders, not of what these hold."""
        for number in range(len(ROOTS)):
            after: str | None = ""
            while after is not None:
                page, after = self._read(partial(input_roots, number=number, after=after))
                yield from page

    def runs(self, since: datetime | None = None) -> Iterator[list[RunEvidence]]:
        after: int | None = None
        while True:
            page, after = self._read(partial(run_evidence, after=after, since=since))
            if not page:
                return
            yield page

    def ledger_events(self) -> Iterator[LedgerEvent]:
        """All events by their index, those below 0 first: there should be none."""
        return self._by_index(events_after)

    def _by_index(
        self, pages: Callable[[Connection, int | None], list[LedgerEvent]]
    ) -> Iterator[LedgerEvent]:
        after: int | None = None
        while page := self._read(lambda connection, last=after: pages(connection, last)):  # type: ignore[misc]
            yield from page
            after = page[-1].index


class Snapshot(Pages):
    """One state of the record; valid inside `Everything.snapshot`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _read(self, work: Callable[[Connection], T]) -> T:
        return work(self._connection)

    def head(self) -> LedgerHead:
        return head(self._connection)

    def signed_heads(self) -> list[Signed]:
        return signed_heads(self._connection)

    def shared_events(self) -> Iterator[LedgerEvent]:
        """Events of no run, oldest first: of jobs, images, inputs, boxes."""
        return self._by_index(events_of_no_run)

    def events(self, indexes: Sequence[int]) -> list[LedgerEvent]:
        return events_at(self._connection, indexes)

    def shared(self) -> Iterator[tuple[str, str, dict[str, Any] | None, str]]:
        return shared_rows(self._connection)
