"""Which runs know this file: by content, under any name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, null, select

from orchestrator.digest import Digest
from orchestrator.record.database.among import among
from orchestrator.record.lineage.lineage_model import Made, Mention
from orchestrator.record.runs.annotations import marks_of
from orchestrator.record.runs.unreadable_rows import readable
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import scalar_of
from orchestrator.record.schema.table_alias import alias

MOST = 1000  # runs that are named for one file
_CHUNK = 10_000  # digests in one query
_original = alias(tables.run, "original")


def origin(connection: Connection, digests: Sequence[Digest]) -> list[Made]:
    """Outputs with one of these digests, oldest run first; of one digest the first thousand at most."""
    rows = _outputs(connection, sorted(set(digests)))
    keys = sorted({row.key for row in rows})
    params, verdicts = _params(connection, keys), _verdicts(connection, keys)
    said = marks_of(connection, keys)

    def made(row: Row[Any]) -> Made:
        fields = {name: row._mapping[name] for name in Made.model_fields.keys() & row._mapping.keys()}
        marks = said[row.key]
        return Made(
            **fields | {"dirty": bool(row.dirty)},
            params={one.name: scalar_of(one.type, one.text) for one in params.get(row.key, ())},
            verdicts=tuple(verdicts.get(row.key, ())),
            names=marks.names,
            archived=marks.archived is not None,
        )

    ordered = sorted(rows, key=lambda row: (row.key, row.path))
    return list(readable(ordered, made, lambda row: row.run))


def _outputs(connection: Connection, digests: Sequence[Digest]) -> list[Row[Any]]:
    """Many digests in one query, and half as many where they have too many rows together: one digest that
    everybody has, alone at last, is cut off by the index's order and hides no other.
    """
    output = tables.output.c
    rows: list[Row[Any]] = []
    waiting = [digests[start : start + _CHUNK] for start in range(0, len(digests), _CHUNK)]
    while waiting:
        some = waiting.pop()
        if len(some) == 1:
            rows += connection.execute(
                _made().where(output.digest == some[0]).order_by(output.run_id).limit(MOST)
            )
            continue
        found = connection.execute(
            _made().where(among(connection, output.digest, some)).limit(MOST + 1)
        ).all()
        if len(found) > MOST:
            waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
        else:
            rows += found
    return rows


def _made() -> Select[Any]:
    run, output, job, image = tables.run, tables.output, tables.job, tables.image
    git = tables.git_state
    return (
        select(
            output.c.path,
            output.c.digest,
            run.c.id.label("key"),
            run.c.public_id.label("run"),
            job.c.name.label("job"),
            run.c.state,
            run.c.submitted_by,
            run.c.created_at,
            run.c.imported_from.label("imported"),
            image.c.digest.label("image"),
            git.c.commit,
            git.c.dirty,
            _original.c.public_id.label("rerun_of"),
        )
        .join(run, run.c.id == output.c.run_id)
        .join(job, job.c.id == run.c.job_id)
        .join(image, image.c.id == run.c.image_id)
        .outerjoin(git, git.c.run_id == run.c.id)
        .outerjoin(_original, _original.c.id == run.c.rerun_of)
    )


def mentions(connection: Connection, digests: Sequence[Digest]) -> list[Mention]:
    """Where runs know these bytes otherwise: as an input, or a file of one, as log, trace or patch.

    Oldest run first; of each kind the first thousand that the database finds.
    """
    wanted = sorted(set(digests))
    found = [
        item
        for role, query, column in _mentioned()
        for item in _mentions(connection, role, query.where(among(connection, column, wanted)))
    ]
    return sorted(found, key=lambda item: (item.created_at, item.run, item.role, item.what))


def _mentions(connection: Connection, role: str, query: Select[Any]) -> Iterator[Mention]:
    def mention(row: Row[Any]) -> Mention:
        fields = row._asdict()
        return Mention(role=role, what=fields.pop("what") or "", **fields)

    return readable(connection.execute(query.limit(MOST)), mention, lambda row: row.run)


def _mentioned() -> Iterator[tuple[str, Select[Any], Any]]:
    """Role, query, and the column that holds the digest."""
    item, file = tables.run_input, tables.input_file
    yield "input", _of_runs(item, item.c.digest, item.c.name), item.c.digest
    inside = _of_runs(item, file.c.digest, item.c.name + "/" + file.c.path)
    yield "input file", inside.join(file, file.c.folder == item.c.digest), file.c.digest
    for table in (tables.log, tables.trace):
        yield table.name, _of_runs(table, table.c.digest, null()), table.c.digest
    patch = tables.git_state.c.patch_digest
    yield "patch", _of_runs(tables.git_state, patch, null()), patch


def _of_runs(table: Table, digest: Any, what: Any) -> Select[Any]:
    run, job = tables.run, tables.job
    columns = (run.c.public_id.label("run"), run.c.submitted_by, run.c.created_at, job.c.name.label("job"))
    return (
        select(*columns, digest.label("digest"), what.label("what"))
        .select_from(table)
        .join(run, run.c.id == table.c.run_id)
        .join(job, job.c.id == run.c.job_id)
    )


def _params(connection: Connection, keys: Sequence[int]) -> dict[int, list[Row[Any]]]:
    table = tables.param
    found: dict[int, list[Row[Any]]] = {}
    query = select(table).where(among(connection, table.c.run_id, keys))
    for row in connection.execute(query.order_by(*table.primary_key.columns)):
        found.setdefault(row.run_id, []).append(row)
    return found


def _verdicts(connection: Connection, keys: Sequence[int]) -> dict[int, list[str]]:
    """Key of a run -> outcomes that name it as rerun or original."""
    table = tables.verdict
    found: dict[int, list[str]] = {}
    asked = set(keys)
    here = among(connection, table.c.run_id, keys) | among(connection, table.c.original_id, keys)
    query = select(table.c.run_id, table.c.original_id, table.c.outcome).where(here).order_by(table.c.id)
    for row in connection.execute(query):
        for key in {row.run_id, row.original_id} & asked:
            found.setdefault(key, []).append(row.outcome)
    return found
