"""Inputs that are no path: `data:NAME@VERSION`, named data, and `run:RUN/PATH`, outputs of an earlier run.

Only the form is read here; the record knows what a reference leads to (launch/submit/look_up_inputs.py). A
path that begins so is written with `./` before it.
"""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.typed_path import typed_path
from orchestrator.value import Value

DATA, RUN = "data:", "run:"
_DATA = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:@([1-9][0-9]{0,8}))?\Z")
_RUN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:@([^/]*))?(?:/(.*))?\Z", re.DOTALL)
_PICK = re.compile(r"latest\Z|(best|least)\(([^()/]{1,200})\)\Z")
_LONGEST = 4096  # characters

DATA_FORM = "data:NAME, or data:NAME@VERSION with a version such as 3"
RUN_FORM = (
    "run:RUN/PATH, run:ALIAS/PATH, or run:JOB@PICK/PATH, PICK being latest, best(METRIC) or least(METRIC)"
)


class DataReference(Value):
    """Named data. Without a version: the last one when it is looked up."""

    name: str
    version: int | None = None


class RunReference(Value):
    """Outputs of a run: of the one that `run` names, or of the run of a job that `pick` takes."""

    run: str  # an id, the beginning of one, an alias; with a pick, a job's name
    pick: str | None = None  # latest, best, least
    metric: str | None = None  # by which the best or least is taken
    path: str = ""  # an output, or a folder of outputs; empty: all outputs


InputReference = DataReference | RunReference


def is_reference(text: str) -> bool:
    return text.startswith((DATA, RUN))


def input_place(text: str | Path, what: str = "") -> str:
    """A place that a person names for an input, as a request has it: an absolute path, or the reference.

    UsageError as of `typed_path`. An address of the web stays as it is, and is refused as one.
    """
    if isinstance(text, str) and (is_reference(text) or "://" in text):
        return text
    return str(typed_path(text, what))


def read_reference(text: str) -> InputReference | None:
    """None for a path. ValueError, which says what is wrong in words, for a reference of no known form."""
    if not is_reference(text):
        return None
    if len(text) > _LONGEST or not text.isprintable():
        raise ValueError("has letters that no name has, or too many")
    if text.startswith(DATA):
        found = _DATA.match(text.removeprefix(DATA))
        if found is None:
            raise ValueError(f"is no name of data: write {DATA_FORM}")
        return DataReference(name=found[1], version=int(found[2]) if found[2] else None)
    return _run_reference(text.removeprefix(RUN))


def _run_reference(text: str) -> RunReference:
    found = _RUN.match(text)
    if found is None:
        raise ValueError(f"names no run: write {RUN_FORM}")
    run, pick, path = found.groups()
    fields = {"run": run, "path": _path(path or "")}
    if pick is None:
        return RunReference(**fields)
    picked = _PICK.match(pick)
    if picked is None:
        raise ValueError(f"takes no run by @{pick}: write {RUN_FORM}")
    return RunReference(**fields, pick=picked[1] or "latest", metric=picked[2])


def _path(text: str) -> str:
    """A path below the outputs, without a slash at its end."""
    path = text.removesuffix("/")
    if text and any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"{text} is no path below a run's outputs: no part of it may be empty, `.` or `..`")
    return path
