"""How much a test of a property tries: a quarter in `make test`, everything in `make acceptance`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
EVERYTHING = bool(os.environ.get("REPRISE_TESTS_ALL"))


def tries(count: int) -> int:
    return count if EVERYTHING else count // 4


def share(values: Sequence[T], number: int, of: int = 4) -> Sequence[T]:
    """One of that many parts of the values, another one for each number in a row."""
    return values if EVERYTHING else values[number % of :: of]
