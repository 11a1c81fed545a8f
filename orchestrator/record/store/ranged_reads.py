"""A large blob out of a bucket in pieces: several requests at once, their bytes in order.

A server gives one connection only a part of what the network takes. The bytes come in order, so that they are
hashed as they come, and so that a file that was begun before a kill is simply gone on with.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

PIECE = 8 << 20  # bytes of one request
AT_ONCE = 8  # requests of all reads of one store; in memory are twice as many pieces at most


class RangedReads:
    """The large blobs of one store that are read now. They share the requests."""

    def __init__(self) -> None:
        self._lock, self._reading = threading.Lock(), 0

    def read(self, get: Callable[[int, int], memoryview], start: int, end: int) -> Iterator[memoryview]:
        """What `get` gives for the pieces from `start` to `end`; the last one where a piece is too short.

        One more piece is asked for ahead after each that was taken: who stops soon has asked for little.
        """
        ahead: deque[tuple[int, Future[memoryview]]] = deque()
        with self._counted(), _ended(ThreadPoolExecutor(AT_ONCE)) as pool:
            at, taken, size, data = start, 0, 0, memoryview(b"")
            while True:
                while at < end and len(ahead) < min(taken + 1, max(1, AT_ONCE // self._reading)):
                    stop = min(at + PIECE, end)
                    ahead.append((stop - at, pool.submit(get, at, stop)))
                    at = stop
                if taken:
                    yield data
                if not ahead or len(data) < size:
                    return
                size, future = ahead.popleft()
                data, taken = future.result(), taken + 1

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._reading += 1
        try:
            yield
        finally:
            with self._lock:
                self._reading -= 1


@contextmanager
def _ended(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """Does not wait for the requests that are under way at the end: nobody takes their answers."""
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
