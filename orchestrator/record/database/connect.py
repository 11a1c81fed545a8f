"""The database that a URL names. What a database can do is in database.py."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from orchestrator.errors import RecordError
from orchestrator.record.database.database import Database, shown


def open_database(text: str) -> Database:
    """From REPRISE_DATABASE_URL; nothing is connected yet. RecordError for any other kind of database."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise RecordError(
            "REPRISE_DATABASE_URL is not a database URL",
            "such as sqlite:////path/of/reprise.db or postgresql://user@host/reprise",
        ) from error
    backend = url.get_backend_name()
    if backend == "postgresql":
        from orchestrator.record.database.postgres import Postgres

        return Postgres(url)
    if backend != "sqlite" or url.database in (None, "", ":memory:"):
        raise RecordError(
            f"the record cannot be {shown(url)}: it is an SQLite file, or a Postgres database",
            "REPRISE_DATABASE_URL=sqlite:////path/of/reprise.db or postgresql://user@host/reprise",
        )
    from orchestrator.record.database.sqlite import Sqlite

    return Sqlite(url)
