"""A store that may never answer, and somebody who does not wait for ever: a page, a worker's look for work.

The folder of a server that hangs holds whoever reads it, and a bucket behind a dead line is asked again for a
minute, for each blob. Neither can be called off, so a thread is left with the question.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, BinaryIO, TypeVar

from orchestrator.digest import CHUNK
from orchestrator.errors import StoreError

Answer = TypeVar("Answer")

ANSWER = 5.0  # seconds, for whether a blob is there
BYTES = 20.0  # for the next bytes of one: over a slow line a piece of 8 MiB


class SilentStoreError(StoreError):
    """The store has not answered in time. It may yet."""


class AnswerLimit:
    """While a question is late no other is asked: who comes then is told at once, and what hangs holds no
    more threads than asked when it began to hang.
    """

    def __init__(self, what: str) -> None:
        """`what`: is asked, as messages call it."""
        self._what = what
        self._lock = threading.Lock()
        self._late: list[threading.Thread] = []

    def __call__(self, question: Callable[[], Answer], seconds: float | None = None) -> Answer:
        """The answer, or what the question raises. SilentStoreError after ANSWER or so many seconds."""
        with self._lock:
            self._late = [one for one in self._late if one.is_alive()]
            if self._late:
                raise self._silent()
        future: Future[Answer] = Future()
        # A daemon: the end of the process waits for none.
        thread = threading.Thread(target=_answer, args=(question, future), name="store", daemon=True)
        thread.start()
        thread.join(ANSWER if seconds is None else seconds)
        if thread.is_alive():
            with self._lock:
                self._late.append(thread)
            raise self._silent()
        return future.result()

    def _silent(self) -> SilentStoreError:
        # The same words each time: who waits for a run is told when they change.
        return SilentStoreError(f"{self._what} does not answer")

    def opened(self, question: Callable[[], BinaryIO]) -> BinaryIO:
        """What the question opens, read under the same limit."""
        return io.BufferedReader(_LimitedReads(self, self(question)), CHUNK)


def _answer(question: Callable[[], Answer], future: Future[Answer]) -> None:
    try:
        future.set_result(question())
    except BaseException as error:  # noqa: BLE001  (raised where it was asked)
        future.set_exception(error)


class _LimitedReads(io.RawIOBase):
    """A blob that is read. A stream that was late is let go: its thread still has it, and its place moves."""

    def __init__(self, limit: AnswerLimit, stream: BinaryIO) -> None:
        self._limit = limit
        self._stream: BinaryIO | None = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # Not into the buffer: a late answer would write into what is another's by then.
        data = self._asked(lambda stream: stream.read(min(len(buffer), CHUNK)))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._asked(lambda stream: stream.seek(offset, whence))

    def close(self) -> None:
        stream, self._stream = self._stream, None
        super().close()
        if stream is not None:
            stream.close()

    def _asked(self, question: Callable[[BinaryIO], Answer]) -> Answer:
        if self._stream is None:
            raise SilentStoreError("the store did not answer, and this file is read no further")
        try:
            return self._limit(partial(question, self._stream), BYTES)
        except SilentStoreError:
            self._stream = None
            raise
