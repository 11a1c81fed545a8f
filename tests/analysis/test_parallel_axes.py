"""Axes of any stored values: numbers, categories, none."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.parallel_axes import MOST_CATEGORIES, along, axis_of


def test_numbers_and_categories_have_places() -> None:
    rates = axis_of("lr", [0.1, None, 0.001, 1])
    assert rates is not None
    assert (rates.numbers, rates.logarithmic, rates.places) == (True, True, [0.1, None, 0.001, 1.0])
    placed = along(rates, True)
    assert placed[1] is None
    assert [None if one is None else round(one, 6) for one in placed] == [round(2 / 3, 6), None, 0.0, 1.0]
    words = axis_of("optimizer", ["sgd", "adam", None, True])
    assert words is not None
    assert (words.categories, words.places) == (["True", "adam", "sgd"], [2.0, 1.0, None, 0.0])


def test_what_cannot_be_drawn_has_no_axis() -> None:
    assert axis_of("nothing", [None, None]) is None
    assert axis_of("nan", [math.nan, math.inf]) is None
    assert axis_of("path", [f"run {number}" for number in range(MOST_CATEGORIES + 1)]) is None


@given(st.lists(st.none() | st.integers() | st.floats() | st.booleans() | st.text(max_size=3), max_size=20))
def test_every_value_lies_on_its_axis_or_nowhere(values: list[Any]) -> None:
    axis = axis_of("x", values)
    if axis is not None:
        assert len(axis.places) == len(values)
        for logarithmic in (False, axis.logarithmic):
            assert all(one is None or 0 <= one <= 1 for one in along(axis, logarithmic))
