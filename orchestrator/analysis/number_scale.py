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
    return math.log10(max(numbers)) - math.log10(min(numbers)) >= DECADES


def share_between(value: float, low: float, high: float) -> float:
    """Where a number lies, 0 at `low` to 1 at `high`; 0.5 where these are equal.

    Halves are subtracted: the distance of two large doubles may be too large for a double.
    """
    half = high / 2 - low / 2
    return min(max((value / 2 - low / 2) / half, 0.0), 1.0) if half > 0 else 0.5
