"""Finds an event in the lines of a trace, and changes it."""

from __future__ import annotations

from typing import Any


def event(lines: list[Any], kind: str, step: int) -> dict[str, Any]:
    return next(line for line in lines if line.get("e") == kind and line["s"] == step)


def change_digest(line: dict[str, Any], index: int) -> None:
    """Another digit in the digest of one tensor."""
    if "d" in line:
        at = index * 16
        line["d"] = line["d"][:at] + ("0" if line["d"][at] != "0" else "1") + line["d"][at + 1 :]
    else:
        row = line["v"][index]
        row[2] = ("0" if row[2][0] != "0" else "1") + row[2][1:]
