"""What an audit reads: all images and runs, in pages, so that a million of them need little memory.

Functions take a connection inside a reading transaction; `Everything` opens one per page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, exists, func, select

from orchestrator.digest import Digest
from orchestrator.record import tables
from orchestrator.record.connect import Database
from orchestrator.record.evidence import SHARED, every_shared, of_runs, orphans
from orchestrator.record.ledger import EventLine, event_line, events_of_runs
from orchestrator.run.model import State

PAGE = 500  # rows
EVENTS = 5000  # events of the whole ledger that are read at a time


# Every column that names a blob of the store; a test classifies all columns.
BLOBS = (
    tables.output.c.digest,
    tables.log.c.digest,
    tables.trace.c.digest,
    tables.git_state.c.patch_digest,
)


class BlobLine(NamedTuple):
    """One row that names a blob of the store."""

    digest: Digest
    what: str  # the table: output, log, trace, git_state
    run: str


def named(connection: Connection, digests: Sequence[Digest]) -> set[Digest]:
    """Those that some row names."""
    found: set[Digest] = set()
    for column in BLOBS:
        found.update(map(Digest, connection.execute(select(column).where(column.in_(digests))).scalars()))
    return found


def blob_lines(connection: Connection, number: int, after: str, since: datetime | None) -> list[BlobLine]:
    """The next blobs that the column BLOBS[number] names, by digest; each once, with one of its runs."""
    column, run = BLOBS[number], tables.run
    query = (
        select(column.label("digest"), func.min(run.c.public_id).label("run"))
        .join(run, run.c.id == column.table.c.run_id)
        .where(column > after)
        .group_by(column)
        .order_by(column)
        .limit(PAGE)
    )
    if since is not None:
        query = query.where(run.c.created_at >= since)
    what = column.table.name
    return [BlobLine(Digest(row.digest), what, row.run) for row in connection.execute(query)]


class ImageLine(NamedTuple):
    """An image as the record lists it; `key` is for the next page."""

    key: int
    digest: Digest
    programs: tuple[tuple[str, str], ...]  # (a run of the image, its program as the record has it)
    succeeded: str | None  # a run of it that succeeded


class RunEvidence(NamedTuple):
    """One run: what the ledger says of it, and its rows as they are."""

    run: str
    events: list[EventLine]
    rows: dict[str, Any]


def run_evidence(connection: Connection, after: int, since: datetime | None) -> tuple[list[RunEvidence], int]:
    """(the next PAGE runs, the key of the last), both sides from one snapshot; an empty page at the end."""
    table = tables.run
    query = select(table.c.id).where(table.c.id > after).order_by(table.c.id).limit(PAGE)
    if since is not None:
        query = query.where(table.c.created_at >= since)
    keys = connection.execute(query).scalars().all()
    if not keys:
        return [], after
    wanted = set(connection.execute(select(table.c.public_id).where(table.c.id.in_(keys))).scalars())
    found = {run: rows for run, rows in of_runs(connection, keys[0], keys[-1]) if run in wanted}
    told = events_of_runs(connection, list(found))
    return [RunEvidence(run, told[run], rows) for run, rows in found.items()], keys[-1]


def events_of_no_run(connection: Connection, after: int) -> list[EventLine]:
    """The next PAGE of them."""
    event = tables.event
    query = select(event).where(event.c.run.is_(None), event.c.idx > after).order_by(event.c.idx).limit(PAGE)
    return [event_line(row) for row in connection.execute(query)]


def events_after(connection: Connection, after: int) -> list[EventLine]:
    """The next EVENTS of all."""
    event = tables.event
    query = select(event).where(event.c.idx > after).order_by(event.c.idx).limit(EVENTS)
    return [event_line(row) for row in connection.execute(query)]


def events_at(connection: Connection, indexes: Sequence[int]) -> list[EventLine]:
    event = tables.event
    query = select(event).where(event.c.idx.in_(indexes)).order_by(event.c.idx)
    return [event_line(row) for row in connection.execute(query)]


def runs_without_rows(connection: Connection) -> list[str]:
    """Runs of which the ledger tells, and of which there is no row."""
    event, run = tables.event, tables.run
    gone = ~exists().where(run.c.public_id == event.c.run)
    query = select(event.c.run).where(event.c.run.is_not(None), gone).distinct().order_by(event.c.run)
    return list(connection.execute(query).scalars())


def images(connection: Connection, after: int, since: datetime | None) -> list[ImageLine]:
    """The next PAGE images in the order in which they came. Runs of one image mostly share one program."""
    table, run = tables.image, tables.run
    query = select(table.c.id, table.c.digest).where(table.c.id > after).order_by(table.c.id).limit(PAGE)
    if since is not None:
        query = query.where(table.c.created_at >= since)
    rows = connection.execute(query).all()
    keys = [row.id for row in rows]
    programs: dict[int, list[tuple[str, str]]] = {}
    found = (
        select(run.c.image_id, func.min(run.c.public_id).label("run"), run.c.program)
        .where(run.c.image_id.in_(keys))
        .group_by(run.c.image_id, run.c.program)
    )
    for row in connection.execute(found):
        programs.setdefault(row.image_id, []).append((row.run, row.program))
    succeeded = (
        select(run.c.image_id, func.min(run.c.public_id).label("run"))
        .where(run.c.image_id.in_(keys), run.c.state == State.SUCCEEDED)
        .group_by(run.c.image_id)
    )
    good = {row.image_id: row.run for row in connection.execute(succeeded)}
    return [
        ImageLine(row.id, Digest(row.digest), tuple(programs.get(row.id, ())), good.get(row.id))
        for row in rows
    ]


def count_images(connection: Connection, since: datetime | None) -> int:
    query = select(func.count()).select_from(tables.image)
    if since is not None:
        query = query.where(tables.image.c.created_at >= since)
    return int(connection.execute(query).scalar_one())


def source_of(connection: Connection, run: str) -> dict[str, str]:
    """Path -> SHA-256 hex of the source files that a run's container found."""
    files, table = tables.source_file, tables.run
    query = (
        select(files.c.path, files.c.sha256)
        .join(table, table.c.id == files.c.run_id)
        .where(table.c.public_id == run)
    )
    return {row.path: row.sha256 for row in connection.execute(query)}


class Everything:
    """The record as an audit goes through it. Runs may be recorded meanwhile: a page is one snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def images(self, since: datetime | None = None) -> Iterator[ImageLine]:
        after = 0
        while True:
            page = self._database.read(partial(images, after=after, since=since))
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].key

    def count_images(self, since: datetime | None = None) -> int:
        return self._database.read(lambda connection: count_images(connection, since))

    def source_of(self, run: str) -> dict[str, str]:
        return self._database.read(lambda connection: source_of(connection, run))

    def named(self, digests: Sequence[Digest]) -> set[Digest]:
        """Those blobs that the record names."""
        return self._database.read(partial(named, digests=digests))

    def blobs(self, since: datetime | None = None) -> Iterator[BlobLine]:
        """Blobs that the record names, each with one of its runs; one may come once per kind of row."""
        for number in range(len(BLOBS)):
            after = ""
            while True:
                page = self._database.read(partial(blob_lines, number=number, after=after, since=since))
                yield from page
                if len(page) < PAGE:
                    break
                after = page[-1].digest

    def count_runs(self, since: datetime | None = None) -> int:
        query = select(func.count()).select_from(tables.run)
        if since is not None:
            query = query.where(tables.run.c.created_at >= since)
        return self._database.read(lambda connection: int(connection.execute(query).scalar_one()))

    def runs(self, since: datetime | None = None) -> Iterator[list[RunEvidence]]:
        after = 0
        while True:
            page, after = self._database.read(partial(run_evidence, after=after, since=since))
            if not page:
                return
            yield page

    def runs_without_rows(self) -> list[str]:
        return self._database.read(runs_without_rows)

    def orphans(self) -> list[tuple[str, str]]:
        """(table, key) of rows below a run or an image that is not there."""
        return self._database.read(lambda connection: list(orphans(connection)))

    def shared(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(table, key, value) of every row that several runs share; a value has the row's list with it."""
        with self._database.reading() as connection:
            for value in every_shared(connection):
                name = next(name for name in SHARED if name in value)
                ((key, _),) = value[name].items()
                yield name, key, value

    def told_of_shared(self) -> Iterator[EventLine]:
        """Events of no run, oldest first: of jobs, images, inputs, boxes."""
        last = -1
        while True:
            page = self._database.read(partial(events_of_no_run, after=last))
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1].index

    def events(self, indexes: Sequence[int]) -> list[EventLine]:
        return self._database.read(lambda connection: events_at(connection, indexes))

    def ledger_events(self, after: int) -> Iterator[EventLine]:
        """All events with a higher index, in order."""
        while page := self._database.read(partial(events_after, after=after)):
            yield from page
            after = page[-1].index
