"""Was it done all the same? Asked after a connection was lost, before a write is done again.

A commit that was cut off may have gone through. Each question answers with what the write would have
returned, or None where it was not done.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from orchestrator.record import tables
from orchestrator.run.model import State


def claimed(connection: Connection, run: str, box: str, boot: str, executor: str) -> int | None:
    """The attempt that this very executor was given."""
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


def moved(connection: Connection, run: str, number: int, state: State) -> bool | None:
    return _stands(connection, run, number, (state,))


def finished(connection: Connection, run: str, number: int) -> bool | None:
    """Only the process that holds an attempt can finish it, so a final state under its number is its own."""
    return _stands(connection, run, number, tuple(state for state in State if state.final))


def _stands(connection: Connection, run: str, number: int, states: tuple[State, ...]) -> bool | None:
    table = tables.run
    query = select(table.c.id).where(
        table.c.public_id == run, table.c.attempt == number, table.c.state.in_(states)
    )
    return True if connection.execute(query).first() else None


def judged(connection: Connection, run: str, original: str, text: str) -> bool | None:
    table, rerun, first = tables.verdict, tables.run, tables.run.alias("original")
    query = (
        select(table.c.id)
        .join(rerun, rerun.c.id == table.c.run_id)
        .join(first, first.c.id == table.c.original_id)
        .where(rerun.c.public_id == run, first.c.public_id == original, table.c.document == text)
    )
    return True if connection.execute(query).first() else None
