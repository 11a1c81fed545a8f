"""What a record asks its database, and how SQLite would answer: by an index, or row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from orchestrator.record.record import Record


def statements_of(record: Record) -> list[str]:
    """The statements that the record sends from now on, in a list that grows."""
    sent: list[str] = []
    event.listen(record._database.engine, "after_cursor_execute", lambda *args: sent.append(str(args[2])))
    return sent


def plans_of(record: Record, action: Callable[[], Any], holding: str = "") -> list[list[str]]:
    """The plan of every question that the action sends, of those that hold this text."""
    sent: list[tuple[str, Any]] = []
    engine = record._database.engine

    def note(*args: Any) -> None:
        sent.append((args[2], args[3]))

    event.listen(engine, "after_cursor_execute", note)
    action()
    event.remove(engine, "after_cursor_execute", note)
    with record._database.reading() as connection:
        return [
            [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
            for text, values in sent
            if text.startswith("SELECT") and holding in text
        ]
