"""finish: a Result becomes rows, all of them or none, once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, delete, update

from orchestrator.errors import RecordError
from orchestrator.record.database.database_clock import now
from orchestrator.record.ledger import append_events, row_evidence
from orchestrator.record.runs.metric_extremes import columns_of, reached
from orchestrator.record.runs.run_states import hold, insert_rows
from orchestrator.record.runs.sealed_text import Seal, statement
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import comparable, document, indexable
from orchestrator.redaction import redact
from orchestrator.run.attempt_model import Fingerprint, Readback, Result
from orchestrator.run.metrics.series import points_of

T = TypeVar("T")


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
    """Commit what is known of a dead attempt. FencedError for an older attempt, or a second time.

    `queued`: of a run that no attempt is at; then `attempt` is the last one that was given up, or 0.
    `quiet`: the caller writes the event. `seal`: of the box that executed the attempt (sealed_text.py).
    """
    if not result.state.final:
        raise RecordError(f"run {run} cannot be finished as {result.state.value}")
    key = hold(connection, run, attempt, queued=queued)
    result = result.model_copy(update={"message": redact(result.message)})
    table = tables.run
    values = {
        "state": result.state,
        "failure": result.failure,
        "message": result.message,
        "exit_code": result.exit_code,
        "oom_killed": result.oom_killed,
        "reports_missing": result.reports_missing,
        "metrics_incomplete": result.metrics_incomplete or None,
        "started_at": result.started_at,
        "finished_at": result.finished_at,
        "seconds": result.seconds,
        "recorded_at": now(connection),
    }
    ended = update(table).where(table.c.id == key).values(**values).returning(table.c.job_id)
    job = connection.execute(ended).scalar_one()
    # Readers on other boxes find the whole log in the store from here on.
    connection.execute(delete(tables.log_chunk).where(tables.log_chunk.c.run_id == key))
    points: tuple[Table, Iterable[dict[str, Any]]] = (tables.metric_point, _PointRows(key, result))
    lists = [*_lists(key, result), points]
    for target, rows in lists:
        insert_rows(connection, target, _followed(rows, job, result) if target is tables.metric else rows)
    if not quiet:
        told = row_evidence.lists_value(lists)
        data = {"run": row_evidence.row_value(table, values), **told}
        text = None if seal is None else statement(connection, key, told)
        code = None if seal is None or text is None else seal(text)
        if code is not None:
            data["attempt"] = {str(attempt): _sealed(connection, key, attempt, code)}
        append_events.append(connection, "run.finished", run, data)


def _followed(rows: Iterable[dict[str, Any]], job: int, result: Result) -> list[dict[str, Any]]:
    """Rows of `metric` with what follows from the run and from its points, which no event tells of."""
    found = reached(_named(result.metrics), points_of(result.series))
    return [{**row, "job_id": job, **columns_of(found[row["name"]])} for row in rows]


def _lists(key: int, result: Result) -> Iterator[tuple[Table, Iterable[dict[str, Any]]]]:
    for target, rows in _rows(result):
        yield target, [{"run_id": key, **row} for row in rows]


class _PointRows:
    """Rows of `metric_point` by position, each made when it is asked for: a million of them take 1 GB."""

    def __init__(self, key: int, result: Result) -> None:
        self._key = key
        self._series = result.series

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for position, (name, step, value) in enumerate(points_of(self._series)):
            yield {"run_id": self._key, "position": position, "name": name, "step": step, **_float(value)}


def _sealed(connection: Connection, key: int, number: int, code: str) -> dict[str, str]:
    table = tables.attempt
    mine = (table.c.run_id == key) & (table.c.number == number)
    connection.execute(update(table).where(mine).values(seal=code))
    return {"seal": code}


def _rows(result: Result) -> Iterable[tuple[Any, Iterable[dict[str, Any]]]]:
    """Table -> its rows, without the run's key."""
    yield tables.metric, ({"name": name, **_float(value)} for name, value in _named(result.metrics).items())
    yield (
        tables.output,
        ({"position": position, **output.model_dump()} for position, output in enumerate(result.outputs)),
    )
    packages = _named(result.packages).items()
    yield tables.package, ({"name": name, "version": indexable(text)} for name, text in packages)
    yield tables.source_file, ({"path": path, "sha256": text} for path, text in _named(result.source).items())
    yield tables.flag, (_flag(position, item) for position, item in enumerate(result.readbacks))
    yield (
        tables.trace,
        ({"position": position, **item.model_dump()} for position, item in enumerate(result.traces)),
    )
    yield (
        tables.note,
        ({"position": position, "text": text} for position, text in enumerate(result.notes)),
    )
    if result.log is not None:
        yield tables.log, [result.log.model_dump()]
    if result.fingerprint is not None:
        yield tables.fingerprint, [_fingerprint(result.fingerprint)]


def _named(table: dict[str, T]) -> dict[str, T]:
    """Names that are stored alike are one row: a forged report must not undo the whole result."""
    return {indexable(name): value for name, value in table.items()}


def _float(value: float) -> dict[str, Any]:
    return {"text": repr(value), "num": comparable(value)}


def _flag(position: int, item: Readback) -> dict[str, Any]:
    return {
        "position": position,
        "pid": item.pid,
        "argv": document(item.argv),
        "start": None if item.start is None else document(item.start),
        "end": None if item.end is None else document(item.end),
    }


def _fingerprint(found: Fingerprint) -> dict[str, Any]:
    return {
        "bit_digest": found.bit_digest,
        "bit_class": document(found.bit_class),
        "perf_class": document(found.perf_class),
        "identity": document(found.identity),
    }
