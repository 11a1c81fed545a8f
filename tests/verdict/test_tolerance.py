from __future__ import annotations

import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.verdict.tolerance import same_bits, within

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("a", "b", "absolute", "rel", "expected"),
    [
        (1.0, 1.5, 0.5, 0.0, True),
        (1.0, 1.5000001, 0.5, 0.0, False),
        (2.0, 3.0, 0.0, 0.5, True),
        (3.0, 2.0, 0.0, 0.5, True),
        (2.0, 3.1, 0.0, 0.5, False),
        (2.0, 3.1, 0.1, 0.5, True),
        (-2.0, -3.0, 0.0, 0.5, True),
        (0.0, 1e-300, 0.0, 1e300, False),  # relative to an original of zero is zero
        (0.0, -0.0, 0.0, 0.0, True),
        (NAN, NAN, 0.0, 0.0, True),
        (NAN, 0.0, INF, INF, False),
        (0.0, NAN, INF, INF, False),
        (INF, INF, 0.0, 0.0, True),
        (INF, -INF, INF, INF, False),
        (INF, 1.0, 0.0, 1.0, False),
        (1.0, INF, INF, 0.0, False),
        (1.0, 2.0, INF, 0.0, True),
        (1.0, 2.0, 0.0, INF, True),
        (0.0, 2.0, 0.0, INF, False),
        (0.0, 0.5, 1.0, INF, True),
        (1e308, -1e308, 0.0, 1.9, False),
        (1e308, -1e308, 0.0, 2.0, True),
        (1.5e308, -1.5e308, 1.7e308, 0.7, False),
        (1.5e308, -1.5e308, 1.7e308, 0.9, True),
    ],
)
def test_the_rule(a, b, absolute, rel, expected):
    assert within(a, b, Tolerance(abs=absolute, rel=rel)) is expected


def test_it_is_the_original_that_rel_refers_to():
    assert within(10.0, 9.0, Tolerance(rel=0.1))
    assert not within(9.0, 10.0, Tolerance(rel=0.1))


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, FINITE, st.floats(0, 1e308), st.floats(0, 1e10))
def test_it_agrees_with_exact_arithmetic_but_for_rounding(a, b, absolute, rel):
    distance = abs(Fraction(a) - Fraction(b))
    limit = Fraction(absolute) + Fraction(rel) * abs(Fraction(a))
    slack = (distance + limit) / 2**50 + Fraction(5e-324) * 4
    if abs(distance - limit) > slack:
        assert within(a, b, Tolerance(abs=absolute, rel=rel)) is (distance <= limit)


@given(st.floats(), st.floats())
def test_the_same_bits(a, b):
    expected = struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))
    assert same_bits(a, b) is expected
    assert same_bits(a, a)
    assert not same_bits(0.0, -0.0)
