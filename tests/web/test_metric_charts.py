"""`/series`: points of a metric, for charts."""

from __future__ import annotations

import json
from urllib.parse import quote

from support.seeded_record import HOSTILE, STEPS
from support.web_fixtures import Site


def test_points_of_several_runs_come_in_one_answer(site: Site) -> None:
    a, b = site.runs.grid[:2]
    answer = site.server.ask(f"/series?runs={a},{b}&metric=loss")
    assert answer.headers["content-type"] == "application/json"
    lines = json.loads(answer.text)["lines"]
    assert [line["run"] for line in lines] == [a, b]
    assert lines[0]["x"] == list(range(STEPS))
    assert lines[0]["y"][0] == 1.001
    assert (lines[0]["points"], lines[0]["not_numbers"], lines[0]["reduced"]) == (STEPS, 0, False)
    across = json.loads(site.server.ask(f"/series?runs={a}&metric=loss&x=metric:accuracy").text)["lines"][0]
    assert across["x"] == sorted(across["x"])
    assert across["x"][-1] < 1


def test_odd_questions_have_plain_answers(site: Site) -> None:
    run = site.runs.best
    for asked in ("smooth=nan", "smooth=1e999", "width=-5", "width=1e9", "smooth=x&width=", "x=metric:"):
        assert site.server.ask(f"/series?runs={run}&metric=loss&{asked}").status == 200, asked
    for name in (*HOSTILE, "nothing"):
        answer = site.server.ask(f"/series?runs={run}&metric={quote(name)}")
        assert json.loads(answer.text)["lines"][0]["x"] == []
    assert site.server.ask("/series?metric=loss").status == 400
    assert site.server.ask(f"/series?runs={','.join('f' * 16 for _ in range(3))}x&metric=a").status == 400
