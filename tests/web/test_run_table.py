"""The table of runs: its address is its state."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from html import unescape
from urllib.parse import quote, urlencode

import pytest
from support.records import BOX, finish_run, new_run
from support.web_fixtures import Site

from orchestrator.record.record import History, Record, open_record
from orchestrator.record.run_record import HistoryFilter, HistoryPage
from orchestrator.run.attempt_model import Failure, Result, State
from orchestrator.verdict.verdict_model import Outcome, Verdict


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


def test_many_groups_are_shown_when_they_are_asked_for(site: Site) -> None:
    """A page shows as many groups as it shows runs; columns and counts come from all of them."""
    whole = ask(site, group="seed", where="job == 'digits'")
    every = whole.count("<tr data-row>")
    cut = ask(site, group="seed", where="job == 'digits'", limit="2")
    assert cut.count("<tr data-row>") == 2 < every and f"the first 2 of {every} groups" in cut
    assert re.findall("<th .*?</th>", cut) == re.findall("<th .*?</th>", whole)
    (address,) = re.findall('href="([^"]*)">All groups', cut)
    assert site.server.ask(unescape(address)).text.count("<tr data-row>") == every
    assert "All groups" not in whole


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


def test_an_unchanged_part_is_not_sent_again(empty_site: Site, record: Record) -> None:
    ask, asked = empty_site.server.ask, {"HX-Request": "true"}
    asked["If-None-Match"] = ask("/?part=table", headers=asked).headers["etag"]
    assert ask("/?part=table", headers=asked).status == 304
    run = finish_run(record, new_run())
    changed = ask("/?part=table", headers=asked)
    assert changed.status == 200
    assert rows_of(changed.text) == [run]
    assert "<html" not in changed.text


class OpenTab:
    """Asks for the table as runs.js does, and keeps what the browser keeps."""

    def __init__(self, site: Site, path: str = "/?part=table", token: str = "annotate") -> None:
        self._ask = lambda headers: site.server.ask(path, token=token, headers=headers)
        self.text, self._mark = "", ""

    def asks(self) -> int:
        found = self._ask({"HX-Request": "true", "If-None-Match": self._mark})
        self._mark = found.headers["etag"]
        if found.status == 200:
            self.text = found.text
        return found.status

    def is_right(self) -> bool:
        """Whether it shows what a table shows that is made anew."""
        return self.text == self._ask({}).text


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[HistoryFilter]:
    """What the record is asked for pages of its history."""
    asked: list[HistoryFilter] = []
    page = History.page

    def counted(history: History, wanted: HistoryFilter) -> HistoryPage:
        asked.append(wanted)
        return page(history, wanted)

    monkeypatch.setattr(History, "page", counted)
    return asked


def test_where_nothing_was_recorded_no_table_is_made(
    site_of: Callable[..., Site], made: list[HistoryFilter]
) -> None:
    site = site_of()
    tab, another, reader = OpenTab(site), OpenTab(site), OpenTab(site, token="read")
    other = OpenTab(site, "/?part=table&limit=2")
    assert [one.asks() for one in (tab, another, reader, other)] == [200] * 4
    made.clear()
    assert [one.asks() for one in (tab, another, reader, other)] == [304] * 4
    assert not made
    with open_record(site.server.settings) as record:
        record.annotations.note(site.runs.best, "of which no table tells", "ada")
    assert (tab.asks(), len(made)) == (304, 1), "made once more, and not sent"
    assert (another.asks(), tab.asks(), len(made)) == (304, 304, 1)
    with open_record(site.server.settings) as record:
        record.annotations.tag(site.runs.best, ["seen"], "ada")
    made.clear()
    assert (tab.asks(), another.asks(), tab.asks(), len(made)) == (200, 200, 304, 1)
    assert "seen" in tab.text
    assert tab.text == another.text
    assert (reader.asks(), len(made)) == (200, 2), "what one may see who only reads is made for them"


def test_whatever_is_written_an_open_tab_shows_it(
    empty_site: Site, record: Record, made: list[HistoryFilter]
) -> None:
    """Also where a write makes no event: then nothing that the table shows may change."""
    first, new, other = finish_run(record, new_run(seed=1), box="b0"), new_run(seed=2), new_run(seed=3)
    rerun = finish_run(record, new_run(rerun_of=first, seed=1), box="b0")
    judged = Verdict(outcome=Outcome.IDENTICAL, original=first, rerun=rerun, summary="")
    lost = Result(state=State.FAILED, failure=Failure.JOB, message="loss is NaN", last_line="NaN")
    writes: list[tuple[str, Callable[[], object]]] = [
        ("a box", lambda: record.boxes.introduce(BOX)),
        ("a name of it", lambda: record.boxes.introduce(BOX.model_copy(update={"name": "beta"}))),
        ("a heartbeat", lambda: record.boxes.see(BOX.id, "draining", "no disk")),
        ("a run", lambda: record.submit(new)),
        ("a launch", lambda: record.launch(new.id, 1, "slurm", "b0")),
        ("a reference", lambda: record.save_ref(new.id, 1, "17")),
        ("a claim", lambda: record.claim(new.id, "b0", "boot", "pid 1")),
        ("a plan", lambda: record.save_plan(new.id, 1, "{}")),
        ("running", lambda: record.move(new.id, 1, State.RUNNING)),
        ("a log", lambda: record.append_log(new.id, 1, 0, b"epoch 0")),
        ("a live state", lambda: record.put_live(new.id, 1, "{}")),
        ("another run", lambda: record.submit(other)),
        ("a request to cancel", lambda: record.request_cancel(other.id)),
        ("queued again", lambda: record.requeue(new.id, 1, "its box is silent")),
        ("another claim", lambda: record.claim(new.id, "b1", "boot", "pid 2")),
        ("an end", lambda: record.finish(new.id, 2, lost)),
        ("a note", lambda: record.annotations.note(new.id, "why?", "ada")),
        ("a tag", lambda: record.annotations.tag(new.id, ["keep"], "ada")),
        ("an alias", lambda: record.annotations.name("best", new.id, "ada")),
        ("an alias that is taken away", lambda: record.annotations.unname("best", "ada")),
        ("a run put away", lambda: record.annotations.archive([first], "ada")),
        ("a verdict", lambda: record.add_verdict(judged, "b0", "ada")),
    ]
    tabs = [
        OpenTab(empty_site, f"/?part=table&{query}") for query in ("columns=all", "group=seed", "tag=keep")
    ]
    for what, write in writes:
        write()
        for tab in tabs:
            tab.asks()
            assert tab.is_right(), what
        made.clear()
        assert [tab.asks() for tab in tabs] == [304] * 3, what
        assert not made, what


def test_a_damaged_ledger_hides_no_table(site_of: Callable[..., Site]) -> None:
    site = site_of()
    with closing(sqlite3.connect(site.server.settings.home / "reprise.db")) as database, database:
        database.execute("UPDATE ledger SET frontier = x'00'")
    tab = OpenTab(site)
    assert (tab.asks(), tab.asks()) == (200, 304)
    assert len(rows_of(tab.text)) == 14


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
