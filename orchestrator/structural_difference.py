"""Where two documents differ: the one comparison of programs, records, image configs and rows, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def differences(a: Any, b: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, a's value, b's value) of each leaf that differs: `outputs.model.pt.digest`. For JSON's types.

    Keys are sorted; an absent key equals one that holds None. Lists of equal length are compared entry by
    entry, and an entry is called by its `name` or `path` where it has one. 1, 1.0 and true differ.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted(a.keys() | b.keys()):
            yield from differences(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            name = one.get("name") or one.get("path") if isinstance(one, Mapping) else None
            yield from differences(one, other, f"{path}.{name or index}" if path else str(name or index))
    elif _unequal(a, b):
        yield path, a, b


def _unequal(a: Any, b: Any) -> bool:
    """By repr, numbers of two types differ, 0.0 differs from -0.0, and NaN is equal to NaN."""
    return repr(a) != repr(b) if isinstance(a, int | float) or isinstance(b, int | float) else bool(a != b)


def unequal_names(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Sorted names that only one of the two has, or whose values differ."""

    def unequal(name: str) -> bool:
        if name not in a or name not in b:
            return True
        return next(differences(a[name], b[name]), None) is not None

    return [name for name in sorted(a.keys() | b.keys()) if unequal(name)]
