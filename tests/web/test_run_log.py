"""The log, searched and paged, as clean as `reprise logs` prints it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from support.records import no_run_is_read
from support.secret_lookups import SECRET, count_lookups
from support.web_fixtures import Site

from orchestrator.launch.session import Session
from orchestrator.web import live_hub
from orchestrator.web.pages import run_log
from orchestrator.web.pages.run_log import log_lines


def test_a_search_finds_lines_by_their_numbers(site: Site) -> None:
    found = site.server.json(f"/runs/{site.runs.best}/log?find=EPOCH+3:&format=json")
    assert found["lines"] == [{"line": 4, "text": "epoch 3: loss 0.2500"}]
    assert (found["found"], found["total"]) == (1, 40)
    assert site.server.json(f"/runs/{site.runs.best}/log?find=none&format=json")["found"] == 0


def test_no_page_of_a_log_reads_the_whole_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have left 100,000 outputs."""
    no_run_is_read(monkeypatch)
    for name in ("best", "failed", "running", "queued", "hostile"):
        found = site.server.ask(f"/runs/{getattr(site.runs, name)}/log")
        assert (found.status, "a whole run" in found.text) == (200, False), name
    assert "the record keeps its head and tail" in site.server.ask(f"/runs/{site.runs.failed}/log").text


def test_a_line_is_led_to(site: Site) -> None:
    found = site.server.json(f"/runs/{site.runs.best}/log?at=200&format=json")
    assert (found["total"], found["lines"][-1]["line"]) == (40, 40)
    found = site.server.json(f"/runs/{site.runs.best}/log?at=1&format=json")
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


@pytest.mark.parametrize("size", [5_000, 70_000, 300_000])
def test_what_stands_in_a_long_line_is_found(site: Site, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A progress bar, a printed tensor, a base64 text: longer than a line that is shown, or that is held."""
    text = b"first\n" + b"x" * size + b"needle" + b"y" * size + b"\nlast"
    monkeypatch.setattr(run_log, "log_chunks", lambda *_, **__: iter(_pieces(text, 1 << 16)))
    with Session(site.server.settings) as session:
        run = session.record.logged_run(site.runs.best)
        found = log_lines(session, run, find="NEEDLE")
        assert found.found == 1
        assert found.lines[0][0] == 2
        assert "needle" in found.lines[0][1]
        assert len(found.lines[0][1]) <= run_log.LONGEST_LINE + 2
        whole = log_lines(session, run)
        assert [number for number, _ in whole.lines] == [1, 2, 3]
        assert whole.lines[1][1].endswith("x…"), "what is left out is marked"
        monkeypatch.setattr(run_log, "LONGEST_HELD", 40_000)
        assert log_lines(session, run).lines[-1][1] == "last"


def _pieces(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def test_secrets_are_looked_up_once_for_a_whole_log(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log has hundreds of thousands of lines. Each is without the secrets, wherever its chunk ends."""
    looked = count_lookups(monkeypatch)
    text = "".join(f"line {number} {SECRET}\n" for number in range(1000)).encode()
    monkeypatch.setattr(run_log, "log_chunks", lambda *_, **__: iter(_pieces(text, 7)))
    with Session(site.server.settings) as session:
        run = session.record.logged_run(site.runs.best)
        looked.clear()
        found = log_lines(session, run, limit=1000)
        assert found.lines == [(number, f"line {number - 1} ***") for number in range(1, 1001)]
        assert log_lines(session, run, find="hunter").found == 0
        assert len(looked) == 2
    lines = live_hub._LogTail()
    looked.clear()
    assert lines.read(iter(_pieces(text, 7))).last[-1] == "line 999 ***"
    assert len(looked) == 1
