"""Who runs what where, and what waits."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.failing_disk import hanging_store
from support.records import BOX, new_run
from support.web_fixtures import Site

from orchestrator.digest import Digest
from orchestrator.launch.session import Session
from orchestrator.record.record import Boxes
from orchestrator.record.run_record import Wanted
from orchestrator.record.store.folder_store import BlobStore
from orchestrator.spec.program import Program


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


def three_wait_for(site: Site, data: Digest) -> None:
    with Session(site.server.settings) as session:
        session.record.boxes.introduce(BOX)
        for number in range(3):
            program = Program(name="job", command=("python",), inputs={"data": data}, seed=number)
            session.record.submit(new_run(program=program, wanted=Wanted(executor="worker")))


def test_a_store_that_hangs_is_said_and_asked_once(
    site_of: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(seeded=False)
    three_wait_for(site, Digest.of(b"missing"))
    with hanging_store(monkeypatch) as asked:
        found = json.loads(site.server.ask("/boxes?format=json").text)
        assert len(asked) == 1
    assert [box["name"] for box in found["boxes"]] == ["alpha"]
    for why in found["waiting"].values():
        assert why.startswith(
            "waiting for a free place on alpha; whether the store has its inputs is not known"
        )
    assert len(found["waiting"]) == 3


def test_the_boxes_are_read_once_and_the_store_is_asked_once_for_an_input_of_many_runs(
    site_of: Callable[..., Site],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    has, boxes = BlobStore.has, Boxes.all
    monkeypatch.setattr(BlobStore, "has", lambda self, digest: asked.append(digest) or has(self, digest))
    monkeypatch.setattr(Boxes, "all", lambda self: asked.append("boxes") or boxes(self))
    site = site_of(seeded=False)
    missing = Digest.of(b"missing")
    three_wait_for(site, missing)
    for times in (1, 2):
        waiting = json.loads(site.server.ask("/boxes?format=json").text)["waiting"]
        assert ["no input data" in why for why in waiting.values()] == [True] * 3
        assert asked.count("boxes") == times
    assert asked.count(missing) == 1
