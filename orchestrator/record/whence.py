"""Which run made this file: by content, whatever the file is called by now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from orchestrator.digest import Digest
from orchestrator.record import tables
from orchestrator.record.columns import scalar_of
from orchestrator.record.model import Made

_CHUNK = 10_000  # digests in one query; SQLite takes 32,766 parameters
_original = tables.run.alias("original")


def whence(connection: Connection, digests: Sequence[Digest]) -> list[Made]:
    """Every output with one of these digests, oldest run first. By the index on the outputs' digests."""
    run, output, job, image = tables.run, tables.output, tables.job, tables.image
    git = tables.git_state
    wanted = sorted(set(digests))
    rows: list[Row[Any]] = []
    for start in range(0, len(wanted), _CHUNK):
        query = (
            select(
                output.c.path,
                output.c.digest,
                run.c.id.label("key"),
                run.c.public_id,
                job.c.name,
                run.c.state,
                run.c.submitted_by,
                run.c.created_at,
                image.c.digest.label("image"),
                git.c.commit,
                git.c.dirty,
                _original.c.public_id.label("original"),
            )
            .join(run, run.c.id == output.c.run_id)
            .join(job, job.c.id == run.c.job_id)
            .join(image, image.c.id == run.c.image_id)
            .outerjoin(git, git.c.run_id == run.c.id)
            .outerjoin(_original, _original.c.id == run.c.rerun_of)
            .where(output.c.digest.in_(wanted[start : start + _CHUNK]))
        )
        rows.extend(connection.execute(query))
    keys = sorted({row.key for row in rows})
    params, verdicts = _params(connection, keys), _verdicts(connection, keys)
    return [
        Made(
            run=row.public_id,
            job=row.name,
            path=row.path,
            digest=row.digest,
            state=row.state,
            submitted_by=row.submitted_by,
            created_at=row.created_at,
            image=row.image,
            commit=row.commit,
            dirty=bool(row.dirty),
            params=params.get(row.key, {}),
            rerun_of=row.original,
            verdicts=tuple(verdicts.get(row.key, ())),
        )
        for row in sorted(rows, key=lambda row: (row.key, row.path))
    ]


def _params(connection: Connection, keys: Sequence[int]) -> dict[int, dict[str, bool | int | float | str]]:
    table = tables.param
    found: dict[int, dict[str, bool | int | float | str]] = {}
    for start in range(0, len(keys), _CHUNK):
        chosen = table.c.run_id.in_(keys[start : start + _CHUNK])
        for row in connection.execute(select(table).where(chosen).order_by(*table.primary_key.columns)):
            found.setdefault(row.run_id, {})[row.name] = scalar_of(row.type, row.text)
    return found


def _verdicts(connection: Connection, keys: Sequence[int]) -> dict[int, list[str]]:
    """Outcomes in which a run is the rerun or the original."""
    table = tables.verdict
    found: dict[int, list[str]] = {}
    for start in range(0, len(keys), _CHUNK):
        some = keys[start : start + _CHUNK]
        query = (
            select(table.c.run_id, table.c.original_id, table.c.outcome)
            .where(table.c.run_id.in_(some) | table.c.original_id.in_(some))
            .order_by(table.c.id)
        )
        for row in connection.execute(query):
            for key in {row.run_id, row.original_id} & set(some):
                found.setdefault(key, []).append(row.outcome)
    return found
