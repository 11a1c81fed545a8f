"""Sizes and times, as job files and options have them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.sizes import parse_size, parse_span


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30m", 1800), ("1h30m", 5400), ("1h 30m", 5400), ("1d2h3m4.5s", 93784.5), ("2w", 1209600)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "1h30", "30m1h", "1h1h", "-1", "1e3", "inf", "9" * 400, "1:30", "٣m"]
)
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError):
        parse_span(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8GiB", 8 << 30),
        ("512MB", 512 << 20),
        ("2g", 2 << 30),
        ("7", 7),
        ("1.5 KiB", 1536),
        ("9007199254740993", (1 << 53) + 1),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "g", "1x", "-1g", "1e9", "9" * 20, "8192p", "1,5g"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


@given(st.text())
def test_nothing_but_a_value_error(text: str) -> None:
    for parse in (parse_size, parse_span):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0
