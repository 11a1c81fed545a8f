"""One of many values, however many: as one parameter, so that the statement is always the same text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import ARRAY, ColumnElement, Connection, Integer, Text, any_, bindparam, func, select


def among(connection: Connection, column: Any, values: Sequence[int] | Sequence[str]) -> ColumnElement[bool]:
    if connection.dialect.name == "postgresql":
        kind = Integer() if isinstance(column.type, Integer) else Text()
        return cast("ColumnElement[bool]", column == any_(bindparam(None, list(values), ARRAY(kind))))
    listed = func.json_each(json.dumps(list(values))).table_valued("value")
    return cast("ColumnElement[bool]", column.in_(select(listed.c.value)))
