"""The schema's version: one cheap look in the usual case, alembic under a lock in the other.

A new record is made from the tables of the code. An older one is brought to them by alembic, which costs a
second of imports. Processes that start together would race it, so they take a lock and one migrates.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, text
from sqlalchemy.exc import DBAPIError

from orchestrator.errors import RecordError
from orchestrator.record.database.database import Database
from orchestrator.record.schema import tables

SCRIPTS = Path(__file__).with_name("migrations")
_KNOWN = {path.name[:4] for path in (SCRIPTS / "versions").glob("[0-9]*.py")}
FIRST, HEAD = min(_KNOWN), max(_KNOWN)


def bring_to_head(database: Database) -> None:
    """Create or upgrade the schema where needed. RecordError for a database that this code does not know."""
    if not database.untouched() and version(database) == HEAD:
        return
    database.prepare()
    database.patiently(lambda _again: _migrate(database))


def refuse_other(database: Database) -> None:
    """RecordError unless the record is there, in the form of this code: for those who only look."""
    found = None if database.untouched() else version(database)
    if found is None:
        raise RecordError(
            f"there is no record {database.name} yet",
            "`reprise submit` makes it; REPRISE_HOME or REPRISE_DATABASE_URL says where it is",
        )
    if found != HEAD:
        raise RecordError(
            f"the record {database.name} has schema {found}, and this release reads {HEAD}",
            "`reprise history` brings an older record to it; a newer one needs a newer release",
        )


def _migrate(database: Database) -> None:
    with database.migrating():
        found = version(database)
        if found == HEAD:
            return
        if found is None:
            _create(database)
        elif found in _KNOWN:
            _upgrade(database)
        elif found < FIRST:
            raise RecordError(
                f"the record {database.name} is older than the first release (schema {found})",
                "any command of the last commit before decision 0035 brings it to schema 0014",
            )
        else:
            raise RecordError(
                f"the record {database.name} was written by a newer version of Reprise (schema {found})",
                "install that version, or name another place with REPRISE_HOME or REPRISE_DATABASE_URL",
            )


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


def _create(database: Database) -> None:
    """A new record: the tables of the code, and the name of its ledger."""
    database.before_upgrade()
    with database.writing() as connection:
        there = sorted(tables.METADATA.tables.keys() & set(inspect(connection).get_table_names()))
        if there:  # a ledger of another name would be put beside its own
            raise RecordError(
                f"{database.name} has a table {there[0]} already, and does not say that it is a record",
                "name an empty database; where it was a record, restore the table alembic_version, too",
            )
        if connection.dialect.name == "postgresql":  # see tables.py: there it would import the dialect
            for index in (index for table in tables.METADATA.tables.values() for index in table.indexes):
                index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
        tables.METADATA.create_all(connection)
        # Another one in every database: events and tree heads of two teams cannot be mixed up.
        connection.execute(insert(tables.ledger).values(id=secrets.token_hex(8), size=0, frontier=b""))
        connection.execute(
            text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        )
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _upgrade(database: Database) -> None:
    from alembic import command
    from alembic.config import Config

    database.before_upgrade()
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
