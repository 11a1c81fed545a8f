"""Work that several threads share."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.several_at_once import SMALL, Stop, Turns, each, in_parts


def fails() -> None:
    raise ValueError("a part failed")


def is_interrupted() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.mark.parametrize(
    ("ends", "error"),
    [(fails, ValueError), (is_interrupted, KeyboardInterrupt)],
    ids=["error", "Ctrl-C"],
)
def test_what_ends_one_part_ends_the_others_on_their_way(
    ends: Callable[[], None], error: type[BaseException]
) -> None:
    stop, begun, stopped = Stop(), threading.Event(), threading.Event()

    def work(part: str) -> None:
        if part == "short":
            assert begun.wait(60)
            ends()
            return
        begun.set()
        for _ in range(6000):  # a minute
            try:
                stop.check()
            except BaseException:
                stopped.set()
                raise
            time.sleep(0.01)

    with pytest.raises(error):
        each(work, ["long", "short"], 2, stop)
    assert stopped.is_set()


def test_results_come_in_the_order_of_their_parts() -> None:
    def work(part: int) -> int:
        time.sleep(0.02 * (3 - part))
        return part

    assert each(work, range(3), 3) == [0, 1, 2]


def spin(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_parts_that_wait_go_all_at_once() -> None:
    turns, together = Turns(), threading.Barrier(4)
    with turns.turn([1]):
        time.sleep(0.1)

    def work(_: int) -> None:
        with turns.turn([1]):
            together.wait(60)

    each(work, range(4), 4)


def test_parts_that_keep_a_core_busy_go_one_at_a_time() -> None:
    turns, inside, most = Turns(), [], 0

    def work(part: int) -> None:
        nonlocal most
        with turns.turn([1]):
            inside.append(part)
            most = max(most, len(inside))
            spin(0.01)
            inside.remove(part)

    with turns.turn([1]), turns.turn([SMALL + 1]):  # a larger one waits for nobody
        pass
    turns = Turns()
    each(work, range(2), 2)  # more would need a machine with nothing beside: what waits for a core, waits
    assert most == 1


@given(st.lists(st.integers(0, 100)), st.integers(1, 5), st.integers(1, 120))
def test_parts_are_never_empty_and_hold_every_item_in_order(sizes: list[int], count: int, size: int) -> None:
    parts = list(in_parts(sizes, int, count, size))
    assert [one for part in parts for one in part] == sizes
    for place, part in enumerate(parts):
        assert 1 <= len(part) <= count
        assert sum(part[:-1]) < size, "it had ended before"
        assert place == len(parts) - 1 or len(part) == count or sum(part) >= size, "there was room"
