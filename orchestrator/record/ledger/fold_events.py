"""What events say, folded and compared; pure functions, so that an audit of an export needs no database.

The form of an event's data is described in row_evidence.py, which makes it from rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from orchestrator.value import Value

# Rows with a key of their own, below a run and in common; table -> the column with the key.
KEYED = {"attempt": "number", "launch": "number", "verdict": "id", "annotation": "id"}
SHARED = {"job": "id", "image": "id", "input_data": "digest", "box": "id", "data_version": "id"}
# Lists below a shared row: table -> (the table of the row, the column with its key).
OWNED = {"image_layer": ("image", "image_id"), "input_file": ("input_data", "folder")}
# All rows of a run in one of these tables are one value, replaced whole.
LIST_NAMES = (
    *("wanted", "param", "run_input", "git_state", "metric", "metric_point", "output", "package"),
    *("source_file", "flag", "trace", "note", "log", "fingerprint", "input_origin"),
    "logged_param",
)


class LedgerHead(Value):
    id: str  # 16 hex digits, another one in every record
    size: int  # events
    root: bytes  # of the tree over all of them

    @property
    def origin(self) -> str:
        """What tree heads call this ledger."""
        return f"reprise/{self.id}"


class Told(NamedTuple):
    number: int  # the event's index
    kind: str
    data: dict[str, Any]


class LedgerEvent(Value):
    """A row of the ledger: the columns, and the document whose copies they are."""

    index: int
    at: datetime
    by: str
    kind: str
    run: str | None
    document: bytes

    @property
    def data(self) -> dict[str, Any]:
        """What the document says of rows (row_evidence.py). ValueError or KeyError where it is damaged."""
        return self.told.data

    @property
    def told(self) -> Told:
        """What the document says; the columns may say something else. Errors as of `data`."""
        return told_in(self.document)


def told_in(document: bytes) -> Told:
    """ValueError, LookupError, TypeError or RecursionError for a damaged one."""
    found = json.loads(document)
    index, kind = found["index"], found["kind"]
    if not (isinstance(index, int) and isinstance(kind, str)):
        raise TypeError("its index or kind is no such thing")
    return Told(index, kind, dict(found["data"]))


def exact_moment(moment: datetime) -> str:
    """`2026-11-23T09:30:12.000001Z`: always with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def fold(into: dict[str, Any], data: Mapping[str, Any]) -> None:
    """Merge what an event says of rows into what earlier events said."""
    for name, value in data.items():
        if name == "run":
            _change(into.setdefault(name, {}), value)
        elif name in KEYED or name in SHARED:
            for key, row in value.items():
                _change(into.setdefault(name, {}).setdefault(key, {}), row)
        elif name in OWNED:
            into.setdefault(name, {}).update(value)
        elif name in LIST_NAMES:
            into[name] = value


def _change(row: dict[str, Any], columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        if value is None:
            row.pop(name, None)
        else:
            row[name] = value
