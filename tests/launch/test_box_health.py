"""When a box that cannot work takes runs again."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, strategies

from orchestrator.launch.doctor import Check
from orchestrator.launch.workers import box_health as module
from orchestrator.launch.workers.box_health import FIRST, LONGEST, Health


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def said(ok: bool) -> list[Check]:
    return [Check(name="engine", ok=True, detail=""), Check(name="store", ok=ok, detail="read-only")]


def settled(health: Health) -> bool:
    """What it says when its trial is over."""
    health.fit()
    if health._thread is not None:
        health._thread.join()
    return health.fit()


def test_a_box_is_tried_before_it_takes_anything(clock: Clock) -> None:
    assert settled(Health(lambda: said(True)))
    health = Health(lambda: said(False))
    assert not settled(health)
    assert health.trouble == "store: read-only"


def test_a_slow_trial_holds_nobody_up_and_nothing_is_taken_meanwhile() -> None:
    going = threading.Event()

    def trial() -> list[Check]:
        going.wait(120)
        return said(True)

    health = Health(trial)
    assert not health.fit()
    going.set()
    assert settled(health)


@given(outcomes=strategies.lists(strategies.booleans(), max_size=30))
def test_failures_double_the_pause_and_a_success_ends_that(outcomes: list[bool]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        clock = Clock()
        patched.setattr(module, "time", clock)
        health, failures = Health(lambda: said(True)), 0
        assert settled(health)
        for worked in outcomes:
            if worked:
                health.worked()
                failures = 0
                continue
            health.blame("why")
            failures += 1
            pause = min(FIRST * 2 ** (failures - 1), LONGEST)
            clock.now += pause * 0.99
            assert not settled(health)
            clock.now += pause * 0.02
            assert settled(health), "the trial passes"


def test_a_trial_that_breaks_is_no_health(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def broken() -> list[Check]:
        raise RuntimeError

    assert not settled(Health(broken))
