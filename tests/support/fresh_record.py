"""New SQLite records as copies of one: to make the tables takes time, and a thousand tests want a record.

What a copy holds was made as every record is, once per process. Tests of that way itself ask for the
fixture `migrated_anew`; so does every process that a test starts, without asking.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import text

from orchestrator.record import record
from orchestrator.record.database.connect import open_database
from orchestrator.record.database.database import Database
from orchestrator.record.database.sqlite import Sqlite
from orchestrator.record.schema.migrate import bring_to_head
from support.shared_statements import share_statements


def plant(path: Path) -> None:
    """An empty record at this path, with a ledger name of its own."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        made.touch(0o600)
        data, name = _migrated()
        made.write_bytes(data.replace(name, secrets.token_hex(8).encode()))
        os.link(made, path)  # whoever was first
    finally:
        made.unlink(missing_ok=True)


@cache
def _migrated() -> tuple[bytes, bytes]:
    """The file, and the name of its ledger, which no other record may bear."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reprise.db"
        database = open_database(f"sqlite:///{path}")
        bring_to_head(database)
        name = database.read(
            lambda connection: connection.execute(text("SELECT id FROM ledger")).scalar_one()
        )
        database.close()
        return path.read_bytes(), name.encode()


def _begin(database: Database) -> None:
    if isinstance(database, Sqlite) and database.untouched():
        with suppress(OSError):  # what is wrong with the place, the real way tells
            plant(database.path)
    bring_to_head(database)


@pytest.fixture(scope="session", autouse=True)
def planted_records() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "bring_to_head", _begin)
        share_statements()
        yield


@pytest.fixture
def migrated_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "bring_to_head", bring_to_head)
