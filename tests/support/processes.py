"""Processes forked from a test: several at once, or one that is killed. All is imported already."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from typing import Any

fork = multiprocessing.get_context("fork")


def together(count: int, work: Callable[..., None], *arguments: Any) -> list[Any]:
    """What `count` processes put into the queue with `work(queue, barrier, number, *arguments)`."""
    queue, barrier = fork.Queue(), fork.Barrier(count)
    processes = [
        fork.Process(target=work, args=(queue, barrier, number, *arguments)) for number in range(count)
    ]
    for process in processes:
        process.start()
    found = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0] * count
    return found


def killed(work: Callable[..., None], *arguments: Any) -> None:
    """A process whose work is to be killed in the middle of it, as by kill -9."""
    process = fork.Process(target=work, args=arguments)
    process.start()
    process.join(timeout=120)
    assert process.exitcode == -signal.SIGKILL
