"""What a filter or an order can name, and how each compares: the SQL half of the filter language.

Every comparison is two-valued (never NULL), so that `not` turns it round.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Float, Integer, Table, and_, exists, false, literal, not_, or_

from orchestrator.message_wording import did_you_mean
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import comparable
from orchestrator.run.attempt_model import Failure, State

Literal = bool | int | float | str

_RUN, _JOB, _IMAGE = tables.run.c, tables.job.c, tables.image.c
_TEXTS = {"job": _JOB.name, "user": _RUN.submitted_by}
_NUMBERS = {"seconds": _RUN.seconds, "seed": _RUN.seed, "exit_code": _RUN.exit_code}
_WORDS: dict[str, tuple[Any, type[StrEnum]]] = {
    "state": (_RUN.state, State),
    "status": (_RUN.state, State),
    "failure": (_RUN.failure, Failure),
}
_MOMENTS = {"created": _RUN.created_at}
_DIGESTS = {"image": _IMAGE.digest}
PLAIN = (*_TEXTS, *_NUMBERS, *_WORDS, *_MOMENTS, *_DIGESTS)
TABLES: dict[str, Table] = {
    "params": tables.param,
    "metrics": tables.metric,
    "logged": tables.logged_param,  # parameters that the script logged for its tracker
}
PARAMETERS = ("params", "logged")  # their values may be texts, numbers, and truth
LONGEST_LIST = 500  # values after `in`; SQLite reads an expression no deeper than 1000
_SHORT = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})\Z")
ORDERS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}


class Mismatch(Exception):
    """A name or value that does not fit. The caller knows its position, and makes a UsageError of it."""

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


class Part(StrEnum):
    """Which of a metric's values, or its step."""

    LAST = "last"
    MIN = "min"
    MAX = "max"
    LAST_STEP = "last_step"
    MIN_STEP = "min_step"
    MAX_STEP = "max_step"


_PARTS = {
    Part.LAST: "num",
    Part.MIN: "low",
    Part.MAX: "high",
    Part.LAST_STEP: "last_step",
    Part.MIN_STEP: "low_step",
    Part.MAX_STEP: "high_step",
}


class Field(NamedTuple):
    word: str  # one of PLAIN or of TABLES
    name: str | None  # of the parameter or metric
    part: Part = Part.LAST  # of a metric

    @property
    def number(self) -> str:
        """The column with the number, of a parameter or metric."""
        return _PARTS[self.part]

    def __str__(self) -> str:
        part = "" if self.part is Part.LAST else f".{self.part.value}"
        return self.word if self.name is None else f"{self.word}.{self.name}{part}"

    @property
    def is_number(self) -> bool:
        """Whether what sorts by it is a number."""
        return self.word in TABLES or self.word in _NUMBERS


class Comparison(NamedTuple):
    field: Field
    operator: str  # < <= > >= == != in not in
    value: Literal | tuple[Literal, ...]


def field_named(word: str, name: str | None) -> Field:
    """Mismatch for an unknown name."""
    if (word in TABLES) != (name is not None) or (word not in TABLES and word not in PLAIN):
        known = "known are " + ", ".join([*PLAIN, *(f"{one}.NAME" for one in TABLES)])
        asked = word if name is None else f"{word}.{name}"
        raise Mismatch("an unknown name", did_you_mean(asked, PLAIN, known))
    return Field(word, name)


def compare(field: Field, operator: str, value: Literal | tuple[Literal, ...]) -> ColumnElement[bool]:
    """True where the run has the field and it compares so. Mismatch for a value that cannot be compared."""
    if isinstance(value, tuple):
        if len(value) > LONGEST_LIST:
            raise Mismatch(f"the list has more than {LONGEST_LIST} values", "use < and > for a range")
        tests = [_test(field, "==", item) for item in value]
        held = or_(*tests) if tests else false()
    else:
        held = _test(field, "==" if operator == "!=" else operator, value)
    if operator in ("!=", "not in"):
        held = not_(held)
    if field.word in TABLES:
        table = TABLES[field.word]
        has = [table.c.run_id == _RUN.id, table.c.name == field.name]
        if field.part.value.endswith("_step"):  # a value may have come without one
            has.append(table.c[field.number].is_not(None))
        return exists().where(*has, held)
    return and_(column_of(field).is_not(None), held)


def column_of(field: Field) -> Any:
    word = field.word
    if word in _WORDS:
        return _WORDS[word][0]
    return (_TEXTS | _NUMBERS | _MOMENTS | _DIGESTS)[word]


def _test(field: Field, operator: str, value: Literal) -> ColumnElement[bool]:
    """One field against one value, with one of < <= > >= ==."""
    word = field.word
    if isinstance(value, bool) and (word not in PARAMETERS or operator != "=="):
        raise Mismatch("true and false are values of parameters, equal or not", "params.flag == true")
    if word in PARAMETERS:
        return _param(TABLES[word].c, operator, value)
    if word in _WORDS:
        return _word(field, operator, value)
    if word in _MOMENTS:
        return _held(column_of(field), operator, _moment(value))
    if word in _DIGESTS:
        return _digest(field, operator, value)
    wanted, name = (str, "a string") if word in _TEXTS else ((int, float), "a number")
    if not isinstance(value, wanted):
        raise Mismatch(f"{word} is compared with {name}")
    column = tables.metric.c[field.number] if word == "metrics" else column_of(field)
    return _held(column, operator, value if isinstance(value, str) else number_for(column, value))


def number_for(column: Any, value: float) -> Any:
    """The number as a column of numbers is compared with it. A column of ints gets an int where it can, so
    that its index serves, and else a float that no driver rounds.
    """
    number = comparable(value)
    if not isinstance(column.type, Integer) or number is None:
        return number
    if number.is_integer() and abs(number) < 1 << 53:
        return int(number)
    return literal(number, Float())


def _param(param: Any, operator: str, value: Literal) -> ColumnElement[bool]:
    if isinstance(value, bool):
        return and_(param.type == "bool", param.text == ("true" if value else "false"))
    if isinstance(value, str):
        return and_(param.type == "str", _held(param.text, operator, value))
    return and_(param.type.in_(("int", "float")), _held(param.num, operator, comparable(value)))


def _word(field: Field, operator: str, value: Literal) -> ColumnElement[bool]:
    column, words = _WORDS[field.word]
    known = [word.value for word in words]
    if operator != "==" or value not in known:
        words_are = f"== or != one of: {', '.join(known)}"
        hint = did_you_mean(repr(value), map(repr, known), words_are)
        raise Mismatch(f"{field.word} is one of a few words", hint)
    return _held(column, operator, words(value))


def _moment(value: Literal) -> datetime:
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Mismatch("not a date", "created >= '2026-01-31' or '2026-01-31T12:00'") from error


def _digest(field: Field, operator: str, value: Literal) -> ColumnElement[bool]:
    short = _SHORT.match(str(value))
    if operator != "==" or short is None:
        raise Mismatch("not a digest", "== or != 'sha256:' and at least 4 of its 64 hex digits")
    like: ColumnElement[bool] = column_of(field).like(f"sha256:{short.group(1)}%")
    return like


def _held(column: Any, operator: str, value: Any) -> ColumnElement[bool]:
    """The comparison, false where the column is NULL."""
    held = column == value if operator == "==" else ORDERS[operator](column, value)
    return and_(column.is_not(None), held)
