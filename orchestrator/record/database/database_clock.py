"""Moments of a record, by the clock of its database: clients whose clocks differ agree on what came first.

Durations are measured elsewhere, by a monotonic clock; moments of a container are its engine's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select

BEGAN = "began"  # in a connection's info: when its writing transaction had its turn


def now(connection: Connection) -> datetime:
    """UTC. Of a writing transaction on Postgres, one moment: when its turn came, so moments have the order of
    the commits. An SQLite file has no clock but that of its one box.
    """
    if connection.dialect.name != "postgresql":
        return datetime.now(UTC)
    moment: Any = (
        connection.info.get(BEGAN) or connection.execute(select(func.clock_timestamp())).scalar_one()
    )
    assert isinstance(moment, datetime)  # noqa: S101  (for mypy)
    return moment.astimezone(UTC)


def seconds_since(connection: Connection, moment: datetime) -> float:
    """How long ago something was written down, by the clock that wrote it. Never negative."""
    return max(0.0, (now(connection) - moment).total_seconds())
