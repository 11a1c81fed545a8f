"""The different values of an indexed column, one after the other in the index, however many rows have one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, literal, select


def each_value(connection: Connection, column: Any, *conditions: Any, most: int | None = None) -> list[str]:
    """Texts but for the empty one, sorted; the first `most`. One statement: with a server, a page would wait
    for a round trip for each value.
    """

    def next_after(value: Any) -> Any:
        return select(func.min(column)).where(column > value, *conditions).scalar_subquery()

    steps = select(next_after("").label("value"), literal(1).label("number")).cte("steps", recursive=True)
    onward = select(next_after(steps.c.value), steps.c.number + 1).where(steps.c.value.is_not(None))
    if most is not None:
        onward = onward.where(steps.c.number < most)
    steps = steps.union_all(onward)
    found = select(steps.c.value).where(steps.c.value.is_not(None)).order_by(steps.c.number)
    return list(connection.execute(found).scalars())
