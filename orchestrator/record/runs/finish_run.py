"""finish: a Result becomes rows, all of them or none, once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, delete, update

from orchestrator.errors import RecordError
from orchestrator.record.database.database_clock import now
from orchestrator.record.ledger import append_events, row_evidence
from orchestrator.record.runs.field_tables import RESULTS, rows_of
from orchestrator.record.runs.metric_extremes import columns_of as columns_of_reached
from orchestrator.record.runs.metric_extremes import reached
from orchestrator.record.runs.run_states import hold, insert_rows
from orchestrator.record.runs.sealed_text import Seal, statement
from orchestrator.record.schema import tables
from orchestrator.record.schema.stored_values import columns_of
from orchestrator.redaction import redact
from orchestrator.run.attempt_model import Result
from orchestrator.run.metrics.series import points_of


def finish(
    connection: Connection,
    run: str,
    attempt: int,
    result: Result,
    *,
    queued: bool = False,
    quiet: bool = False,
    seal: Seal | None = None,
) -> None:
    """Commit the result of an attempt that is over. FencedError for an older attempt, or a second time.

    `queued`: the run is queued; then `attempt` is the last one that was given up, or 0. `quiet`: the caller
    writes the event. `seal`: that of the box that executed the attempt (sealed_text.py).
    """
    if not result.state.final:
        raise RecordError(f"run {run} cannot be finished as {result.state.value}")
    key = hold(connection, run, attempt, queued=queued)
    result = result.model_copy(update={"message": redact(result.message)})
    table = tables.run
    values = {**columns_of(table, result, tables.ENDED), "recorded_at": now(connection)}
    ended = update(table).where(table.c.id == key).values(**values).returning(table.c.job_id)
    job = connection.execute(ended).scalar_one()
    drop_log(connection, key)  # from here on readers on other boxes find the log in the store
    lists = list(rows_of(key, result, RESULTS))
    for target, rows in lists:
        full = _with_extremes(rows, job, result) if target is tables.metric else rows
        insert_rows(connection, target, full)
    if not quiet:
        told = row_evidence.lists_value(lists)
        data = {"run": row_evidence.row_value(table, values), **told}
        text = None if seal is None else statement(connection, key, told)
        code = None if seal is None or text is None else seal(text)
        if code is not None:
            data["attempt"] = {str(attempt): _sealed(connection, key, attempt, code)}
        append_events.append(connection, "run.finished", run, data)


def drop_log(connection: Connection, key: int) -> None:
    """What was only there for readers on other boxes while the attempt ran."""
    for table in (tables.log_chunk, tables.live_state):
        connection.execute(delete(table).where(table.c.run_id == key))


def _with_extremes(rows: Iterable[dict[str, Any]], job: int, result: Result) -> list[dict[str, Any]]:
    """Rows of `metric` with the columns that follow from the run and its points: no event holds these."""
    found = reached(result.metrics, points_of(result.series))
    return [{**row, "job_id": job, **columns_of_reached(found[row["name"]])} for row in rows]


def _sealed(connection: Connection, key: int, number: int, code: str) -> dict[str, str]:
    table = tables.attempt
    mine = (table.c.run_id == key) & (table.c.number == number)
    connection.execute(update(table).where(mine).values(seal=code))
    return {"seal": code}
