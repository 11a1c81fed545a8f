"""How strongly two columns are associated, from 0 to 1, whatever their kinds; Spearman's rank correlation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from orchestrator.analysis.importance.parameter_column import ABSENT, Column


def ranks(numbers: Sequence[float]) -> list[float]:
    """From 0; equal numbers share the mean of their ranks."""
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    found = [0.0] * len(numbers)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and numbers[order[end]] == numbers[order[start]]:
            end += 1
        for place in order[start:end]:
            found[place] = (start + end - 1) / 2
        start = end
    return found


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """The rank correlation of numbers without NaN; None where one of the lists is the same throughout."""
    return _pearson(ranks(a), ranks(b))


def _pearson(a: Sequence[float], b: Sequence[float]) -> float | None:
    if len(a) < 2:
        return None
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    varied_a = sum((x - mean_a) ** 2 for x in a)
    varied_b = sum((y - mean_b) ** 2 for y in b)
    if varied_a == 0 or varied_b == 0:
        return None
    together = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return max(-1.0, min(1.0, together / math.sqrt(varied_a * varied_b)))


def sign(column: Column, target: Sequence[float]) -> float | None:
    """The rank correlation of a parameter with the metric, over the runs that have the parameter.

    Its sign says whether more of the parameter goes with more of the metric. None for categories.
    """
    if not column.ordered:
        return None
    present = [place for place, code in enumerate(column.codes) if code != ABSENT]
    return spearman([column.codes[place] for place in present], [target[place] for place in present])


def association(a: Column, b: Column) -> float:
    """The rank correlation without its sign. Where a column holds categories: a measure that is like it, and
    is corrected for the number of categories.
    """
    if a.ordered and b.ordered:
        return abs(spearman(a.codes, b.codes) or 0.0)
    if a.ordered:
        return correlation_ratio(b.codes, a.codes)
    if b.ordered:
        return correlation_ratio(a.codes, b.codes)
    return _cramer(a.codes, b.codes)


def correlation_ratio(categories: Sequence[int], numbers: Sequence[float]) -> float:
    """How much of the numbers' ranks the categories explain, less what they would explain by chance."""
    of_each: dict[int, list[float]] = {}
    placed = ranks(numbers)
    for category, rank in zip(categories, placed, strict=True):
        of_each.setdefault(category, []).append(rank)
    runs, kinds = len(placed), len(of_each)
    mean = sum(placed) / runs
    whole = sum((rank - mean) ** 2 for rank in placed)
    if whole == 0 or kinds < 2 or kinds >= runs:
        return 0.0
    inside = sum((rank - sum(held) / len(held)) ** 2 for held in of_each.values() for rank in held)
    return math.sqrt(max(0.0, 1 - inside / whole * (runs - 1) / (runs - kinds)))


def _cramer(a: Sequence[int], b: Sequence[int]) -> float:
    """Cramér's V, corrected for chance."""
    runs, of_a, of_b = len(a), Counter(a), Counter(b)
    pairs = Counter(zip(a, b, strict=True))
    # Over the pairs that occur: the sum of seen²/expected, less n, is χ².
    phi = sum(seen * seen / (of_a[x] * of_b[y]) for (x, y), seen in pairs.items()) - 1
    if runs < 2:
        return 0.0
    phi = max(0.0, phi - (len(of_a) - 1) * (len(of_b) - 1) / (runs - 1))
    kinds = min(len(one) - (len(one) - 1) ** 2 / (runs - 1) for one in (of_a, of_b)) - 1
    return min(1.0, math.sqrt(phi / kinds)) if kinds > 0 else 0.0


def groups(columns: Sequence[Column], limit: float) -> list[list[int]]:
    """Columns, by their places, in groups: two whose association exceeds `limit` are in one group, and so are
    two that share such a partner. A column without a partner is a group of its own.
    """
    group = list(range(len(columns)))
    for one, first in enumerate(columns):
        for two in range(one):
            if group[one] != group[two] and association(first, columns[two]) > limit:
                old, new = group[one], group[two]
                group = [new if held == old else held for held in group]
    return [[place for place, held in enumerate(group) if held == one] for one in sorted(set(group))]
