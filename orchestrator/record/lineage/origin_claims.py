"""Where a run's inputs came from, as the run says it, checked against what this record knows of the bytes.

A run that was submitted here had its inputs looked up here, so what it says is true. A run of a bundle may
say anything, and so may its reruns, which take the origins of their original.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from sqlalchemy import Connection, or_, select

from orchestrator.errors import UsageError
from orchestrator.record.database.among import among
from orchestrator.record.lineage.output_as_input import output_as_input
from orchestrator.record.runs.field_tables import RESULTS
from orchestrator.record.runs.run_states import key_of
from orchestrator.record.schema import tables
from orchestrator.record.schema.table_alias import alias
from orchestrator.run.attempt_model import Output


def untrue_origins(connection: Connection, run: str) -> set[str]:
    """Names of a run's inputs whose stated origin (named data, outputs of a run) has other bytes here.

    UsageError for an unknown run. An origin that this record does not know is not untrue.
    """
    return {name for _, name in untrue_inputs(connection, [key_of(connection, run)])}


def proved_origins(connection: Connection, run: str) -> set[str]:
    """Names of a run's inputs whose stated origin is known here, with the same bytes.

    UsageError for an unknown run.
    """
    return {name for _, name, same in _checked(connection, [key_of(connection, run)]) if same}


def untrue_inputs(connection: Connection, keys: Iterable[int]) -> set[tuple[int, str]]:
    """As `untrue_origins`, of several runs: the key of the run, the name of the input."""
    found = _checked(connection, keys, doubtful_only=True)
    return {(key, name) for key, name, same in found if same is False}


def _checked(
    connection: Connection, keys: Iterable[int], *, doubtful_only: bool = False
) -> Iterator[tuple[int, str, bool | None]]:
    """Key of a run, name of its input, whether its bytes are those of its origin; None: not known here.

    `doubtful_only`: leave out runs that were submitted here.
    """
    origin, item, run = tables.input_origin.c, tables.run_input.c, tables.run.c
    version, maker = tables.data_version.c, alias(tables.run, "maker")
    joined = (
        tables.input_origin.join(
            tables.run_input, (item.run_id == origin.run_id) & (item.name == origin.name)
        )
        .join(tables.run, run.id == origin.run_id)
        .outerjoin(tables.data_version, (version.name == origin.data) & (version.version == origin.version))
        .outerjoin(maker, maker.c.public_id == origin.run)
    )
    asked = (
        select(
            origin.run_id,
            origin.name,
            item.digest,
            origin.path,
            origin.run,
            version.digest.label("named"),
            maker.c.id.label("maker"),
        )
        .select_from(joined)
        .where(among(connection, origin.run_id, sorted(set(keys))))
    )
    if doubtful_only:
        asked = asked.where(or_(run.imported_from.is_not(None), run.rerun_of.is_not(None)))

    @cache
    def outputs(maker: int) -> tuple[Output, ...]:
        table = tables.output
        rows = connection.execute(select(table).where(table.c.run_id == maker).order_by(table.c.position))
        return tuple(RESULTS["outputs"].field(rows))

    for row in list(connection.execute(asked)):
        same = None if row.named is None else row.named == row.digest
        if row.maker is not None and same is not False:
            same = _has_digest(row.run, outputs(row.maker), row.path or "", row.digest)
        yield row.run_id, row.name, same


def _has_digest(run: str, outputs: tuple[Output, ...], path: str, digest: str) -> bool:
    """Whether the outputs at this path, a file or a folder, have this digest."""
    try:
        data, _ = output_as_input(run, outputs, path)
    except UsageError:  # there is nothing that could be an input
        return False
    return data.digest == digest
