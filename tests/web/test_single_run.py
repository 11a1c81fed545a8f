"""The page of one run: what the terminal says of it, and all that is recorded behind it."""

from __future__ import annotations

import json

import pytest
from support.records import finish_run, new_run, no_points_are_read
from support.web_fixtures import Site

from orchestrator.launch.session import Session
from orchestrator.record.record import Record
from orchestrator.spec.source.source_tree import GitState


def test_all_parts_are_there(site: Site) -> None:
    text = site.server.ask(f"/runs/{site.runs.best}").text
    for part in (
        *("summary", "metrics", "parameters", "outputs", "log", "said", "patch", "source", "packages"),
        *("hardware", "settings", "lineage", "events"),
    ):
        assert f'id="{part}"' in text
    for fact in ("production", "paper", "the one to ship", "EPYC 9454", "2.13.0", "+lr = 0.01", "model.pt"):
        assert fact in text
    assert "epoch 39" in text


def test_the_document_is_that_of_the_command(site: Site) -> None:
    found = site.server.ask(f"/runs/{site.runs.best}?format=json")
    assert found.headers["content-type"] == "application/json"
    document = json.loads(found.text)
    assert document["id"] == site.runs.best
    assert document["said"]["names"] == ["production"]


@pytest.mark.parametrize("name", ["failed", "running", "queued", "rerun", "hostile"])
def test_every_state_has_a_page(site: Site, name: str) -> None:
    found = site.server.ask(f"/runs/{getattr(site.runs, name)}")
    assert found.status == 200
    assert ("Cancel the run" in found.text) is (name in ("running", "queued"))


def test_what_a_script_logged_stands_beside_its_parameters(site: Site) -> None:
    assert "logged by the script" in site.server.ask(f"/runs/{site.runs.hostile}").text
    assert "logged by the script" not in site.server.ask(f"/runs/{site.runs.best}").text


def test_an_alias_and_a_short_id_lead_to_the_run(site: Site) -> None:
    for named in ("production", site.runs.best[:12]):
        found = site.server.ask(f"/runs/{named}")
        assert (found.status, found.headers["location"]) == (303, f"/runs/{site.runs.best}")


@pytest.mark.parametrize(
    ("lines", "longest", "shown", "said"),
    [
        (2_000, 10, 2_000, ""),
        (2_001, 10, 2_000, "and 1 more line;"),
        (50_000, 10, 2_000, "and 48,000 more lines"),
        (5_000, 9_000, 117, "a patch of more than 1.0 MiB, not checked against its digest"),
        (3, 9_000, 3, "long"),
    ],
)
def test_of_a_long_patch_the_beginning_is_shown(
    empty_site: Site, record: Record, lines: int, longest: int, shown: int, said: str
) -> None:
    """64 MiB are recorded of one; each line is an element of the page."""
    patch = "".join(f"+{number} {'x' * longest}\n" for number in range(lines)).encode()
    with Session(empty_site.server.settings) as session:
        git = GitState(commit="c" * 40, dirty=True, patch_digest=session.store.put_bytes(patch))
    run = finish_run(record, new_run(git=git))
    text = empty_site.server.ask(f"/runs/{run}").text
    assert text.count('<span class="more">') == shown
    assert len(text) < 2_000 * 4_100
    assert ("--patch` prints all" in text) is bool(said) and said in text


def test_who_may_only_read_is_offered_no_change(site: Site) -> None:
    text = site.server.ask(f"/runs/{site.runs.running}", token="read").text
    assert 'method="post"' not in text
    assert site.server.bound.tokens.form_token() not in text


def test_an_unknown_run_is_told_with_a_hint(site: Site) -> None:
    found = site.server.ask("/runs/0123456789abcdef")
    assert found.status == 400
    assert "is recorded" in found.text
    assert site.server.json("/runs/0123456789abcdef?format=json")["error"]["hint"]


def test_no_page_reads_the_points_of_a_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """They can be millions; charts ask for those of one metric."""
    no_points_are_read(monkeypatch)
    best, rerun = site.runs.best, site.runs.rerun
    parts = ("", "/log", "/log?find=epoch", "/outputs", "/live")
    pages = [f"/runs/{run}{part}" for run in (best, rerun, site.runs.failed) for part in parts]
    pages += [f"/compare?runs={best},{rerun}", f"/compare?runs={best},{rerun}&part=table"]
    for page in (*pages, f"/runs/{rerun}/reproduction", f"/runs/{rerun}?format=json"):
        assert site.server.ask(page).status in (200, 404), page
