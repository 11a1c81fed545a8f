"""Functions over a connection as methods that open a transaction of their own.

`claim = writing(run_states.claim, commit_recovery.claimed)` in a subclass of Door is a method with the
function's arguments (but for the connection), result and docstring.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from inspect import signature
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from orchestrator.record.database.database import Database

P = ParamSpec("P")
T = TypeVar("T")


class Door:
    """Questions and writes of one kind, over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database


def reading(work: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A method that reads one snapshot."""

    def method(door: Door, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return door._database.read(lambda connection: work(connection, *args, **kwargs))

    update_wrapper(method, work)
    return method


def writing(
    work: Callable[Concatenate[Connection, P], T], settled: Callable[..., T | None] | None = None
) -> Callable[Concatenate[Any, P], T]:
    """A method that writes all or nothing.

    `settled` is asked after a commit that was cut off, before the write is tried again. It takes those of the
    arguments that it names, and returns what `work` returned, or None where nothing was written.
    """

    def method(door: Door, /, *args: P.args, **kwargs: P.kwargs) -> T:
        def was_it_done(connection: Connection) -> T | None:
            if settled is None:
                return None
            given = signature(work).bind(connection, *args, **kwargs)
            given.apply_defaults()
            return settled(**{name: given.arguments[name] for name in signature(settled).parameters})

        return door._database.write(
            lambda connection: work(connection, *args, **kwargs), None if settled is None else was_it_done
        )

    update_wrapper(method, work)
    return method
