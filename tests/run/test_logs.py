"""The log of a dead container: how much of it is kept, and whether that is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.run.logs import HEAD, TAIL, read_log


class Holding:
    """An engine that still holds so many equal lines."""

    def __init__(self, line: bytes, lines: int) -> None:
        self.line, self.lines = line, lines

    def logs(self, name: str, *, follow: bool) -> Iterator[bytes]:
        return (self.line for _ in range(self.lines))


def read(line: bytes, lines: int, sink: Any) -> Any:
    return read_log(Holding(line, lines), "c", sink)  # type: ignore[arg-type]


def test_a_small_log_is_whole(sink: Any) -> None:
    assert not read(b"0123456789\n", 100_000, sink).truncated


def test_short_lines_may_have_been_rotated_away_long_before_the_caps(sink: Any) -> None:
    log = read(b"7\n", 793_100, sink)  # what Engine 20.10 handed over of 3,000,000
    assert log.size < HEAD + TAIL
    assert log.truncated


def test_a_large_log_keeps_its_two_ends(sink: Any) -> None:
    log = read(b"x" * 1023 + b"\n", 20 << 10, sink)
    assert log.truncated
    assert log.size < HEAD + TAIL + 4096
    assert b"left out here" in sink.blobs[log.digest]
