"""Reads the file name of a wheel, strictly."""

from __future__ import annotations

import re
from typing import NamedTuple

from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.wheel_address import quoted
from orchestrator.image.wheels.wheel_target import tags

_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._!+-]{0,250}\.whl", re.ASCII)


class WheelName(NamedTuple):
    package: str  # canonical
    version: str  # as packaging normalises it


def read_wheel_name(name: str, python: PythonFacts) -> WheelName | None:
    """Package and version in a wheel's file name; None for another target. ValueError: not a wheel's name."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    wrong = ValueError(f"{quoted(name)} is not a wheel's file name")
    if _FORM.fullmatch(name) is None:
        raise wrong
    try:
        package, version, _, fitting = parse_wheel_filename(name)
    except (InvalidWheelFilename, ValueError):
        raise wrong from None
    return None if fitting.isdisjoint(tags(python)) else WheelName(package, str(version))
