"""Lines of a history, one per run; a few queries read a page of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, func, select

from orchestrator.record.database.among import among
from orchestrator.record.history.order import executed
from orchestrator.record.run_record import RunLine, step_of_pass
from orchestrator.record.runs.annotations import marks_of
from orchestrator.record.runs.metric_extremes import COLUMNS, reached_fields
from orchestrator.record.runs.unreadable_rows import readable
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import scalar_of
from orchestrator.record.schema.table_alias import alias

_original = alias(tables.run, "original")
_SCALAR = ("name", "type", "text")


def lines_of(connection: Connection, keys: Sequence[int]) -> list[RunLine]:
    """The lines of these runs, in the order of the keys."""
    run, job, image, attempt = tables.run, tables.job, tables.image, tables.attempt
    query = (
        select(
            run.c.id.label("run_key"),
            run.c.public_id.label("id"),
            job.c.name.label("job"),
            image.c.digest.label("image"),
            run.c.state,
            run.c.failure,
            run.c.message,
            run.c.last_line,
            run.c.seed,
            _original.c.public_id.label("rerun_of"),
            run.c.submitted_by,
            run.c.created_at,
            run.c.seconds,
            run.c.description,
            func.coalesce(run.c.metrics_incomplete, "").label("metrics_incomplete"),
            run.c.imported_from.label("imported"),
            attempt.c.box,
            tables.box.c.name.label("box_name"),
        )
        .outerjoin(job, job.c.id == run.c.job_id)  # where it is gone, the run is left out, with a warning
        .outerjoin(image, image.c.id == run.c.image_id)
        .outerjoin(_original, _original.c.id == run.c.rerun_of)
        .outerjoin(attempt, executed())
        .outerjoin(tables.box, tables.box.c.id == attempt.c.box)
    )
    found = connection.execute(query.where(among(connection, run.c.id, keys)))
    rows: dict[int, Any] = {row.run_key: row for row in found}
    return _read(connection, [rows[key] for key in keys])


def _read(connection: Connection, page: Sequence[Row[Any]]) -> list[RunLine]:
    """The page's lines; of each other table one query reads what is shown: a verdict may be megabytes."""
    rows = [row._asdict() for row in page]
    keys = [row.pop("run_key") for row in rows]
    params: dict[int, list[Row[Any]]] = {key: [] for key in keys}
    logged: dict[int, list[Row[Any]]] = {key: [] for key in keys}
    metrics: dict[int, list[Row[Any]]] = {key: [] for key in keys}
    judged: dict[int, str] = {}
    for item in _for_runs(connection, tables.param, keys, *_SCALAR):
        params[item.run_id].append(item)
    for item in _for_runs(connection, tables.logged_param, keys, *_SCALAR):
        logged[item.run_id].append(item)
    for item in _for_runs(connection, tables.metric, keys, "name", "text", *COLUMNS):
        metrics[item.run_id].append(item)
    for item in _for_runs(connection, tables.verdict, keys, "outcome"):
        judged[item.run_id] = item.outcome
    said = marks_of(connection, keys)

    def line(held: tuple[int, dict[str, Any]]) -> RunLine:
        key, row = held
        described = row.pop("description")
        row["reached"] = {item.name: reached_fields(item) for item in metrics[key]}  # checked with the line
        return RunLine(
            **row,
            operations_of_step=step_of_pass(described, row["rerun_of"]),
            params={item.name: scalar_of(item.type, item.text) for item in params[key]},
            logged={item.name: scalar_of(item.type, item.text) for item in logged[key]},
            metrics={item.name: float(item.text) for item in metrics[key]},
            verdict=judged.get(key),
            tags=said[key].tags,
            names=said[key].names,
            archived=said[key].archived is not None,
        )

    return list(readable(zip(keys, rows, strict=True), line, lambda held: held[1]["id"]))


def _for_runs(connection: Connection, table: Table, keys: Sequence[int], *names: str) -> Iterable[Row[Any]]:
    chosen = select(table.c.run_id, *(table.c[name] for name in names))
    chosen = chosen.where(among(connection, table.c.run_id, keys))
    return connection.execute(chosen.order_by(*table.primary_key.columns))
