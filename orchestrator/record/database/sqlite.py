"""SQLite: a file in WAL mode, safe under many writing processes of one box."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from orchestrator.durable import locked
from orchestrator.errors import RecordError
from orchestrator.record.database import database
from orchestrator.record.database.database import POOL_TIMEOUT, Database, T, Work

_HINTS = {
    "readonly database": "make the file and its folder writable for you, or name another (REPRISE_HOME)",
    "unable to open database": "check that the folder exists and that you may write in it (REPRISE_HOME)",
    "database is locked": database.BUSY,
    "interrupted": database.TOO_LONG,
    "database or disk is full": "make room on the disk; what was recorded is intact",
    "disk I/O error": "check the disk, and that the folder is not on a network file system",
    "not a database": "the file is damaged or not ours; restore it from a copy, or move it away",
    "malformed": "the file is damaged; restore it from a copy, or move it away",
}


_NO_TEXT = "Could not decode to UTF-8"


class Sqlite(Database):
    hints = _HINTS

    def __init__(self, url: URL) -> None:
        self.path = Path(url.database or "").absolute()
        engine = create_engine(
            url,
            connect_args={
                "timeout": database.BUSY_TIMEOUT,
                "isolation_level": None,
                "check_same_thread": False,
            },
            pool_timeout=POOL_TIMEOUT,
        )
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        super().__init__(str(self.path), engine)

    def read(self, work: Work[T]) -> T:
        """Where a column of text holds what is no UTF-8, once more, with its odd bytes written out."""
        try:
            return super().read(work)
        except RecordError as error:
            if _NO_TEXT not in error.message:
                raise
        return super().read(partial(_on_odd_text, work))

    def write(self, work: Work[T], settled: Work[T | None] | None = None) -> T:
        """The same: nothing of the first try is there."""
        try:
            return super().write(work, settled)
        except RecordError as error:
            if _NO_TEXT not in error.message:
                raise
        return super().write(partial(_on_odd_text, work), settled)

    def refusal(self, error: DBAPIError) -> str | None:
        return str(error.orig) if isinstance(error.orig, sqlite3.DatabaseError) else None

    def untouched(self) -> bool:
        return not self.path.exists()

    def prepare(self) -> None:
        """The file, for its owner only, in its folder.

        A file that is there is not opened: closing it would drop this process's POSIX locks on it, and with
        them what SQLite knows of our connections. Then another process takes itself for the last one and
        removes the write-ahead log under us: 21 of 160 committed runs were lost so.
        """
        if self.path.exists():
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise RecordError(
                f"the record {self.path} cannot be opened: {error.strerror}",
                "make the folder writable for you, or name another place with REPRISE_HOME",
            ) from error

    @contextmanager
    def migrating(self) -> Iterator[None]:
        with locked(self.path.with_name(self.path.name + ".lock")):
            yield

    def before_upgrade(self) -> None:
        with self.engine.connect() as connection:
            # Once for the life of the file; it cannot be done inside a transaction.
            connection.connection.execute("PRAGMA journal_mode = WAL")

    def no_such_table(self, error: DBAPIError) -> bool:
        return "no such table" in str(error.orig)


def _on_odd_text(work: Work[T], connection: Connection) -> T:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)  # noqa: S101  (for mypy)
    # Only here, because SQLite's own reading of text is twice as fast.
    raw.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
    try:
        return work(connection)
    finally:
        raw.text_factory = str


def _on_connect(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def _on_begin(connection: Connection) -> None:
    # The driver's own BEGIN is switched off above: it comes late, and deferred.
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
