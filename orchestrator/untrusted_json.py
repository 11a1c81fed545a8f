"""Untrusted JSON, read into models: reading ends at the first mistake.

pydantic collects every mistake, each in some 500 bytes: eight megabytes of `1,1,1,...` in the wrong place
took five gigabytes. Reading JSON, it also copies an object once for each field that the object lacks: a run
of 8 million unknown keys took twenty gigabytes. And an empty list, two bytes of text, takes sixty in memory.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import CoreSchema, SchemaValidator, from_json

M = TypeVar("M", bound=BaseModel)

# In a document. A million points of metrics have five million marks, three million keys.
MAX_MARKS = 8_000_000  # commas, brackets, braces
MAX_KEYS = 4_000_000  # colons
MAX_OBJECTS = 1_500_000
MAX_DEPTH = 500  # lists and objects in one another: half of what Python lets a function call itself
MAX_WIDTH = 20_000  # keys of one object: a run has 10,000 metrics
_STOPPING = frozenset({"list", "tuple", "set", "frozenset", "dict"})
_SHOWN = 10_000  # mistakes; of more, only the number is shown


def read_untrusted(model: type[M], data: bytes) -> M:
    """ValidationError with the first mistake of each list or object; ValueError for too many values."""
    for most, count, what in (
        (MAX_MARKS, marks(data), "values"),
        (MAX_KEYS, data.count(b":"), "keys"),
        (MAX_OBJECTS, data.count(b"{"), "objects"),
    ):
        if count > most:
            raise ValueError(f"more than {most:,} {what}")
    value = from_json(data)
    _check_width(value)
    return cast("M", _validator(model).validate_python(value))


def _check_width(value: Any) -> None:
    """Refuses wide objects: pydantic has no setting that stops at a model's first unknown key."""
    waiting = [value] if isinstance(value, (dict, list)) else []
    while waiting:
        inside: Any = waiting.pop()
        if isinstance(inside, dict):
            if len(inside) > MAX_WIDTH:
                raise ValueError(f"more than {MAX_WIDTH:,} keys in one object")
            inside = inside.values()
        waiting += [one for one in inside if type(one) in (dict, list)]


def strict_json(text: str | bytes, *, nan: bool = False) -> Any:
    """Parses JSON. ValueError for a key twice in one object, and for NaN and infinities without `nan`."""
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=None if nan else _no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    """How deep the parser goes is a matter of Python's version, and of 3.14 far deeper than we can follow."""
    level, depth = [value], 0
    while level := [one for one in level if type(one) in (dict, list)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        level = [inside for one in level for inside in (one.values() if type(one) is dict else one)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def marks(data: bytes) -> int:
    """Commas, brackets and braces of a document, which has at most one value more than these."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def first_problem(error: ValidationError) -> str:
    """`run.log.size: Input should be a valid integer`: in one line, without the value."""
    if error.error_count() > _SHOWN:
        return f"{error.error_count():,} mistakes, such as keys that are not known"
    found = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {found['msg']}" if where else str(found["msg"])


@cache
def _validator(model: type[BaseModel]) -> SchemaValidator:
    model.model_rebuild()  # a model gets its schema when it is first used, which may be here
    return SchemaValidator(cast("CoreSchema", _stopping(model.__pydantic_core_schema__)), _use_prebuilt=False)


def _stopping(schema: Any) -> Any:
    """The schema, changed so that reading a list or an object ends at its first mistake."""
    if isinstance(schema, list):
        return [_stopping(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: _stopping(one) if name != "metadata" else one for name, one in schema.items()}
    return changed | {"fail_fast": True} if schema.get("type") in _STOPPING else changed
