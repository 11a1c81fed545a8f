"""Connections that only read, each question for a limited time: for a server that strangers may ask."""

from __future__ import annotations

import sqlite3
import time

from sqlalchemy import Connection, event
from sqlalchemy.pool import ConnectionPoolEntry

from orchestrator.record.database.database import Database

LOOKED = 20_000  # instructions of SQLite between two looks at the clock: under a millisecond


def limit_reads(database: Database, seconds: float) -> None:
    """Refuse writes from now on; a transaction that takes longer fails as a RecordError."""
    milliseconds = round(seconds * 1000)

    def connected(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.execute("PRAGMA query_only = ON")

    def begun(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            # Both until this transaction ends, in one round trip; also of one that asked to write.
            limits = f"set_config('statement_timeout', '{milliseconds}', true)"
            connection.exec_driver_sql(f"SELECT {limits}, set_config('transaction_read_only', 'on', true)")
            return
        end = time.monotonic() + seconds
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)  # noqa: S101  (for mypy)
        raw.set_progress_handler(lambda: time.monotonic() > end, LOOKED)

    if database.engine.dialect.name == "sqlite":
        event.listen(database.engine, "connect", connected)
    event.listen(database.engine, "begin", begun)
