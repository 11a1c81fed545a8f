"""What an audit reads: all images and runs, in pages, so that a million of them need little memory.

Functions take a connection inside a reading transaction; `Everything` opens one per page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, exists, func, select

from orchestrator.digest import Digest
from orchestrator.record.database.database_clock import seconds_since
from orchestrator.record.ledger import lost_names
from orchestrator.record.ledger.lost_names import LostNames
from orchestrator.record.ledger.row_evidence import orphans
from orchestrator.record.ledger.snapshot import BLOBS as BLOBS
from orchestrator.record.ledger.snapshot import (
    PAGE,
    Pages,
    Snapshot,
    T,
    named,
    named_as_inputs_only,
    runs_since,
)
from orchestrator.record.schema import tables
from orchestrator.record.transaction import Door, reading
from orchestrator.run.attempt_model import State


class ImageLine(NamedTuple):
    """An image as the record lists it."""

    digest: Digest
    programs: tuple[tuple[str, str], ...]  # (a run of the image, its program as the record has it)
    succeeded: str | None  # a run of it that succeeded


def runs_without_rows(connection: Connection) -> list[str]:
    """Runs that the ledger tells of, and that have no row."""
    event, run = tables.event, tables.run
    gone = ~exists().where(run.c.public_id == event.c.run)
    query = select(event.c.run).where(event.c.run.is_not(None), gone).distinct().order_by(event.c.run)
    return list(connection.execute(query).scalars())


def images(connection: Connection, after: int, since: datetime | None) -> tuple[list[ImageLine], int | None]:
    """(the next PAGE images in the order in which they came, the last key); None for it at the end.

    Runs of one image mostly share one program. What has no digest is left out: the audit of rows finds it.
    """
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
    lines = [
        ImageLine(digest, tuple(programs.get(row.id, ())), good.get(row.id))
        for row in rows
        if (digest := Digest.parse(row.digest)) is not None
    ]
    return lines, keys[-1] if keys else None


def count_images(connection: Connection, since: datetime | None = None) -> int:
    query = select(func.count()).select_from(tables.image)
    if since is not None:
        query = query.where(tables.image.c.created_at >= since)
    return int(connection.execute(query).scalar_one())


def count_runs(connection: Connection, since: datetime | None = None) -> int:
    query = select(func.count()).select_from(tables.run)
    if since is not None:
        query = query.where(runs_since(since))
    return int(connection.execute(query).scalar_one())


def judged(connection: Connection) -> list[str]:
    """Runs that have a verdict as the rerun."""
    run, verdict = tables.run, tables.verdict
    query = select(run.c.public_id).where(run.c.id.in_(select(verdict.c.run_id))).order_by(run.c.id)
    return list(connection.execute(query).scalars())


def source_of(connection: Connection, run: str) -> dict[str, str]:
    """Path -> SHA-256 hex of the source files that a run's container found."""
    files, table = tables.source_file, tables.run
    query = (
        select(files.c.path, files.c.sha256)
        .join(table, table.c.id == files.c.run_id)
        .where(table.c.public_id == run)
    )
    return {row.path: row.sha256 for row in connection.execute(query)}


def oldest_open(connection: Connection) -> timedelta | None:
    """How long ago the first attempt of a run that is being executed began; None where none is."""
    run, attempt = tables.run, tables.attempt
    at_work = run.c.state.in_((State.PREPARING, State.RUNNING, State.COLLECTING))
    query = select(func.min(attempt.c.claimed_at)).join(run, run.c.id == attempt.c.run_id).where(at_work)
    began = connection.execute(query).scalar_one()
    return None if began is None else timedelta(seconds=seconds_since(connection, began))


class Everything(Door, Pages):
    """The record, read page by page. Runs may be recorded meanwhile: each page is one snapshot."""

    count_images = reading(count_images)
    count_runs = reading(count_runs)
    source_of = reading(source_of)
    oldest_open = reading(oldest_open)
    named = reading(named)
    named_as_inputs_only = reading(named_as_inputs_only)
    runs_without_rows = reading(runs_without_rows)
    orphans = reading(orphans)
    judged = reading(judged)

    def lost_names(self) -> Iterator[LostNames]:
        """What the ledger names in the store beyond all rows (lost_names.py)."""
        after: int | None = None
        while True:
            page, after = self._read(partial(lost_names.of_a_page, after=after))
            yield from page
            if after is None:
                break
        yield from self._read(partial(lost_names.of_runs_without_rows, runs=self.runs_without_rows()))
        yield from self._read(lost_names.of_named_data)

    def _read(self, work: Callable[[Connection], T]) -> T:
        return self._database.read(work)

    def images(self, since: datetime | None = None) -> Iterator[ImageLine]:
        after: int | None = 0
        while after is not None:
            page, after = self._read(partial(images, after=after, since=since))
            yield from page

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The record as it is at this moment, however long it is looked at."""
        with self._database.reading() as connection:
            yield Snapshot(connection)
