"""The axes on which runs are drawn beside each other: a parameter or a metric each, numbers or categories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.analysis.importance.parameter_column import Scalar
from orchestrator.analysis.number_scale import is_logarithmic, share_between

MOST_CATEGORIES = 60  # of one axis; of more no two could be told apart


class Axis(NamedTuple):
    name: str
    numbers: bool
    logarithmic: bool
    categories: list[str]  # in their order on the axis; empty for numbers
    places: list[float | None]  # of each run: its number, or the place of its category; None: it has none


def axis_of(name: str, values: Sequence[Scalar]) -> Axis | None:
    """None for what cannot be drawn: no value at all, or too many different texts.

    Numbers that no double holds, NaN and infinities have no place.
    """
    present = [value for value in values if value is not None]
    if not present:
        return None
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        places = [_number(value) for value in values]
        found = [place for place in places if place is not None]
        return Axis(name, True, is_logarithmic(found), [], places) if found else None
    words = [None if value is None else str(value) for value in values]
    kinds = sorted({word for word in words if word is not None})
    if len(kinds) > MOST_CATEGORIES:
        return None
    order = {word: float(place) for place, word in enumerate(kinds)}
    return Axis(name, False, False, kinds, [None if word is None else order[word] for word in words])


def along(axis: Axis, logarithmic: bool) -> list[float | None]:
    """Where each run lies, 0 at the least to 1 at the greatest."""
    known = [place for place in axis.places if place is not None]
    logged = logarithmic and min(known) > 0

    def scaled(place: float) -> float:
        return math.log10(place) if logged else place

    ends = scaled(min(known)), scaled(max(known))
    return [None if place is None else share_between(scaled(place), *ends) for place in axis.places]


def _number(value: Scalar) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (OverflowError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
