"""Verdicts as people and programs read them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.finished_run import make_run

from orchestrator.verdict.verdict_model import Outcome, Verdict
from orchestrator.view.verdict_view import rerun_view, twice_view, verdict_page

Read = Callable[..., str]


def verdict_of(outcome: Outcome) -> Verdict:
    return Verdict(outcome=outcome, original="a", rerun="b", summary="model.pt differs\x1b[2J")


@pytest.mark.parametrize("outcome", Outcome)
def test_a_verdict_is_a_word_alone_then_the_reasons(outcome: Outcome, read: Read) -> None:
    lines = read(verdict_page(verdict_of(outcome), make_run(), make_run())).splitlines()
    assert lines[:3] == ["", outcome.value.upper().replace("_", " "), "  model.pt differs"]
    assert ("next:  reprise diff a b" in lines) is (outcome is not Outcome.IDENTICAL)


def test_a_rerun_without_a_verdict_is_shown_as_a_run(read: Read) -> None:
    view = rerun_view(make_run(), None, None)
    assert view.document["verdict"] is None and view.document["explanation"] == []
    assert view.word == "succeeded"
    assert "next:  reprise rerun" in read(view.page)


def test_twice_without_a_second_run(read: Read) -> None:
    view = twice_view(make_run(), None, None)
    assert view.document.keys() == {"run", "rerun", "verdict", "explanation"}
    assert view.document["rerun"] is None
