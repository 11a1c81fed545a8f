"""The base of every value that travels from one step to the next."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# What is valid is said here alone. Also, pydantic would read the metadata of every installed package to find
# its plugins, which takes 4% of a submit.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

Plain = bool | int | float | str | None


def _run_id(text: str) -> str:
    if len(text) != 16 or set(text) - set("0123456789abcdef"):
        raise ValueError("a run is named by 16 hex digits")
    return text


RunId = Annotated[str, AfterValidator(_run_id)]
"""A run's id: paths, container names and commands hold it, so it has hex digits only."""

YEARS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))


def _instant(moment: datetime) -> datetime:
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if not YEARS[0] <= zoned <= YEARS[1]:
        raise ValueError("a moment outside of the years 1970 to 2200")
    return moment


Instant = Annotated[datetime, AfterValidator(_instant)]
"""A moment that can be shown in every time zone."""
Seconds = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]


class Value(BaseModel):
    """Frozen, and closed: an unknown field is an error, so that no fact is dropped in silence."""

    # A command uses few of these classes: each one's validator is built when it is first used.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)


def flat(value: Any, name: str = "") -> dict[str, Plain]:
    """`{"gpus": [{"name": "A100"}]}` -> `{"gpus.0.name": "A100"}`; an empty list or object is `none`."""
    if isinstance(value, dict | list | tuple) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        found: dict[str, Plain] = {}
        for key, inner in items:
            found |= flat(inner, f"{name}.{key}" if name else str(key))
        return found
    if isinstance(value, bool | int | float | str) or value is None:
        return {name: value}
    return {name: "none" if isinstance(value, dict | list | tuple) else str(value)}
