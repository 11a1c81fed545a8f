"""Work that several threads share, and that ends with the first error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from threading import Event, Lock
from typing import TypeVar

Part = TypeVar("Part")
Done = TypeVar("Done")

FEW, LARGE = 50, 64 << 20  # files for one thread at a time, unless they have more bytes
SMALL = 1 << 18  # bytes of a file that costs Python more than the disk


class Stop:
    """Ends parts that take long, once their results are not wanted any more: they ask it on their way.

    `above`: of the work that these parts belong to. What ends it ends them, and not the other way.
    """

    def __init__(self, above: Stop | None = None) -> None:
        self._unwanted, self._above = Event(), above

    def check(self) -> None:
        """CancelledError where another part failed, or a person ended the work."""
        if self._unwanted.is_set():
            raise CancelledError
        if self._above is not None:
            self._above.check()

    def order(self) -> None:
        self._unwanted.set()

    def __enter__(self) -> None:
        self.check()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """An error inside ends the other parts before the next of them has its turn."""
        if kind is not None:
            self.order()

    def passing(self, chunks: Iterable[Part]) -> Iterator[Part]:
        """The chunks, as long as they are wanted."""
        for chunk in chunks:
            self.check()
            yield chunk


class Turns:
    """Small files that keep a core busy go one at a time; those that wait for a disk or network, at once.

    Threads that each need Python's own lock for every small file take half as long again as one alone does.
    """

    def __init__(self) -> None:
        self._lock, self._busy = Lock(), True

    @contextmanager
    def turn(self, sizes: Iterable[int]) -> Iterator[None]:
        """Around the work on files of these sizes in bytes. Larger ones wait for nobody."""
        if max(sizes) <= SMALL and self._busy:
            with self._lock:
                if self._busy:  # still, now that those before have gone
                    began, worked = time.monotonic(), time.thread_time()
                    try:
                        yield
                    finally:
                        self._busy = time.thread_time() - worked > (time.monotonic() - began) / 2
                    return
        yield


def in_parts(
    items: Iterable[Part], size_of: Callable[[Part], int], count: int, size: int
) -> Iterator[list[Part]]:
    """The items in their order, `count` at most in a part, which ends once it has `size` bytes or more."""
    part: list[Part] = []
    left = size
    for item in items:
        part.append(item)
        left -= size_of(item)
        if len(part) >= count or left <= 0:
            yield part
            part, left = [], size
    if part:
        yield part


def each(
    work: Callable[[Part], Done], parts: Iterable[Part], threads: int, stop: Stop | None = None
) -> list[Done]:
    """What `work` returns for each part, in their order.

    Raises what `work` raises first, and Ctrl-C: parts that have not begun by then are not wanted any more.
    Those that have begun are waited for; `stop` tells them.
    """
    futures: list[Future[Done]] = []
    try:
        with ThreadPoolExecutor(threads) as pool:
            try:
                futures = [pool.submit(work, part) for part in parts]
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                if stop is not None:
                    stop.order()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except CancelledError:
        ended = (future.exception() for future in futures if not future.cancelled())
        for error in ended:  # a part that was told may end before the one that told it
            if error is not None and not isinstance(error, CancelledError):
                raise error from None
        raise
    return [future.result() for future in futures]
