"""`--json`: one document on standard output, keys sorted, always valid JSON.

Rules of every document: times are UTC in ISO 8601, sizes are bytes, durations are seconds, digests are
`sha256:` and 64 hex digits, what is unknown is null. Numbers that JSON cannot hold are the strings
"NaN", "Infinity" and "-Infinity". Text is ASCII with escapes, so nothing in it can move a terminal.
An error is `{"error": {"kind", "message", "hint", "exit_code"}}` on standard error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.redaction import redact_known

if TYPE_CHECKING:
    from orchestrator.record.run_record import RunRecord


def print_document(value: Any) -> None:
    click.echo(redact_known(json.dumps(jsonable(value), sort_keys=True, indent=2, allow_nan=False)))


def jsonable(value: Any) -> Any:
    """Values, mappings and sequences as plain JSON types, by the rules above."""
    if value is None or (isinstance(value, bool | int) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _word(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [jsonable(item) for item in value]
    if is_dataclass(value):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if hasattr(type(value), "model_fields"):
        return {name: jsonable(getattr(value, name)) for name in type(value).model_fields}
    raise TypeError(f"not for a document: {type(value).__name__}")


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def run_document(run: RunRecord, series: bool = False) -> dict[str, Any]:
    """A run: every field of RunRecord but the patch's bytes, and `flags_changed` from the read-backs.

    `series` (all points of all metrics) only where asked for: it can be long.
    """
    document = {
        name: jsonable(getattr(run, name)) for name in type(run).model_fields if name not in ("git", "series")
    }
    document["git"] = jsonable(run.git.model_copy(update={"patch": None})) if run.git else None
    if document["git"]:
        del document["git"]["patch"]
    document["flags_changed"] = jsonable(flags_changed(run))
    if series:
        document["series"] = jsonable(run.series)
    return document


def flags_changed(run: RunRecord) -> dict[str, tuple[Any, Any]]:
    """Determinism flags that the script itself moved: name -> value at its start, at its end."""
    changed: dict[str, tuple[Any, Any]] = {}
    for readback in run.readbacks:
        changed |= readback.changed
    return dict(sorted(changed.items()))
