"""Work that several threads share."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress

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


def test_the_error_is_told_and_not_that_others_were_ended_by_it() -> None:
    stop, begun, ended = Stop(), threading.Event(), threading.Event()

    def work(part: str) -> None:
        if part == "fails":
            assert begun.wait(60)
            try:
                with stop:
                    raise ValueError("a part failed")
            finally:
                assert ended.wait(60)
                time.sleep(0.1)  # so that the other one is seen to be over
        begun.set()
        try:
            for _ in range(6000):
                stop.check()
                time.sleep(0.01)
        finally:
            ended.set()

    with pytest.raises(ValueError, match="a part failed"):
        each(work, ["fails", "long"], 2, stop)


def test_what_ends_the_work_above_ends_its_parts_and_not_the_other_way() -> None:
    above = Stop()
    below, beside = Stop(above), Stop(above)
    below.order()
    above.check()
    beside.check()
    with pytest.raises(CancelledError):
        below.check()
    above.order()
    with pytest.raises(CancelledError), beside:
        raise AssertionError("it was not asked first")


def test_results_come_in_the_order_of_their_parts() -> None:
    def work(part: int) -> int:
        time.sleep(0.02 * (3 - part))
        return part

    assert each(work, range(3), 3) == [0, 1, 2]


def spin(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize("fails", [False, True])
def test_parts_that_wait_go_all_at_once(fails: bool) -> None:
    turns, together = Turns(), threading.Barrier(4)
    with suppress(OSError), turns.turn([1]):
        time.sleep(0.1)
        if fails:
            raise OSError

    def work(_: int) -> None:
        with turns.turn([1]):
            together.wait(60)

    each(work, range(4), 4)


def test_parts_that_stood_in_line_go_at_once_when_the_first_one_only_waited() -> None:
    turns, first, others = Turns(), threading.Event(), threading.Barrier(4)
    together = threading.Barrier(3)

    def work(part: int) -> None:
        if part:
            assert first.wait(60)
            others.wait(60)
            with turns.turn([1]):
                together.wait(60)
            return
        with turns.turn([1]):
            first.set()
            others.wait(60)
            time.sleep(0.2)  # while the others come to stand in line

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
