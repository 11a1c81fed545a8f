"""The table of runs: its address is its state."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from html import unescape
from urllib.parse import quote, urlencode

import pytest
from support.records import finish_run, new_run
from support.web_fixtures import Site

from orchestrator.record.record import open_record


def rows_of(text: str) -> list[str]:
    return re.findall(r'<tr id="r-([0-9a-f]{16})"', text)


def heads_of(text: str) -> list[str]:
    row = text.partition("<thead>")[2].partition("</thead>")[0]
    return [re.sub(r"<[^>]+>", "", head).strip() for head in re.findall(r"<th .*?</th>", row)][1:]


def ask(site: Site, **values: str) -> str:
    found = site.server.ask(f"/?{urlencode(values)}")
    assert found.status == 200
    return found.text


def test_a_filter_and_an_order_stand_in_the_address(site: Site) -> None:
    where = "params.lr < 0.05 and params.optimizer == 'adam' and job == 'digits'"
    text = ask(site, where=where, sort="-metrics.accuracy")
    assert len(rows_of(text)) == 6
    assert rows_of(text)[0] == site.runs.grid[5], "0.01 with the third seed"
    assert f'value="{where}"' in unescape(text)
    assert 'aria-sort="descending"' in text


def test_only_what_differs_is_shown_and_columns_can_be_chosen(site: Site) -> None:
    grid = "params.optimizer == 'adam'"
    heads = [head.rstrip(" ↑↓") for head in heads_of(ask(site, where=grid))]
    assert {"run", "lr", "accuracy", "loss", "seed"} <= set(heads)
    assert {"layers", "optimizer", "job", "image"} & set(heads) <= {"image"}
    chosen = ask(site, where=grid, columns="params.layers,metrics.loss.min")
    assert heads_of(chosen) == ["run", "layers", "loss.min"]
    assert "accuracy" in heads_of(ask(site, columns="all"))


@pytest.mark.parametrize(
    "values", [{"where": "params.lr <"}, {"columns": "nonsense"}, {"sort": "metrics.none"}]
)
def test_what_cannot_be_read_is_told_where_it_can_be_mended(site: Site, values: dict[str, str]) -> None:
    found = site.server.ask(f"/?{urlencode(values)}")
    assert found.status == 400
    assert 'role="alert"' in found.text
    assert 'name="where"' in found.text


def test_a_message_of_a_page_is_whole(site: Site) -> None:
    words = "job = '--where: <b>[/] --columns: x'"
    found = site.server.ask(f"/?{urlencode({'where': words})}")
    assert f"`{words[4:34]}`" in unescape(found.text).partition('role="alert">')[2]


def test_pages_follow_each_other_and_miss_no_run(site: Site) -> None:
    seen: list[str] = []
    path = "/?limit=5"
    while path:
        text = site.server.ask(path).text
        seen += rows_of(text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = unescape(following[1]) if following else ""
    assert len(seen) == len(set(seen)) == len(rows_of(ask(site))) == 14


def test_seeds_are_taken_together(site: Site) -> None:
    found = json.loads(ask(site, group="seed", where="job == 'digits'", format="json"))
    groups = {(one["params"]["lr"], one["params"].get("optimizer")): one for one in found["groups"]}
    best = groups[(0.01, "adam")]
    assert len(best["runs"]) == 3
    assert best["metrics"]["accuracy"]["values"] == 3
    assert best["metrics"]["accuracy"]["spread"] == pytest.approx(0.001, rel=0.05)
    assert groups[(10.0, "sgd")]["failed"] == 1
    text = ask(site, group="seed", where="job == 'digits'")
    assert "1 of 1 failed" in text
    links = [unescape(one) for one in re.findall(r'<a href="(/\?where=[^"]+)">runs</a>', text)]
    assert any(set(rows_of(site.server.ask(link).text)) == set(best["runs"]) for link in links)


def test_a_group_of_odd_names_leads_to_its_runs(site: Site) -> None:
    text = ask(site, group="seed", where="job == 'hostile'")
    (link,) = re.findall(r'<a href="(/\?where=[^"]+)">runs</a>', text)
    assert rows_of(site.server.ask(unescape(link)).text) == [site.runs.hostile]


def test_csv_of_what_is_seen_holds_no_formula(site: Site) -> None:
    found = site.server.ask("/?format=csv&columns=all&where=" + quote("job == 'hostile'"))
    assert found.headers["content-type"] == "text/csv; charset=utf-8"
    assert found.headers["content-disposition"].startswith("attachment")
    heads, row = csv.reader(io.StringIO(found.text))
    assert not [cell for cell in (*heads, *row) if cell.startswith(("=", "@", "+", "\t"))]
    assert dict(zip(heads, row, strict=True))["params.p6"] == "'=cmd|' /C calc'!A0"


def test_json_of_what_is_seen_is_that_of_the_command(site: Site) -> None:
    found = json.loads(ask(site, format="json", limit="2"))
    assert len(found["runs"]) == 2
    assert found["next"]


def test_an_unchanged_part_is_not_sent_again(site_of: Callable[..., Site]) -> None:
    site = site_of(seeded=False)
    asked = {"HX-Request": "true"}
    first = site.server.ask("/?part=table", headers=asked)
    asked["If-None-Match"] = first.headers["etag"]
    assert site.server.ask("/?part=table", headers=asked).status == 304
    with open_record(site.server.settings) as record:
        run = finish_run(record, new_run())
    changed = site.server.ask("/?part=table", headers=asked)
    assert changed.status == 200
    assert rows_of(changed.text) == [run]
    assert "<html" not in changed.text


def test_the_selection_goes_to_the_page_that_compares(site: Site) -> None:
    one, other = site.runs.grid[:2]
    found = site.server.ask(f"/select?run={one}&run={other}&run=//evil.example")
    assert (found.status, found.headers["location"]) == (303, f"/compare?runs={one}%2C{other}")
    assert site.server.ask("/select").status == 400


def test_an_empty_record_says_how_to_begin(empty_site: Site) -> None:
    assert "No run is recorded yet" in empty_site.server.ask("/").text


@pytest.mark.parametrize("odd", ["-1", "0", "x", "99999999999", "1e9"])
def test_a_limit_has_a_limit(site: Site, odd: str) -> None:
    assert site.server.ask(f"/?limit={odd}").status == 200
