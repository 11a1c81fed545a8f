"""Inputs of runs, in words: what was asked for, and where it was found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from orchestrator.digest import Digest
from orchestrator.record.run_record import InputOrigin


def origin_text(origin: InputOrigin) -> str:
    """`mnist@3`; `model.pt of run ID`; with what was asked for where that says less or more."""
    found = found_text(origin)
    plain = (f"data:{found}", f"run:{origin.run}/{origin.path}", f"run:{origin.run}")
    return found if origin.asked in plain else f"{found}, asked for as {origin.asked}"


def found_text(origin: InputOrigin) -> str:
    if origin.data is not None:
        return f"{origin.data}@{origin.version}"
    return f"{origin.path or 'all outputs'} of run {origin.run}"


def input_lines(
    inputs: Mapping[str, Digest], origins: Mapping[str, InputOrigin], untrue: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """`input NAME` and its digest, with where it was looked up.

    `untrue`: names of inputs that have other bytes there, in this record.
    """
    for name, digest in sorted(inputs.items()):
        origin = origins.get(name)
        if origin is None:
            yield f"input {name}", digest
        elif name in untrue:
            yield f"input {name}", f"{digest}  (said to be {origin_text(origin)}, which is other bytes here)"
        else:
            yield f"input {name}", f"{digest}  ({origin_text(origin)})"
