"""A table under another name, made once: an alias makes all its table's columns anew (0.5 ms for runs)."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.sql.selectable import NamedFromClause


@cache
def alias(table: Table, name: str) -> NamedFromClause[Any]:
    return table.alias(name)
