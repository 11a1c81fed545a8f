"""`/series`: points of a metric, for charts."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from support.seeded_record import HOSTILE, STEPS
from support.web_fixtures import Site

from orchestrator.web.pages import metric_charts


def test_points_of_several_runs_come_in_one_answer(site: Site) -> None:
    a, b = site.runs.grid[:2]
    answer = site.server.ask(f"/series?runs={a},{b}&metric=loss")
    assert answer.headers["content-type"] == "application/json"
    lines = json.loads(answer.text)["lines"]
    assert [line["run"] for line in lines] == [a, b]
    assert lines[0]["x"] == list(range(STEPS))
    assert lines[0]["y"][0] == 1.001
    assert (lines[0]["points"], lines[0]["not_numbers"], lines[0]["reduced"]) == (STEPS, 0, False)
    across = site.server.json(f"/series?runs={a}&metric=loss&x=metric:accuracy")["lines"][0]
    assert across["x"] == sorted(across["x"])
    assert across["x"][-1] < 1


def test_points_go_by_the_time_since_each_runs_start(site: Site) -> None:
    a, b = site.runs.grid[:2]
    first, second = site.server.json(f"/series?runs={a},{b}&metric=loss&x=time")["lines"]
    assert first["x"] == second["x"] == [step * 1.5 for step in range(STEPS)]
    assert "without_times" not in first
    [line] = site.server.json(f"/series?runs={a}&metric=accuracy&x=time")["lines"]
    assert (line["x"], line["without_times"]) == ([], STEPS)
    mark = '<option value="time" selected>'
    for page, more in ((f"/runs/{a}", "?x=time"), (f"/compare?runs={a},{b}", "&x=time")):
        assert mark in site.server.ask(page + more).text
        assert mark not in site.server.ask(page).text


def test_odd_questions_have_plain_answers(site: Site) -> None:
    run = site.runs.best
    for asked in ("smooth=nan", "smooth=1e999", "width=-5", "width=1e9", "smooth=x&width=", "x=metric:"):
        assert site.server.ask(f"/series?runs={run}&metric=loss&{asked}").status == 200, asked
    for name in (*HOSTILE, "nothing"):
        answer = site.server.ask(f"/series?runs={run}&metric={quote(name)}")
        assert json.loads(answer.text)["lines"][0]["x"] == []
    assert site.server.ask("/series?metric=loss").status == 400
    assert site.server.ask(f"/series?runs={','.join('f' * 16 for _ in range(3))}x&metric=a").status == 400


@pytest.mark.parametrize(
    ("limit", "most", "drawn"),
    [
        ("MOST_READ", STEPS + 1, 2),
        ("MOST_READ", STEPS, 1),
        ("MOST_SECONDS", 0.0, 1),
        ("MOST_READ", 3 * STEPS, 3),
    ],
)
def test_one_answer_ends_and_says_what_it_left_out(
    site: Site, monkeypatch: pytest.MonkeyPatch, limit: str, most: float, drawn: int
) -> None:
    """A hundred runs with a million points each held a thread of the server for half an hour."""
    monkeypatch.setattr(metric_charts, limit, most)
    runs = site.runs.grid[:3]
    answer = site.server.json(f"/series?runs={','.join(runs)}&metric=loss")
    assert [line["run"] for line in answer["lines"]] == list(runs[:drawn])
    assert answer["left_out"] == list(runs[drawn:])
