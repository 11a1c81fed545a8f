"""Importance in a process of its own: the same answer, a limit of time, and no second process for it."""

from __future__ import annotations

import random
import shlex
import sys
import threading
from pathlib import Path

import pytest

from orchestrator.analysis.importance import bounded_importance as bounded
from orchestrator.analysis.importance.parameter_importance import MOST_RUNS, Trial, parameter_importance
from orchestrator.analysis.importance.trials_of_runs import trials_filter
from orchestrator.errors import InfrastructureError

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


def test_who_waits_for_others_is_told_so_and_lets_its_thread_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "AT_ONCE", threading.Semaphore(0))
    monkeypatch.setattr(bounded, "PATIENCE", 0.01)
    monkeypatch.setattr(bounded, "_kept", type(bounded._kept)())
    with pytest.raises(InfrastructureError, match="other questions of what mattered are being answered"):
        bounded.bounded_importance(TRIALS)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("x = bytearray(1 << 33)", "more than 2 GiB of memory"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", "more than 30 s of a processor"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed"),
        ("sys.stderr.close(); raise ValueError", "with exit code 1: that is a bug"),
    ],
)
def test_why_its_process_ended_is_told(
    body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash was told as "it took too long"."""
    program = tmp_path / "python"
    planted = (
        f"import os, signal, sys\n"
        f"import orchestrator.analysis.importance.bounded_importance as room\n"
        f"def planted(_trials):\n    {body}\n"
        f"room.parameter_importance = planted\nroom._serve()\n"
    )
    (tmp_path / "planted.py").write_text(planted)
    program.write_text(
        f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(tmp_path))}/planted.py\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(bounded, "_kept", type(bounded._kept)())
    found = bounded.bounded_importance(TRIALS)
    assert not found.told
    assert said in found.why_not
    assert bounded.AT_ONCE._value == 2


def test_runs_beyond_those_that_are_weighed_are_counted() -> None:
    wanted = trials_filter("digits")
    assert (wanted.reruns, wanted.limit) == (False, 2 * MOST_RUNS)
    trials = [Trial({"lr": index / 7}, float(index % 11)) for index in range(MOST_RUNS + 100)]
    assert bounded.bounded_importance(trials).over == 100
