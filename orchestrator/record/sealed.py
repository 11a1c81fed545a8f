"""What a box says of a run that it executed, as one text: its seal is a keyed code over that text.

The key never leaves the box (run/seal.py), so neither a bundle nor whoever writes the database can make a
seal. The text is made of the run's rows, by the functions that make the ledger's events; made again later
it is the same, unless one of the rows was altered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, select

from orchestrator.digest import canonical_json
from orchestrator.record import evidence, tables

Seal = Callable[[bytes], str]

_LATER = ("cancel_requested_at",)  # of a run's row: may change after its end


def statement(connection: Connection, key: int, known: Mapping[str, Any] | None = None) -> bytes | None:
    """Of a finished run; None where no attempt has it. `known`: rows' values as they were just written."""
    row = connection.execute(evidence.runs().where(tables.run.c.id == key)).mappings().one()
    attempt = tables.attempt
    held = (attempt.c.run_id == key) & (attempt.c.number == row["attempt"])
    box = connection.execute(select(attempt.c.box).where(held)).scalar()
    if box is None:
        return None
    run = {name: value for name, value in evidence.run_value(row).items() if name not in _LATER}
    lists = evidence.lists_of(connection, key, known)
    return canonical_json({"format": 1, "id": row["public_id"], "box": box, "run": run, "lists": lists})


def sealed(connection: Connection, run: str) -> tuple[bytes, str] | None:
    """What the rows of a run say now, and the seal that its attempt has; None where it has none."""
    table, attempt = tables.run, tables.attempt
    query = (
        select(table.c.id, attempt.c.seal)
        .join(attempt, (attempt.c.run_id == table.c.id) & (attempt.c.number == table.c.attempt))
        .where(table.c.public_id == run)
    )
    row = connection.execute(query).one_or_none()
    if row is None or row.seal is None:
        return None
    text = statement(connection, row.id)
    return None if text is None else (text, row.seal)
