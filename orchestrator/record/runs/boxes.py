"""Boxes that take queued runs: what each said of itself when it was last seen."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from orchestrator.record.database.database_clock import now, seconds_since
from orchestrator.record.ledger import append_events, row_evidence
from orchestrator.record.run_record import BoxFacts, BoxLine
from orchestrator.record.runs.unreadable_rows import readable
from orchestrator.record.schema import tables
from orchestrator.record.schema.stored_values import columns_of, fields_from
from orchestrator.run.attempt_model import OPEN_STATES, State


def introduce(connection: Connection, facts: BoxFacts) -> datetime:
    """Write down a box whose worker starts, or that has changed: the moment."""
    table, moment = tables.box, now(connection)
    values = {**columns_of(table, facts), "started_at": moment, "seen_at": moment}
    if not connection.execute(update(table).where(table.c.id == facts.id).values(**values)).rowcount:
        connection.execute(insert(table), [values])
    held = {facts.id: row_evidence.row_value(table, values, change=True)}
    append_events.append(connection, "box.introduced", None, {"box": held})
    return moment


def see(connection: Connection, box: str, state: str, trouble: str = "") -> None:
    """The heartbeat, and why the box takes no runs, if it takes none."""
    table = tables.box
    connection.execute(
        update(table).where(table.c.id == box).values(state=state, trouble=trouble, seen_at=now(connection))
    )


def boxes(connection: Connection) -> list[BoxLine]:
    """All boxes, sorted by name. Reads only."""
    table = tables.box
    running = _running(connection)
    rows = connection.execute(select(table).order_by(table.c.name, table.c.id))

    def line(row: Row[Any]) -> BoxLine:
        return BoxLine(
            **fields_from(BoxLine, tables.box, row._mapping),
            silence=seconds_since(connection, row.seen_at),
            runs=tuple(running.get(row.id, ())),
        )

    return list(readable(rows, line, lambda row: row.id, "box"))


def _running(connection: Connection) -> dict[str, list[str]]:
    """Box -> open runs that it executes, oldest first."""
    run, attempt = tables.run, tables.attempt
    query = (
        select(attempt.c.box, run.c.public_id)
        .join(run, (run.c.id == attempt.c.run_id) & (run.c.attempt == attempt.c.number))
        .where(run.c.state.in_([state for state in OPEN_STATES if state is not State.QUEUED]))
        .order_by(run.c.id)
    )
    found: dict[str, list[str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.box, []).append(row.public_id)
    return found
