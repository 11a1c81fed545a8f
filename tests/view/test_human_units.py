"""Sizes, times and numbers."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from orchestrator.view.forms import human_units

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
    ],
)
def test_sizes(count: int, expected: str) -> None:
    assert human_units.size_text(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (0.004, "0.00 s"),
        (9.999, "10.0 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3725, "1 h 02 min"),
        (100_000, "1 d 03 h"),
    ],
)
def test_spans(seconds: float | None, expected: str) -> None:
    assert human_units.span_text(seconds) == expected


def test_clock_and_numbers() -> None:
    assert [human_units.clock_text(value) for value in (0.9, 75, 3675)] == ["0:00", "1:15", "1:01:15"]
    assert [human_units.number_text(value) for value in (0.1 + 0.2, float("nan"), float("-inf"))] == [
        "0.3",
        "nan",
        "-inf",
    ]


def test_moments_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    try:
        assert human_units.moment_text(NOW) == "2026-11-23 17:30:00"
    finally:
        monkeypatch.undo()
        time.tzset()
