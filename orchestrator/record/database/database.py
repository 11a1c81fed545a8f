"""A database and its transactions, whichever it is: sqlite.py for one box, postgres.py for a team.

Writers are alone: each write takes one lock at its beginning (SQLite's BEGIN IMMEDIATE, an advisory lock in
Postgres). SELECT then UPDATE without it gave 306 double claims of 2000 under 32 processes; with it none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from orchestrator.errors import RecordError
from orchestrator.record.runs.author import author

T = TypeVar("T")
Work = Callable[[Connection], T]

BUSY_TIMEOUT = 120.0  # seconds that a writer waits for others; SQLite lets them pass in no order
BUSY = f"others have been writing for {BUSY_TIMEOUT:g} s; end them, then try again"
TOO_LONG = "the question takes too long: narrow it"
POOL_TIMEOUT = 60.0  # seconds that a thread waits for a connection
CROWDED = "too many questions at a time: try again"


class Database(ABC):
    """One engine, and its two kinds of transaction. Safe to use from several threads.

    `name` is what messages call it: without a password. `by` is who writes, for the ledger.
    """

    hints: Mapping[str, str]  # what the database says -> how to mend it

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self.engine = engine
        self.by = author()
        self.wrote = False  # by this object: then a tree head may be due

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One snapshot for all queries inside."""
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """All or nothing, alone among writers, durable when it returns."""
        with self._translated(), self.engine.connect() as connection:
            self.wrote = True
            locked = connection.execution_options(writing=True, by=self.by)
            with locked.begin():
                yield locked

    def read(self, work: Work[T]) -> T:
        with self.reading() as connection:
            return work(connection)

    def write(self, work: Work[T], settled: Work[T | None] | None = None) -> T:  # noqa: ARG002
        """`work` in one transaction. After a lost connection it may be tried again, unless `settled` answers
        what the first try returned; None where that was not committed.
        """
        with self.writing() as connection:
            return work(connection)

    def patiently(self, attempt: Callable[[bool], T]) -> T:
        """Call `attempt`; again, with True, while the database is away and may come back."""
        return attempt(False)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the database become RecordError; errors of statements (our bugs) stay as they are."""
        try:
            yield
        except PoolTimeoutError as error:
            raise self.error(CROWDED) from error
        except DBAPIError as error:
            reason = self.refusal(error)
            if reason is None:
                raise
            raise self.error(reason) from error

    def error(self, reason: str) -> RecordError:
        hint = next((hint for part, hint in self.hints.items() if part in reason), None)
        return RecordError(f"the record {self.name} refused: {reason}", hint)

    def close(self) -> None:
        self.engine.dispose()

    @abstractmethod
    def refusal(self, error: DBAPIError) -> str | None:
        """The database's own words; None where the error is ours."""

    @abstractmethod
    def untouched(self) -> bool:
        """True where not even an empty database is there, as far as can be told without making one."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what must be there before the first connection. RecordError where that cannot be."""

    @abstractmethod
    def migrating(self) -> AbstractContextManager[None]:
        """Held by the one process that may change the schema."""

    @abstractmethod
    def before_upgrade(self) -> None:
        """Settings of the database that no transaction can make."""

    @abstractmethod
    def no_such_table(self, error: DBAPIError) -> bool: ...


def shown(url: URL) -> str:
    """A URL as it may be printed: kind, host, port and name. Options hold passwords, too."""
    host = (url.host or "").rpartition("@")[2]  # of a password with an @ that is not quoted
    host = f"[{host}]" if ":" in host else host
    port = "" if url.port is None else f":{url.port}"
    return f"{url.get_backend_name()}://{host}{port}/{url.database or ''}"
