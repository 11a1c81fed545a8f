"""The schema's version: one cheap look in the usual case, alembic under a lock in the other.

An upgrade costs a second of imports, and parallel starts race it, so processes that start together take
a lock and only the first one migrates.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from orchestrator.errors import RecordError
from orchestrator.record.database.database import Database

SCRIPTS = Path(__file__).with_name("migrations")
_KNOWN = {path.name[:4] for path in (SCRIPTS / "versions").glob("[0-9]*.py")}
HEAD = max(_KNOWN)


def bring_to_head(database: Database) -> None:
    """Create or upgrade the schema where needed. RecordError for a newer database than this code."""
    if not database.untouched() and version(database) == HEAD:
        return
    database.prepare()
    database.patiently(lambda _again: _migrate(database))


def _migrate(database: Database) -> None:
    with database.migrating():
        found = version(database)
        if found == HEAD:
            return
        if found is not None and found not in _KNOWN:
            raise RecordError(
                f"the record {database.name} was written by a newer version of Reprise (schema {found})",
                "install that version, or name another place with REPRISE_HOME or REPRISE_DATABASE_URL",
            )
        _upgrade(database)


def version(database: Database) -> str | None:
    """The revision that the database has; None for an empty one."""

    def look(connection: Connection) -> str | None:
        try:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except DBAPIError as error:
            if not database.no_such_table(error):
                raise
            return None

    return database.read(look)


def _upgrade(database: Database) -> None:
    from alembic import command
    from alembic.config import Config

    database.before_upgrade()
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        # Not in the migration that makes the ledger: that one stays as it is when the tables change.
        from orchestrator.record.ledger.adopt_rows import adopt

        adopt(connection)
