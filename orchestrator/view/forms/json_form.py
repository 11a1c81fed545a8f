"""Documents as JSON: the rules that hold for every one.

Times are UTC in ISO 8601, sizes are bytes, durations are seconds, digests are `sha256:` and 64 hex digits,
what is unknown is null. Numbers that JSON cannot hold are the strings "NaN", "Infinity" and "-Infinity".
Text is ASCII with escapes, so nothing in it can move a terminal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any


def json_text(document: Any) -> str:
    """Valid JSON, keys sorted."""
    return json.dumps(jsonable(document), sort_keys=True, indent=2, allow_nan=False)


def jsonable(value: Any) -> Any:
    """Values, mappings and sequences as plain JSON types."""
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
        known = ((name, getattr(value, name), field) for name, field in type(value).model_fields.items())
        return {
            name: jsonable(item)
            for name, item, field in known
            if field.exclude_if is None or not field.exclude_if(item)
        }
    raise TypeError(f"not for a document: {type(value).__name__}")


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
