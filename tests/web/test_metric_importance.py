"""`/importance`: what mattered for a metric of a job."""

from __future__ import annotations

from support.records import finish_run, new_run
from support.seeded_record import HOSTILE
from support.web_fixtures import Site

from orchestrator.record.record import Record
from orchestrator.run.attempt_model import Failure, State


def test_few_runs_cannot_be_told_and_are_drawn_all_the_same(site: Site) -> None:
    found = site.server.ask("/importance?job=digits&metric=accuracy")
    assert found.status == 200
    assert "cannot be told: 20 runs with this metric are needed, and 9 have it" in found.text
    assert "<svg" in found.text


def test_shares_failures_and_document(empty_site: Site, record: Record) -> None:
    for number in range(30):
        new = new_run(params={"lr": number / 10, "note": HOSTILE[number % 3]}, image=f"i{number}")
        finish_run(record, new, metrics={HOSTILE[0]: 3.0 - number / 10})
    finish_run(record, new_run(image="f"), state=State.FAILED, failure=Failure.JOB, exit_code=1)
    found = empty_site.server.ask("/importance")
    assert found.status == 200
    assert "30 runs were weighed; left out: 1 failed" in found.text
    assert "R² " in found.text
    assert "<script>alert" not in found.text
    assert 'class="failed"' in found.text
    document = empty_site.server.json("/importance?format=json")
    assert document["told"] is True
    assert document["shares"][0]["names"] == ["lr"]
    assert document["shares"][0]["signs"] == [-1.0]


def test_an_empty_record_is_said(empty_site: Site) -> None:
    found = empty_site.server.ask("/importance")
    assert found.status == 200
    assert "no run has a metric" in found.text
