"""A row that cannot be read costs that row and a warning, never the command that met it.

Whoever has the database account can write anything that a column takes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from pydantic import ValidationError

from orchestrator.errors import RecordError

T = TypeVar("T")
R = TypeVar("R")

_log = logging.getLogger(__name__)  # not set up by the command: a warning goes to standard error as it is
_said: set[str] = set()
WRONG = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)


def readable(
    rows: Iterable[R], read: Callable[[R], T], name: Callable[[R], Any], what: str = "run"
) -> Iterator[T]:
    """Each row as a value; of one that cannot be read its name is said, once."""
    for row in rows:
        try:
            value = read(row)
        except WRONG as error:
            left_out(f"{what} {name(row)}", error)
            continue
        yield value


class UnreadableError(RecordError, ValueError):
    """One row cannot be read; the record itself answers."""


def unreadable(what: str, error: Exception) -> UnreadableError:
    return UnreadableError(
        f"{printable(what)} cannot be read: {printable(problem_of(error))}",
        "its row was altered: `reprise audit` says more",
    )


def left_out(what: str, error: Exception) -> None:
    text = f"{printable(what)} is left out: its row cannot be read: {printable(problem_of(error))}"
    if text not in _said:
        _said.add(text)
        _log.warning("%s", text)


def problem_of(error: Exception) -> str:
    """The problem in one line, without the value: that is somebody else's text."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in found["loc"])
        return f"{where}: {found['msg']}" if where else str(found["msg"])
    return f"{type(error).__name__}: {error}"


def printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)[:200]
