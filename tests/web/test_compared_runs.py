"""`/compare`: what differs between runs, and the bounds of what may be asked."""

from __future__ import annotations

import pytest
from support.records import finish_run, kept, new_run
from support.web_fixtures import Site

from orchestrator.record.record import open_record
from orchestrator.view.runs import many_runs_view


def test_only_what_differs_is_shown_and_the_document_says_the_same(site: Site) -> None:
    a, b = site.runs.grid[0], site.runs.grid[4]
    found = site.server.ask(f"/compare?runs={a},{b}")
    assert found.status == 200
    assert "2 runs compared" in found.text
    assert "lr" in found.text
    assert "optimizer" not in found.text, "it is the same in both"
    document = site.server.json(f"/compare?runs={a},{b}&format=json")
    assert [run["id"] for run in document["runs"]] == [a, b]
    params = next(section for section in document["sections"] if section["name"] == "params")
    assert params["differing"] == [{"name": "lr", "cells": [0.001, 0.01]}]


def test_runs_are_named_as_elsewhere_and_each_once(site: Site) -> None:
    a = site.runs.grid[0]
    document = site.server.json(f"/compare?runs=production,{a[:8]},{a}&format=json")
    assert [run["id"] for run in document["runs"]] == [site.runs.best, a]


def test_what_cannot_be_compared_is_said(site: Site) -> None:
    a = site.runs.grid[0]
    for asked in (
        "",
        f"?runs={a}",
        f"?runs={a},{'f' * 16}",
        "?runs=" + ",".join(f"{n:016x}" for n in range(101)),
    ):
        found = site.server.ask(f"/compare{asked}")
        assert found.status == 400, asked
    assert site.server.ask(f"/compare/code?runs={a}").status == 400


def test_code_of_two_runs_says_what_is_not_on_this_box(site: Site) -> None:
    found = site.server.ask(f"/compare/code?runs={site.runs.best},{site.runs.hostile}")
    assert found.status == 200
    assert "only digests of its files are known" in found.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in found.text


def test_hostile_names_stay_text(site: Site) -> None:
    found = site.server.ask(f"/compare?runs={site.runs.hostile},{site.runs.best},{site.runs.failed}")
    assert found.status == 200
    for wrong in ("<script>alert", "<img src=x", "\u202e", "\x1b"):
        assert wrong not in found.text
    assert 'href="javascript' not in found.text


def test_of_very_many_fields_the_first_are_shown(empty_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs may have 100,000 outputs, none of them the same."""
    monkeypatch.setattr(many_runs_view, "FIELDS_SHOWN", 2)
    with open_record(empty_site.server.settings) as record:
        runs = [
            finish_run(
                record, new_run(seed=seed), outputs=tuple(kept(f"{name}.txt", f"{seed}") for name in "abc")
            )
            for seed in (1, 2)
        ]
    path = f"/compare?runs={','.join(runs)}"
    found = empty_site.server.ask(path).text
    assert "b.txt" in found
    assert "c.txt" not in found
    assert "and 1 more; JSON has them" in found
    assert "c.txt" in empty_site.server.ask(f"{path}&format=json").text
