"""The log, searched and paged, as clean as `reprise logs` prints it."""

from __future__ import annotations

import json
from urllib.parse import quote

from support.web_fixtures import Site


def test_a_search_finds_lines_by_their_numbers(site: Site) -> None:
    found = json.loads(site.server.ask(f"/runs/{site.runs.best}/log?find=EPOCH+3:&format=json").text)
    assert found["lines"] == [{"line": 4, "text": "epoch 3: loss 0.2500"}]
    assert (found["found"], found["total"]) == (1, 40)
    assert json.loads(site.server.ask(f"/runs/{site.runs.best}/log?find=none&format=json").text)["found"] == 0


def test_a_line_is_led_to(site: Site) -> None:
    found = json.loads(site.server.ask(f"/runs/{site.runs.best}/log?at=200&format=json").text)
    assert found["total"] >= 40
    found = json.loads(site.server.ask(f"/runs/{site.runs.best}/log?at=1&format=json").text)
    assert [one["line"] for one in found["lines"]] == list(range(1, 41))
    for odd in ("x", "-1", "9" * 50, "²"):
        assert site.server.ask(f"/runs/{site.runs.best}/log?at={quote(odd)}").status == 200


def test_escapes_are_gone(site: Site) -> None:
    text = site.server.ask(f"/runs/{site.runs.hostile}/log").text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_no_log_is_told(site: Site) -> None:
    assert "has not begun" in site.server.ask(f"/runs/{site.runs.queued}/log").text
