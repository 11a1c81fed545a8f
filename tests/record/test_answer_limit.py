"""Who asks what may never answer is told so in time, and gets no bytes that came too late."""

from __future__ import annotations

import io
import threading

import pytest

from orchestrator.errors import StoreError
from orchestrator.record.store import answer_limit
from orchestrator.record.store.answer_limit import AnswerLimit, SilentStoreError


def test_an_answer_and_an_error_come_through() -> None:
    limit = AnswerLimit("the store x")
    assert limit(lambda: 7) == 7
    with pytest.raises(StoreError, match="of its own"):
        limit(lambda: (_ for _ in ()).throw(StoreError("of its own")))
    with pytest.raises(TimeoutError, match="the question's"):
        limit(lambda: (_ for _ in ()).throw(TimeoutError("the question's")))


def test_while_one_is_late_no_other_is_asked() -> None:
    limit, come, ended = AnswerLimit("the store x"), threading.Event(), threading.Event()

    def late() -> None:
        come.wait(30)
        ended.set()

    with pytest.raises(SilentStoreError, match="the store x does not answer"):
        limit(late, 0.01)
    asked: list[int] = []
    with pytest.raises(SilentStoreError, match="the store x does not answer"):
        limit(lambda: asked.append(1))
    assert asked == []
    come.set()
    assert ended.wait(30)
    for thread in limit._late:
        thread.join()
    assert limit(lambda: 8) == 8


class Slow(io.BytesIO):
    """Its second read waits."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.come, self.reads = threading.Event(), 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads == 2:
            self.come.wait(30)
        return super().read(size)


def test_a_stream_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_limit, "CHUNK", 64)
    data = bytes(range(256)) * 5
    held = io.BytesIO(data)
    with AnswerLimit("the store x").opened(lambda: held) as stream:
        assert stream.read(10) == data[:10]
        assert (stream.seek(-5, io.SEEK_END), stream.read()) == (len(data) - 5, data[-5:])
        assert (stream.seek(3), stream.tell(), stream.readline()) == (3, 3, data[3:11])
        assert stream.read() == data[11:]
    assert held.closed


def test_a_stream_that_was_late_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place has moved by what nobody took."""
    monkeypatch.setattr(answer_limit, "CHUNK", 64)
    limit, held = AnswerLimit("the store x"), Slow(bytes(range(200)))
    stream = limit.opened(lambda: held)
    assert len(stream.read(64)) == 64
    monkeypatch.setattr(answer_limit, "BYTES", 0.01)
    with pytest.raises(SilentStoreError, match="does not answer"):
        stream.read(64)
    held.come.set()
    for thread in limit._late:
        thread.join()
    with pytest.raises(SilentStoreError, match="no further"):
        stream.read(64)
    stream.close()
