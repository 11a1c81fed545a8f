"""Turns pydantic's errors into words for people, at the line of the key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.spec.jobfile.job_spec import (
    Determinism,
    InputSpec,
    JobSpec,
    Resources,
    Tolerance,
    Tolerances,
    Trace,
)
from orchestrator.spec.jobfile.problem_collector import Collector
from orchestrator.spec.jobfile.problems import KeyPath, nearest
from orchestrator.spec.jobfile.short_forms import kind_of

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

_WANTED = {
    "string_type": "text (in quotes, if it looks like a number)",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping: key: value",
    "model_type": "a mapping: key: value",
    "tuple_type": "a list: [one, two]",
    "value_error": "sha256: and 64 hex digits",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_NAME_RULE = "letters, digits, dot, dash and underscore, a letter or digit first, at most 100"
_ENV_RULE = "letters, digits and underscores, no digit first"


def report(errors: Sequence[ErrorDetails], found: Collector) -> None:
    """Adds a problem for each error whose place has not been reported already."""
    for error in errors:
        path: KeyPath = tuple(step for step in error["loc"] if step != "[key]")
        if not found.covers(path):
            found.add(path, *_wording(error, path))


def _wording(error: ErrorDetails, path: KeyPath) -> tuple[str, str | None]:
    kind, value = error["type"], error["input"]
    context: dict[str, Any] = error.get("ctx") or {}
    if kind == "missing":
        return "is missing", "the job file must say it"
    if kind == "extra_forbidden":
        return "there is no such key", nearest(str(path[-1]), _fields(path[:-1]))
    if kind == "enum":
        return f"is {kind_of(value)}", f"it should be {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"{kind_of(value)} is not a name", _ENV_RULE if path[0] == "env" else _NAME_RULE
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"is {kind_of(value)}", f"it should be {words} {_number(context[key])}"
    if kind in _WANTED:
        return f"is {kind_of(value)}", f"it should be {_WANTED[kind]}"
    return error["msg"], None


def _number(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)


def _fields(path: KeyPath) -> list[str]:
    """The keys that a mapping of the job file knows."""
    if path == ("source",):
        return ["path", "git", "commit"]
    models: dict[KeyPath, type[BaseModel]] = {
        (): JobSpec,
        ("tolerance",): Tolerances,
        ("determinism",): Determinism,
        ("determinism", "trace"): Trace,
        ("resources",): Resources,
    }
    inner = InputSpec if path[:1] == ("inputs",) else Tolerance
    # `volatile` is a mark of single outputs and metrics, not a key here.
    return [name for name in models.get(path, inner).model_fields if not name.startswith("volatile")]
