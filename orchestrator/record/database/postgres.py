"""Postgres: one record for a team.

Every write takes one advisory lock first, so that writers are as alone as on SQLite and the same code is
right on both. A server that goes away is waited for: what was not committed is done again, and where the
commit itself was cut off, the record is asked whether it went through.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from orchestrator.errors import RecordError
from orchestrator.record.database import database
from orchestrator.record.database.database import POOL_TIMEOUT, Database, T, Work, shown
from orchestrator.record.database.database_clock import BEGAN
from orchestrator.record.schema.columns import NO_MOMENT

PATIENCE = 60.0  # seconds that a server may be away; a restart with recovery took 1 to 3
PAUSE = 0.25  # seconds between two tries
QUIET = 2.0  # seconds after which people are told what is waited for
CONNECT_TIMEOUT = 10  # seconds
# Where the server or the network falls silent, the connection is lost after half a minute and not after two
# hours, the system's default.
_LIVELY = {
    "keepalives": 1,
    "keepalives_idle": 15,  # seconds
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}

# How values are written: of a float all digits, of a moment a form that is read again.
_FORMS = b"SELECT set_config('DateStyle', 'ISO', false), set_config('extra_float_digits', '1', false)"
_MOMENTS = psycopg.adapters.types["timestamptz"].oid

# Keys of the advisory locks: "Reprise" as bytes, and one more for the schema.
WRITER = 0x52657072697365
SCHEMA = WRITER + 1

_log = logging.getLogger(__name__)  # not set up by the command: a warning goes to standard error as it is

_HINTS = {
    "password authentication failed": "put the password into REPRISE_DATABASE_URL or ~/.pgpass",
    "does not exist": "make it with `createdb`, or mend the name in REPRISE_DATABASE_URL",
    "Connection refused": "check that the server runs, and the host and port in REPRISE_DATABASE_URL",
    "could not translate host name": "mend the host in REPRISE_DATABASE_URL",
    "failed to resolve host": "mend the host in REPRISE_DATABASE_URL",
    "permission denied": "the database's owner must grant it: GRANT ALL ON SCHEMA public TO you",
    "lock timeout": database.BUSY,
    "statement timeout": database.TOO_LONG,
    "could not extend file": "make room on the server's disk; what was recorded is intact",
    "No space left": "make room on the server's disk; what was recorded is intact",
}


class Postgres(Database):
    hints = _HINTS

    def __init__(self, url: URL) -> None:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT,
                "application_name": "reprise",
                "client_encoding": "utf8",
                **_LIVELY,
            },
            # For writes: a snapshot from before our turn would not see what others wrote until then.
            isolation_level="READ COMMITTED",
            pool_timeout=POOL_TIMEOUT,
        )
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        super().__init__(shown(url), engine)

    def read(self, work: Work[T]) -> T:
        return self.patiently(lambda _again: self._once(work, writing=False))

    def write(self, work: Work[T], settled: Work[T | None] | None = None) -> T:
        def attempt(again: bool) -> T:
            return self._once(settled_or_done if again and settled is not None else work, writing=True)

        def settled_or_done(connection: Connection) -> T:
            # Under the lock, which the server holds while it still works on the lost commit.
            found = settled(connection) if settled is not None else None
            return work(connection) if found is None else found

        return self.patiently(attempt)

    def _once(self, work: Work[T], *, writing: bool) -> T:
        with self.engine.connect() as connection:
            self.wrote = self.wrote or writing
            prepared = connection.execution_options(writing=writing, by=self.by)
            with prepared.begin():
                return work(prepared)

    def patiently(self, attempt: Callable[[bool], T]) -> T:
        """Again while the server is away; every other error at once."""
        begun = time.monotonic()
        again = told = False
        while True:
            try:
                with self._translated():
                    return attempt(again)
            except RecordError as error:
                cause = error.__cause__
                if not isinstance(cause, DBAPIError) or not _gone(cause):
                    raise
                waited = time.monotonic() - begun
                if waited >= PATIENCE:
                    raise
                if waited >= QUIET and not told:
                    _log.warning("%s does not answer; waiting for it, %d s at most", self.name, PATIENCE)
                    told = True
            again = True
            time.sleep(PAUSE)

    def refusal(self, error: DBAPIError) -> str | None:
        if not isinstance(error.orig, psycopg.Error):
            return None
        ours = (psycopg.ProgrammingError, psycopg.DataError)
        if isinstance(error.orig, ours) and not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            return None
        return " ".join(str(error.orig).split())

    def untouched(self) -> bool:
        return False

    def prepare(self) -> None:
        """There is nothing to make: a person makes the database."""

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """The lock has a connection of its own, and ends with it, however this process ends."""
        with self._translated(), self.engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({SCHEMA})")
            connection.commit()
            try:
                yield
            finally:
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({SCHEMA})")
                connection.commit()

    def before_upgrade(self) -> None:
        """Postgres needs none."""

    def no_such_table(self, error: DBAPIError) -> bool:
        return isinstance(error.orig, psycopg.errors.UndefinedTable)


def _gone(error: DBAPIError) -> bool:
    """Whether the connection was lost or the server is not there (yet); False where it refused."""
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # no answer from a server at all
        return isinstance(error.orig, psycopg.OperationalError) and not _is_refusal(str(error.orig))
    return bool(state.startswith("08") or state in ("57P01", "57P02", "57P03"))


def _is_refusal(text: str) -> bool:
    """Whether waiting would not help. By text: psycopg gives no state for errors before a session begins."""
    said = ("password", "does not exist", "authentication", "no pg_hba", "resolve host", "translate host")
    return any(part in text for part in said)


class _MomentLoader(Loader):
    """A moment that Python cannot hold (`infinity`, before the year 1) becomes NO_MOMENT."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        plain = psycopg.adapters.get_loader(oid, Format.TEXT)
        assert plain is not None  # noqa: S101  (for mypy)
        self._plain = plain(oid, context)

    def load(self, data: Buffer) -> datetime:
        try:
            moment: datetime = self._plain.load(data)
        except psycopg.DataError:
            return NO_MOMENT
        return moment


def _on_connect(connection: psycopg.Connection, _entry: ConnectionPoolEntry) -> None:
    """Set what our reading relies on, and a server, a database or a role may have set otherwise."""
    connection.adapters.register_loader(_MOMENTS, _MomentLoader)
    connection.autocommit = True  # one round trip, and no transaction
    connection.execute(_FORMS)
    connection.autocommit = False


def _on_begin(connection: Connection) -> None:
    if connection.get_execution_options().get("writing"):
        # In one round trip: the timeout, the lock that it is for, and the moment when we hold the lock.
        patience = f"set_config('lock_timeout', '{round(database.BUSY_TIMEOUT * 1000)}', true)"
        turn = f"SELECT {patience}, pg_advisory_xact_lock({WRITER}), clock_timestamp()"
        connection.info[BEGAN] = connection.exec_driver_sql(turn).one()[-1]
    else:
        connection.info.pop(BEGAN, None)
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
