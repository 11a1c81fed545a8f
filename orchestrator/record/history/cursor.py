"""Where a page of the history ended, as a short text: the next page begins after that place.

The place is a run and what it was sorted by, so that runs which come in meanwhile move nothing.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import Connection, Float, Integer, select

from orchestrator.errors import UsageError
from orchestrator.record.history.filter_fields import TABLES, column_of
from orchestrator.record.history.order import REST, TEXTS, Order, OrderPlace
from orchestrator.record.history.pages import places
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import Moment, storable
from orchestrator.value import RunId, Value

_64_BITS = Field(ge=-(1 << 63), lt=1 << 63)


class Cursor(Value):
    sort: str | None
    part: Literal[0, 1, 2]  # of the order
    value: Annotated[int, _64_BITS] | float | str
    run: RunId


def cursor_of(connection: Connection, sort: str | None, order: Order, key: int) -> str:
    """The text for `after` of a page that ends with this run."""
    [place] = places(connection, order, [key])
    run = connection.execute(select(tables.run.c.public_id).where(tables.run.c.id == key)).scalar_one()
    value = place.value.isoformat() if isinstance(place.value, datetime) else place.value
    told = {"sort": sort, "part": place.part, "value": value, "run": run}
    return urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")


def place_at(connection: Connection, after: str, sort: str | None, order: Order) -> OrderPlace:
    """UsageError for a text that no page of this order ended with."""
    what = f"no page of this list ends at {after[:40]!r}"
    refused = UsageError(what, "--after takes `next` of a page in --json, with the --sort of that page")
    try:
        cursor = Cursor.model_validate_json(urlsafe_b64decode(after + "=" * (-len(after) % 4)))
        value = _value(order, cursor)
    except (ValueError, TypeError, OverflowError):
        raise refused from None
    run = tables.run.c
    key = connection.execute(select(run.id).where(run.public_id == cursor.run)).scalar()
    if cursor.sort != sort or key is None:
        raise refused
    return OrderPlace(cursor.part, value, key)


def _value(order: Order, cursor: Cursor) -> datetime | float | str:
    """ValueError or TypeError for what the column does not hold."""
    value, kind = cursor.value, None
    if cursor.part != REST and order.field is not None:
        table = TABLES.get(order.field.word)
        column = column_of(order.field) if table is None else table.c[order.field.number]
        kind = column.type
    if kind is None or isinstance(kind, Moment):
        moment = datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            raise ValueError("a moment without a time zone")
        return moment.astimezone(UTC)
    expected: type | tuple[type, ...] = str
    if cursor.part != TEXTS and isinstance(kind, Integer | Float):
        expected = int if isinstance(kind, Integer) else (int, float)
    if not isinstance(value, expected):
        raise TypeError("another kind of value")
    return storable(value) if isinstance(value, str) else value
