"""What a bundle's run says of where its inputs came from, held against this record: words prove nothing.

A run that was submitted here had its inputs looked up here, so its origins are not asked about. A rerun has
those of its original, which a bundle may have brought.
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
from orchestrator.run.attempt_model import Output


def untrue_origins(connection: Connection, run: str) -> set[str]:
    """Names of a run's inputs that are said to be a data set or outputs which have other bytes here.

    UsageError for an unknown run. What this record does not know at all is not untrue.
    """
    return {name for _, name in untrue(connection, [key_of(connection, run)])}


def proved_origins(connection: Connection, run: str) -> set[str]:
    """Names of a run's inputs whose data set or outputs are known here, with the same bytes.

    UsageError for an unknown run.
    """
    return {name for _, name, same in _held(connection, [key_of(connection, run)], told=False) if same}


def untrue(connection: Connection, keys: Iterable[int]) -> set[tuple[int, str]]:
    """Key of a run, name of its input: as `untrue_origins`."""
    return {(key, name) for key, name, same in _held(connection, keys, told=True) if same is False}


def _held(
    connection: Connection, keys: Iterable[int], *, told: bool
) -> Iterator[tuple[int, str, bool | None]]:
    """Key of a run, name of its input, whether its bytes are those of its origin; None: not known here.

    `told`: only of runs whose origins may be a bundle's words.
    """
    origin, item, run = tables.input_origin.c, tables.run_input.c, tables.run.c
    version, maker = tables.data_version.c, tables.run.alias("maker")
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
    if told:
        asked = asked.where(or_(run.imported_from.is_not(None), run.rerun_of.is_not(None)))

    @cache
    def outputs(maker: int) -> tuple[Output, ...]:
        table = tables.output
        rows = connection.execute(select(table).where(table.c.run_id == maker).order_by(table.c.position))
        return tuple(RESULTS["outputs"].field(rows))

    for row in list(connection.execute(asked)):
        same = None if row.named is None else row.named == row.digest
        if row.maker is not None and same is not False:
            same = _left(row.run, outputs(row.maker), row.path or "", row.digest)
        yield row.run_id, row.name, same


def _left(run: str, outputs: tuple[Output, ...], path: str, digest: str) -> bool:
    """Whether the outputs at this path, a file or a folder, have this digest."""
    try:
        data, _ = output_as_input(run, outputs, path)
    except UsageError:  # there is nothing that could be an input
        return False
    return data.digest == digest
