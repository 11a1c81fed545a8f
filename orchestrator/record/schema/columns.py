"""How Python values lie in columns: moments, closed words, documents, scalars, floats."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Dialect, Enum, Text
from sqlalchemy.types import TypeDecorator

from orchestrator.spec.jobfile.job_spec import Scalar

INDEXED = 1300  # bytes of a name


class NoMoment(datetime):
    """Stands for text in a row that is no moment. It is later than any moment that we record."""


NO_MOMENT = NoMoment(9999, 12, 31, tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, stored in UTC with microseconds, so that text order is time order.

    A naive one is refused: nobody could say later which moment it was.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: Any) -> Callable[[Any], Any] | None:
        """SQLite holds any text here. Other text becomes a NoMoment, so that only its row is refused."""
        inner = super().result_processor(dialect, coltype)

        def read(value: Any) -> Any:
            try:
                return value if inner is None else inner(value)
            except (ValueError, TypeError, OverflowError):
                return NO_MOMENT

        return read

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a time zone cannot be recorded: {value!r}")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text that a job reported or a user typed; see `storable`."""

    # In the order of code points on both, whatever the database's language.
    impl = Text().with_variant(Text(collation="C"), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else storable(value)


def storable(text: str) -> str:
    """The text itself, but for halves of surrogate pairs (written out as `\\udXXX`) and NUL (`\\x00`).

    Halves are not characters, and no database takes them; Postgres takes no NUL. But they arrive: in the
    JSON of a job's reports, and from a shell in arguments that are not UTF-8.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def indexable(text: str) -> str:
    """A name that an index takes. Postgres refuses entries of more than 2,704 bytes; some have two names."""
    return storable(text).encode()[:INDEXED].decode("utf-8", "ignore")


def closed(words: type[StrEnum], name: str) -> Enum:
    """A column of text that holds one of the enum's values and nothing else (CHECK)."""
    return Enum(
        words,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=20,
        values_callable=lambda members: [member.value for member in members],
    )


def document(value: Any) -> str:
    """Canonical JSON text. NaN and infinities are kept: a job's reports may hold them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def scalar_columns(value: Scalar) -> dict[str, Any]:
    """The columns `type`, `text` and `num` of a parameter; text and type give back the exact value."""
    if isinstance(value, bool):
        return {"type": "bool", "text": "true" if value else "false", "num": float(value)}
    if isinstance(value, str):
        return {"type": "str", "text": value, "num": None}
    kind = "int" if isinstance(value, int) else "float"
    return {"type": kind, "text": repr(value), "num": comparable(value)}


def scalar_of(kind: str, text: str) -> Scalar:
    match kind:
        case "bool":
            return text == "true"
        case "int":
            return int(text)
        case "float":
            return float(text)
        case _:
            return text


def comparable(value: float) -> float | None:
    """A 64-bit float, as SQL compares it; None for NaN, which databases order differently."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    return None if math.isnan(number) else number
