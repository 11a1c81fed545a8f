"""Charts lose no spike, say what they left out, and smooth before they thin out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.series_reduction import drawn_line, smooth

_finite = st.floats(-1e300, 1e300)


def test_one_spike_of_a_hundred_thousand_points_stays() -> None:
    y = [math.sin(at / 1000) for at in range(100_000)]
    y[43_210], y[76_543] = 50.0, -50.0
    line = drawn_line(range(100_000), y, 500)
    assert (line.x[line.y.index(50.0)], line.x[line.y.index(-50.0)]) == (43_210, 76_543)
    assert (line.x[0], line.x[-1]) == (0, 99_999)
    assert len(line.x) <= 1002
    assert line.reduced
    assert (line.points, line.not_numbers) == (100_000, 0)


def test_smoothing_comes_before_thinning_out() -> None:
    y = [float(at % 2) for at in range(10_000)]
    line = drawn_line(range(10_000), y, 100, 0.99)
    assert all(0.4 < value < 0.6 for value in line.y[20:]), "thinned out first, only extremes would be left"


def test_what_is_no_number_is_counted_and_said_where() -> None:
    line = drawn_line([10, 20, 30, 40], [1.0, math.nan, math.inf, 2.0], 10)
    assert (line.x, line.y) == ([10, 40], [1.0, 2.0])
    assert (line.not_numbers, line.first_not_number) == (2, 20)
    assert not line.reduced
    empty = drawn_line([1], [math.nan], 10)
    assert (empty.x, empty.first_not_number) == ([], 1)
    assert drawn_line([], [], 10).x == []


def test_steps_that_go_back_are_drawn_from_left_to_right() -> None:
    assert drawn_line([3, 1, 2], [30.0, 10.0, 20.0], 10)[:2] == ([1, 2, 3], [10.0, 20.0, 30.0])


@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats()), max_size=300),
    st.integers(1, 50),
)
def test_extremes_and_ends_stay(points: list[tuple[int, float]], stretches: int) -> None:
    line = drawn_line([x for x, _ in points], [y for _, y in points], stretches)
    good = sorted(((x, y) for x, y in points if math.isfinite(y)), key=lambda point: point[0])
    assert line.not_numbers == len(points) - len(good)
    assert line.x == sorted(line.x)
    if good:
        assert (min(line.y), max(line.y)) == (min(y for _, y in good), max(y for _, y in good))
        assert (line.x[0], line.x[-1]) == (good[0][0], good[-1][0])
    assert set(zip(line.x, line.y, strict=True)) <= set(good)


@given(st.lists(_finite, min_size=1, max_size=50), st.floats(0, 1))
def test_a_smoothed_value_lies_between_what_there_was(values: list[float], weight: float) -> None:
    found = smooth(values, weight)
    assert len(found) == len(values)
    assert found[0] == pytest.approx(values[0])
    span = max(abs(value) for value in values)
    assert all(abs(value) <= span * (1 + 1e-9) for value in found)


def test_equal_values_stay_as_they_are() -> None:
    assert smooth([0.1] * 1000, 0.97) == [0.1] * 1000


def test_values_at_both_ends_of_a_double_are_smoothed_and_parted() -> None:
    y = [1.7e308, -1.7e308] * 3
    assert all(map(math.isfinite, smooth(y, 0.5)))
    x = [(at - 50) * 3.4e306 for at in range(101)]
    line = drawn_line(x, [float(at % 7) for at in range(101)], 10)
    assert len(line.x) > 15, "each stretch has its own least and greatest"
