"""A value as columns of a table, and back: each field lies in the column of its name (table_base.py)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Row, RowMapping, Table

from orchestrator.record.schema.columns import document
from orchestrator.record.schema.table_base import is_document, plain_type
from orchestrator.value import Value

T = TypeVar("T", bound=Value)


class _StoredField(NamedTuple):
    name: str
    document: bool  # JSON text
    default: Any  # what NULL stands for


@cache
def _stored(kind: type[Value], table: Table, only: tuple[str, ...] | None) -> tuple[_StoredField, ...]:
    found = []
    for name in kind.model_fields if only is None else only:
        field = kind.model_fields[name]
        plain, optional = plain_type(field.annotation)
        if name in table.columns:
            default = None if optional or not table.c[name].nullable else field.get_default()
            found.append(_StoredField(name, is_document(plain), default))
    return tuple(found)


def columns_of(table: Table, value: Value, only: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The fields of a value that have a column, or `only` these."""
    found: dict[str, Any] = {}
    for name, is_text, default in _stored(type(value), table, only):
        plain = getattr(value, name)
        if plain is None or (default is not None and plain == default):
            found[name] = None
        else:
            found[name] = document(_json(plain)) if is_text else plain
    return found


def _json(value: Any) -> Any:
    """JSON values. Mappings stay as they are: a job's reports hold text that pydantic's JSON mode refuses."""
    if isinstance(value, Value):
        return value.model_dump(mode="json")
    return [_json(item) for item in value] if isinstance(value, tuple) else value


def fields_from(
    kind: type[Value], table: Table, row: Mapping[str, Any] | RowMapping, only: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """The fields of which `columns_of` made this row."""
    found: dict[str, Any] = {}
    for name, is_text, default in _stored(kind, table, only):
        stored = row[name]
        if stored is None:
            found[name] = default
        else:
            found[name] = json.loads(stored) if is_text else stored
    return found


def value_from(kind: type[T], table: Table, row: Row[Any]) -> T:
    return kind.model_validate(fields_from(kind, table, row._mapping))
