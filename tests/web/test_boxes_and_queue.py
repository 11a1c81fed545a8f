"""Who runs what where, and what waits."""

from __future__ import annotations

import json

from support.web_fixtures import Site


def test_boxes_and_open_runs_are_listed(site: Site) -> None:
    text = site.server.ask("/boxes").text
    assert "alpha" in text
    for run in (site.runs.running, site.runs.queued):
        assert f'href="/runs/{run}"' in text
        assert f"Cancel {run}" in text
    assert site.runs.best not in text
    assert "Cancel" not in site.server.ask("/boxes", token="read").text


def test_the_document_has_both(site: Site) -> None:
    document = json.loads(site.server.ask("/boxes?format=json").text)
    assert [box["name"] for box in document["boxes"]] == ["alpha"]
    assert {run["id"] for run in document["open"]} == {site.runs.running, site.runs.queued}
