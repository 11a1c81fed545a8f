"""How the values of options are read."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.cli.options import parse_since

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def test_since_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    try:
        assert parse_since("2026-11-23T17:30") == NOW
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("given", "back"),
    [
        ("2d", timedelta(days=2)),
        ("3h", timedelta(hours=3)),
        ("1.5h", timedelta(minutes=90)),
        (" 1w ", timedelta(weeks=1)),
    ],
)
def test_since_a_span(given: str, back: timedelta) -> None:
    assert parse_since(given, NOW) == NOW - back


def test_since_a_time() -> None:
    assert parse_since("2026-11-20T10:00:00+02:00") == datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize("given", ["", "yesterday", "2x", "-2d", "2026", "5", "d", "٣h"])
def test_since_refuses(given: str) -> None:
    with pytest.raises(ValueError):
        parse_since(given, NOW)
