"""What a box says of a run that it executed, as one text: its seal is a keyed code over that text.

The key never leaves the box (run/box_seal.py), so neither a bundle nor whoever writes the database can make a
seal. The text is made of the run's rows, by the functions that make the ledger's events; made again later
it is the same, unless one of the rows was altered. What was asked for is compared with what the box read
when it began: rows that were altered while the job ran are not sealed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, select

from orchestrator.digest import canonical_json
from orchestrator.record.ledger import row_evidence
from orchestrator.record.schema import tables

Seal = Callable[[bytes], str | None]  # None: the box does not seal it

# Columns of a run's row that are written after its submission.
_LATER = {"cancel_requested_at", "attempt", "recorded_at", *tables.ENDED}
_WISH = "cancel_requested_at"  # may change after the end, too
_IMAGE = ("config_digest", "base_name", "base_digest", "base_config_digest")


def statement(connection: Connection, key: int, known: Mapping[str, Any] | None = None) -> bytes | None:
    """What the box says of a finished run; None without an attempt. `known`: lists that were just written."""
    row = connection.execute(row_evidence.runs().where(tables.run.c.id == key)).mappings().one()
    attempt = tables.attempt
    held = (attempt.c.run_id == key) & (attempt.c.number == row["attempt"])
    box = connection.execute(select(attempt.c.box).where(held)).scalar()
    if box is None:
        return None
    run = {name: value for name, value in row_evidence.run_value(row).items() if name in _LATER - {_WISH}}
    lists = {
        name: value
        for name, value in row_evidence.lists_of(connection, key, known).items()
        if name in row_evidence.RESULTS
    }
    told = {"format": 2, "id": row["public_id"], "box": box, "run": run, "lists": lists}
    return canonical_json({**told, "asked": asked(connection, key)})


def asked(connection: Connection, key: int) -> dict[str, Any]:
    """What the rows of a run and of its image have said since its submission."""
    row = connection.execute(row_evidence.runs().where(tables.run.c.id == key)).mappings().one()
    image = tables.image
    facts = connection.execute(select(image).where(image.c.id == row["image_id"])).mappings().one()
    return {
        "run": {name: value for name, value in row_evidence.run_value(row).items() if name not in _LATER},
        "lists": row_evidence.lists_of(connection, key, {}),
        "image": {name: facts[name] for name in _IMAGE},
    }


def asked_as_text(connection: Connection, run: str) -> bytes:
    key = connection.execute(select(tables.run.c.id).where(tables.run.c.public_id == run)).scalar_one()
    return canonical_json(asked(connection, key))


def asks(statement: bytes, before: bytes) -> bool:
    """Whether the statement asks for what `asked_as_text` gave before."""
    return canonical_json(json.loads(statement)["asked"]) == before


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
