"""A metric's points, smoothed and made few enough to be drawn, so that no spike is lost.

They are smoothed before they are made few: an average over what is left would be another one. Then each
stretch of the axis, about a pixel wide, keeps its least and its greatest value; the first and the last point
stay, too. A million points become a thousand stretches in a fraction of a second of plain Python.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import compress, islice
from typing import NamedTuple

MOST_STRETCHES = 4000  # wider than any screen
HEAVIEST = 0.999  # the strongest smoothing


class Line(NamedTuple):
    """What is drawn, from left to right, and what was left out."""

    x: list[float]
    y: list[float]
    points: int  # how many were given
    not_numbers: int  # how many of those are NaN or infinite, and so are not drawn
    first_not_number: float | None  # the x of the first of them

    @property
    def reduced(self) -> bool:
        return len(self.x) < self.points - self.not_numbers


def drawn_line(x: Sequence[float], y: Sequence[float], stretches: int, weight: float = 0.0) -> Line:
    """The points (x, y), smoothed and reduced to two for each stretch of the axis, at the most.

    `x` is finite and may be in any order. `weight`: how strongly it is smoothed, 0 (not at all) to 1.
    """
    places: Sequence[float] = x
    values: Sequence[float] = y
    if any(second < first for first, second in zip(x, islice(x, 1, None), strict=False)):
        order = sorted(range(len(x)), key=x.__getitem__)
        places, values = [x[at] for at in order], [y[at] for at in order]
    good = list(map(math.isfinite, values))
    lost = len(good) - sum(good)
    first = places[good.index(False)] if lost else None
    if lost:
        places, values = list(compress(places, good)), list(compress(values, good))
    if weight > 0:
        values = smooth(values, weight)
    kept = _kept(places, values, max(1, min(stretches, MOST_STRETCHES)))
    return Line([places[at] for at in kept], [values[at] for at in kept], len(y), lost, first)


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """The average of what came so far, each older value counting `weight` times as much as the next.

    The beginning is not pulled towards zero. Values are finite.
    """
    weight = min(max(weight, 0.0), HEAVIEST)
    found, average, counted = [], 0.0, 0.0
    for value in values:
        counted = counted * weight + (1 - weight)
        # A step from the average towards the value: equal values have exactly that value as their average.
        share = (1 - weight) / counted
        apart = value - average
        if math.isfinite(apart):
            average += apart * share
        else:  # the difference of the two is too large for a double
            average = average * (1 - share) + value * share
        found.append(average)
    return found


def _kept(x: Sequence[float], y: Sequence[float], stretches: int) -> list[int]:
    """Places of the points that are drawn, in order."""
    if len(x) <= 2 * stretches + 2:
        return list(range(len(x)))
    least, greatest = x[0], x[-1]
    found = {0, len(x) - 1}
    start = 0
    for number in range(1, stretches + 1):
        share = number / stretches  # no `greatest - least`: that may be too large for a double
        edge = least * (1 - share) + greatest * share
        end = bisect_left(x, edge, start) if number < stretches else len(x)
        if end > start:
            part = y[start:end]
            found.add(start + part.index(min(part)))
            found.add(start + part.index(max(part)))
        start = end
    return sorted(found)
