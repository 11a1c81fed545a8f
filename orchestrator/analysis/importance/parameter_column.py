"""A parameter's values in all runs, as codes that a tree can split.

Numbers become their rank, so that a tree does not see whether an axis is linear or logarithmic. Texts, truth
values and mixed columns become categories. A run without the parameter is a category of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Scalar = bool | int | float | str | None
ABSENT = -1  # the code of a run that has no such parameter, or NaN


class Column(NamedTuple):
    name: str
    codes: list[int]  # one a run: 0, 1, 2, …, or ABSENT
    distinct: int  # codes without ABSENT
    ordered: bool  # numbers: a code is a rank

    @property
    def absent(self) -> bool:
        return ABSENT in self.codes

    @property
    def constant(self) -> bool:
        return self.distinct + self.absent < 2

    def at(self, rows: Sequence[int]) -> Column:
        return self._replace(codes=[self.codes[row] for row in rows])


def column_of(name: str, values: Sequence[Scalar], target: Sequence[float]) -> Column:
    """`target`: the metric of the same runs. Categories are numbered by it, so their names decide nothing."""
    present = [value for value in values if not _is_absent(value)]
    ordered = all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)
    if ordered:
        rank = {value: number for number, value in enumerate(sorted(set(present)))}  # type: ignore[type-var]
        codes = [ABSENT if _is_absent(value) else rank[value] for value in values]
        return Column(name, codes, len(rank), True)
    words = [None if _is_absent(value) else _word(value) for value in values]
    reached: dict[str, list[float]] = {}
    for word, number in zip(words, target, strict=True):
        if word is not None:
            reached.setdefault(word, []).append(number)
    order = sorted(reached, key=lambda word: (sorted(reached[word]), word))
    place = {word: number for number, word in enumerate(order)}
    return Column(name, [ABSENT if word is None else place[word] for word in words], len(order), False)


def columns_of(runs: Sequence[Mapping[str, Scalar]], target: Sequence[float]) -> list[Column]:
    """Of every parameter that some run has, sorted by name; those that are the same in all, too."""
    names = sorted({name for run in runs for name in run})
    return [column_of(name, [run.get(name) for run in runs], target) for name in names]


def _is_absent(value: Scalar) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _word(value: Scalar) -> str:
    """Different values have different words: the text "1" is not the number 1."""
    return f"{'text' if isinstance(value, str) else 'value'} {value}"
