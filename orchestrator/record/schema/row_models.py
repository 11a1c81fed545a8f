"""The tables as SQLModel classes, for questions that want rows as objects.

They are made when this is first imported: that takes 0.1 s, as long as the rest of `history` takes.
"""

from __future__ import annotations

from types import new_class
from typing import Any, ClassVar

from sqlalchemy import MetaData, Table
from sqlmodel import Field, SQLModel

from orchestrator.record.schema.tables import METADATA


class Row(SQLModel, defer_build=True, arbitrary_types_allowed=True):
    """Base of the classes. Values are checked where they become rows, so no class needs validators."""

    metadata: ClassVar[MetaData] = METADATA


def _model(table: Table) -> type[Row]:
    body = {
        "__module__": __name__,
        "__annotations__": dict.fromkeys(table.c.keys(), Any),
        "__table__": table,
        **{column.name: Field(default=None, sa_column=column) for column in table.c},
    }
    title = table.name.title().replace("_", "")
    return new_class(title, (Row,), {"table": True}, lambda namespace: namespace.update(body))


MODELS = {name: _model(table) for name, table in METADATA.tables.items()}
"""The SQLModel class of each table, by the table's name."""
