"""One store of compiled statements for all engines of a process: SQLAlchemy keeps one for each engine.

A test opens a record of its own; compiling the same statements for each took a sixth of the CPU of the tests
of the record and of the pages.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.default import DefaultDialect

from orchestrator.record.database import postgres, sqlite

_COMPILED: dict[Any, Any] = {}


def _hash(dialect: DefaultDialect) -> int:
    return hash(type(dialect))


def _equal(dialect: DefaultDialect, other: object) -> bool:
    return type(dialect) is type(other)


def share_statements() -> None:
    """From here on. A statement's key holds its dialect: all of one kind of database are made equal."""
    for dialect in (PGDialect_psycopg, SQLiteDialect_pysqlite):
        dialect.__hash__, dialect.__eq__ = _hash, _equal  # type: ignore[method-assign,assignment]
    for database in (postgres, sqlite):
        database.create_engine = partial(create_engine, execution_options={"compiled_cache": _COMPILED})  # type: ignore[attr-defined]
