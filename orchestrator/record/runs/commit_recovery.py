"""Whether a write was committed although its connection was lost; asked before it is tried again.

Each function answers with what the write would have returned, or None where it was not committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from orchestrator.record.run_record import Queued
from orchestrator.record.runs.attempts import live_log, queued_of, wanted_columns
from orchestrator.record.schema import tables
from orchestrator.record.schema.table_alias import alias
from orchestrator.run.attempt_model import FINAL_STATES, State


def claimed(connection: Connection, run: str, box: str, boot: str, executor: str) -> int | None:
    """The attempt that this executor was given."""
    table, attempt = tables.run, tables.attempt
    query = (
        select(table.c.attempt)
        .join(attempt, (attempt.c.run_id == table.c.id) & (attempt.c.number == table.c.attempt))
        .where(
            table.c.public_id == run,
            table.c.state == State.PREPARING,
            attempt.c.box == box,
            attempt.c.boot == boot,
            attempt.c.executor == executor,
        )
    )
    return connection.execute(query).scalar()


def taken(connection: Connection, kind: str, box: str, executor: str) -> tuple[Queued, int] | None:
    """The run and attempt that this call of `take` was given: each call has another `executor`."""
    table, attempt = tables.run, tables.attempt
    query = (
        select(table.c.public_id, table.c.attempt, table.c.resources, table.c.program, *wanted_columns())
        .join(attempt, (attempt.c.run_id == table.c.id) & (attempt.c.number == table.c.attempt))
        .join(tables.wanted, tables.wanted.c.run_id == table.c.id)
        .where(tables.wanted.c.executor == kind, attempt.c.box == box, attempt.c.executor == executor)
    )
    row = connection.execute(query).first()
    return None if row is None else (queued_of(row), row.attempt)


def requeued(connection: Connection, run: str, number: int, reason: str) -> State | None:
    table, launch = tables.run, tables.launch
    query = (
        select(table.c.state)
        .join(launch, launch.c.run_id == table.c.id)
        .where(table.c.public_id == run, launch.c.number == number, launch.c.ended == reason)
    )
    return connection.execute(query).scalar()


def introduced(connection: Connection, box: str, moments: Sequence[datetime]) -> datetime | None:
    """Which of these moments was written as the box's start."""
    table = tables.box
    query = select(table.c.started_at).where(table.c.id == box, table.c.started_at.in_(moments))
    return connection.execute(query).scalar()


def event_added(connection: Connection, kind: str, once: str) -> int | None:
    """The index of the event with this mark."""
    newest = connection.execute(
        select(tables.event.c.idx, tables.event.c.document)
        .where(tables.event.c.kind == kind)
        .order_by(tables.event.c.idx.desc())
        .limit(100)
    )
    return next((row.idx for row in newest if once.encode() in row.document), None)


def appended(connection: Connection, run: str, number: int, start: int) -> bool | None:
    found = live_log(connection, run, number, start)
    return True if found and found[0][0] == start else None


def moved(connection: Connection, run: str, number: int, state: State) -> bool | None:
    return _is_in(connection, run, number, (state,))


def finished(connection: Connection, run: str, attempt: int) -> bool | None:
    """A final state under an attempt's number: only the process that holds the attempt can write it."""
    return _is_in(connection, run, attempt, FINAL_STATES)


def _is_in(connection: Connection, run: str, number: int, states: tuple[State, ...]) -> bool | None:
    table = tables.run
    query = select(table.c.id).where(
        table.c.public_id == run, table.c.attempt == number, table.c.state.in_(states)
    )
    return True if connection.execute(query).first() else None


def judged(connection: Connection, run: str, original: str, text: str) -> bool | None:
    table, rerun, first = tables.verdict, tables.run, alias(tables.run, "original")
    query = (
        select(table.c.id)
        .join(rerun, rerun.c.id == table.c.run_id)
        .join(first, first.c.id == table.c.original_id)
        .where(rerun.c.public_id == run, first.c.public_id == original, table.c.document == text)
    )
    return True if connection.execute(query).first() else None
