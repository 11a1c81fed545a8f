"""Whether numbers are read on a logarithmic scale: no job file says so, so their spread decides."""

from __future__ import annotations

import math
from collections.abc import Collection

DECADES = 2.0  # between the least and the greatest, from which on a scale is logarithmic
DISTINCT = 3  # numbers, at least


def is_logarithmic(numbers: Collection[float]) -> bool:
    """All above zero, three different ones or more, and the greatest at least a hundred times the least."""
    if len(set(numbers)) < DISTINCT or min(numbers) <= 0:
        return False
    return log10(max(numbers)) - log10(min(numbers)) >= DECADES


def log10(number: float) -> float:
    """Also of an integer that no float holds."""
    return math.log10(number)
