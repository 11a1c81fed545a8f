"""How tables are declared: columns with names that say their type, or as the fields of a value."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Integer, MetaData, Table
from sqlalchemy.schema import SchemaItem

from orchestrator.record.schema.columns import Moment, Words, closed
from orchestrator.value import Value

METADATA = MetaData(  # named constraints, because SQLite's migrations find them by name
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def table(name: str, *items: SchemaItem) -> Table:
    """Declare a table; `row_models.py` makes its SQLModel class.

    Statements are SQLAlchemy Core: inserts in bulk run at 219k rows a second, through mapped objects at 16k.
    """
    return Table(name, METADATA, *items)


_PLAIN: dict[type, Any] = {bool: Boolean, int: BigInteger, float: Float, datetime: Moment}


def column(name: str, kind: Any, *more: Any, nullable: bool = False, **options: Any) -> Column[Any]:
    return Column(name, kind, *more, nullable=nullable, **options)


def text(name: str, **options: Any) -> Column[Any]:
    return column(name, Words, **options)


def whole(name: str, **options: Any) -> Column[Any]:
    """32 bits."""
    return column(name, Integer, **options)


def big(name: str, **options: Any) -> Column[Any]:
    """64 bits."""
    return column(name, BigInteger, **options)


def number(name: str) -> Column[Any]:
    return column(name, Float, nullable=True)


def moment(name: str, **options: Any) -> Column[Any]:
    return column(name, Moment, **options)


def key() -> Column[Any]:
    return whole("id", primary_key=True)


def owner(table: str, name: str | None = None, **options: Any) -> Column[Any]:
    """The key of a row in another table."""
    return column(name or f"{table}_id", Integer, ForeignKey(f"{table}.id"), **options)


def of_run(*others: Column[Any]) -> Iterator[Column[Any]]:
    """The run's key as primary key, alone or with others."""
    yield owner("run", primary_key=True)
    for other in others:
        other.primary_key = True
        yield other


def fields_of(
    kind: type[Value],
    *,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Column[Any]]:
    """One column for each field of a value, of the same name. Text, numbers, moments and closed words lie
    as they are; everything else is a JSON document. `options` of a column by its name: `index`, `nullable`
    (for a field that has no None: NULL stands for its default), `type_` where ints have 32 bits.
    """
    for name, field in kind.model_fields.items():
        if name not in without and (only is None or name in only):
            plain, optional = plain_type(field.annotation)
            said = {"nullable": optional, **(options or {}).get(name, {})}
            yield column(name, said.pop("type_", None) or _column_type(plain, name), **said)


def plain_type(annotation: Any) -> tuple[Any, bool]:
    """The type itself, and whether it may be None."""
    if get_origin(annotation) is Annotated:
        return plain_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        [inner] = [item for item in get_args(annotation) if item is not type(None)]
        return plain_type(inner)[0], True
    return annotation, False


def _column_type(kind: Any, name: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return closed(kind, name)
    return _PLAIN.get(kind, Words)


def is_document(kind: Any) -> bool:
    """Whether a field of this type lies as JSON text."""
    return kind not in _PLAIN and not (isinstance(kind, type) and issubclass(kind, str))
