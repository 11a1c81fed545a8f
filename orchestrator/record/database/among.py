"""`column IN values` with one parameter for any number of values: the statement's text stays the same."""

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
