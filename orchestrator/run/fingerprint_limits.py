"""Limits on a fingerprint: it may come from a bundle or a row that somebody else wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 5000  # values in one group
DEEP = 6  # groups and lists inside each other
LONG = 4000  # characters of one text

_TEXT, _COUNT, _LIST, _GROUP = (str, type(None)), (int, type(None)), (list, tuple), (dict,)
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("cpu_vendor", "machine", "driver", "cpu_model", "microcode", "kernel", "os"), _TEXT),
    **dict.fromkeys(("engine", "storage", "cgroup", "box"), _TEXT),
    **dict.fromkeys(("world_size", "cores", "cpus_allowed", "memory", "numa_nodes"), _COUNT),
    **dict.fromkeys(("gpus", "vbios", "cpu_isa", "power_limits", "ecc"), _LIST),
    "effective": _GROUP,
}


def checked_facts(group: Mapping[str, Any]) -> dict[str, Any]:
    """The group. ValueError where a known name has another type of value, or it is too deep or too large."""
    for name, kinds in _KINDS.items():
        if name in group and not isinstance(group[name], kinds):
            raise ValueError(f"{name} is {type(group[name]).__name__}, not {kinds[0].__name__}")
    for name in ("vbios", "cpu_isa"):
        if not all(isinstance(item, str) for item in group.get(name) or ()):
            raise ValueError(f"{name} holds what is no text")
    left = [MOST]
    _check(group, DEEP, left)
    return dict(group)


def _check(value: Any, deep: int, left: list[int]) -> None:
    left[0] -= 1
    if deep < 0 or left[0] < 0:
        raise ValueError("it is too deep or too large for facts of a box")
    if isinstance(value, str) and len(value) > LONG:
        raise ValueError(f"a text of {len(value)} characters")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check(name, deep - 1, left)
            _check(inner, deep - 1, left)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner, deep - 1, left)
