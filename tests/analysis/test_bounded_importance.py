"""Importance in a process of its own: the same answer, a limit of time, and no second process for it."""

from __future__ import annotations

import random

import pytest

from orchestrator.analysis.importance import bounded_importance as bounded
from orchestrator.analysis.importance.parameter_importance import Trial, parameter_importance

_chance = random.Random(5)
TRIALS = [Trial({"lr": n, "ü\ud800": _chance.choice("ab"), "w": float("nan")}, float(n)) for n in range(30)]


def test_it_says_the_same_and_remembers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "_kept", type(bounded._kept)())
    found = bounded.bounded_importance(TRIALS)
    assert found == parameter_importance(TRIALS)
    assert found.told
    monkeypatch.setattr(bounded, "_computed", lambda *_: pytest.fail("computed twice"))
    assert bounded.bounded_importance(TRIALS) == found


def test_what_takes_too_long_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "_kept", type(bounded._kept)())
    found = bounded.bounded_importance(TRIALS, wall_seconds=0.001)
    assert not found.told
    assert "it took more than" in found.why_not
    assert not bounded._kept, "a slow moment is not remembered"
