"""The schema's version: one cheap look in the usual case, alembic under a lock in the other.

An upgrade costs a second of imports, and parallel starts race it, so processes that start together take
a file lock and only the first one migrates.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from orchestrator.errors import RecordError
from orchestrator.record.connect import Database

HEAD = "0002"  # the newest file in migrations/versions; a test holds it
SCRIPTS = Path(__file__).with_name("migrations")


def bring_to_head(database: Database) -> None:
    """Create or upgrade the schema where needed. RecordError for a newer database than this code."""
    if database.path.exists() and version(database) == HEAD:
        return
    database.create_file()
    with _locked(database):
        found = version(database)
        if found == HEAD:
            return
        if found is not None and not _known(found):
            raise RecordError(
                f"the record {database.path} was written by a newer version of Reprise (schema {found})",
                "install that version, or name another place with REPRISE_HOME",
            )
        _upgrade(database)


def version(database: Database) -> str | None:
    """The revision that the database has; None for an empty one."""
    with database.reading() as connection:
        try:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except OperationalError as error:
            if "no such table" not in str(error.orig):
                raise
            return None


def _known(revision: str) -> bool:
    return any(path.name.startswith(f"{revision}_") for path in (SCRIPTS / "versions").glob("*.py"))


def _upgrade(database: Database) -> None:
    from alembic import command
    from alembic.config import Config

    with database.engine.connect() as connection:
        # Once for the life of the file; it cannot be done inside a transaction.
        connection.connection.execute("PRAGMA journal_mode = WAL")
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _locked(database: Database) -> Iterator[None]:
    path = database.path.with_name(database.path.name + ".lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
