"""The log of a dead container: how much of it is kept, and whether that is said."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.made_up_attempt import attempt_plan

from orchestrator.errors import EngineError, EngineMissingError
from orchestrator.run import container_log, log_spool
from orchestrator.run.attempt_model import Log, Plan
from orchestrator.run.container_log import read_log, remaining
from orchestrator.run.engine.engine_logs import PIECE, LogEntry, _frames, _unix, _whole_lines
from orchestrator.run.log_spool import LogSpool

HEAD, TAIL = 100, 300


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(container_log, "HEAD", HEAD)
    monkeypatch.setattr(container_log, "TAIL", TAIL)
    return attempt_plan(tmp_path, tmp_path / "report")


def kept(plan: Plan, sink: Any, spooled: bytes) -> tuple[Log, bytes]:
    writer = LogSpool(container_log.spool_folder(plan))
    for place in range(0, len(spooled), 70):
        writer.add(1, spooled[place : place + 70])
    writer.close(done=True)
    log = read_log(None, plan, sink)  # type: ignore[arg-type]  # nothing is asked of the engine
    return log, sink.blobs[log.digest]


@pytest.mark.parametrize("size", [0, 1, HEAD, HEAD + TAIL])
def test_a_small_log_is_whole(plan: Plan, sink: Any, size: int) -> None:
    text = bytes(range(256)) * 2
    log, data = kept(plan, sink, text[:size])
    assert data == text[:size]
    assert (log.size, log.truncated) == (size, False)


@pytest.mark.parametrize("more", [1, 17, 5000])
def test_a_large_log_keeps_its_two_ends_and_says_how_much_is_missing(
    plan: Plan, sink: Any, more: int
) -> None:
    text = b"".join(b"%d\n" % number for number in range(5000))[: HEAD + TAIL + more]
    log, data = kept(plan, sink, text)
    assert log.truncated
    assert data == text[:HEAD] + b"\n[reprise: %d bytes were left out here]\n" % more + text[-TAIL:]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(0, 2000), seen=st.integers(0, 2100))
def test_what_was_seen_live_is_not_shown_again(
    plan: Plan, sink: Any, tmp_path_factory: pytest.TempPathFactory, size: int, seen: int
) -> None:
    text = (b"".join(b"%d\n" % number for number in range(1000)))[:size]
    report = tmp_path_factory.mktemp("a") / "report"
    log, data = kept(attempt_plan(report, report), sink, text)
    seen = min(seen, size)
    shown = b"".join(remaining(iter([data[:33], data[33:]]), log, seen))
    dropped = max(0, size - HEAD - TAIL)
    if seen >= HEAD + dropped or not dropped:
        assert shown == text[seen:]
    else:
        assert shown.startswith(
            text[seen:HEAD] if seen <= HEAD else b"\n[reprise: %d" % (HEAD + dropped - seen)
        )
        assert shown.endswith(b"]\n" + text[-TAIL:])


class Engine:
    """What an engine's log has of one stream, with a moment an entry."""

    def __init__(self, lines: list[bytes], fault: EngineError | None = None) -> None:
        self.lines, self.fault = lines, fault

    def entries(self, name: str, *, follow: bool, since: str = "") -> Iterator[LogEntry]:
        for number, line in enumerate(self.lines):
            moment = f"2026-01-01T00:00:{number // 3:02}.000000000Z"  # three lines have the same
            if moment >= since:
                yield LogEntry(1, moment, line)
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_log, "entries", lambda engine, *where, **how: engine.entries(*where, **how))


LINES = [b"line %d\n" % number for number in range(50)]


@pytest.mark.usefixtures("doubled")
@pytest.mark.parametrize("rotated", [0, 5])
@pytest.mark.parametrize("had", [0, 7, 20, 341])
def test_a_log_that_was_heard_in_part_is_completed_from_the_engine(
    plan: Plan, sink: Any, monkeypatch: pytest.MonkeyPatch, had: int, rotated: int
) -> None:
    """As after a kill of the process that was attached; the engine may have rotated the beginning away."""
    monkeypatch.setattr(container_log, "TAIL", 5000)
    text = b"".join(LINES)
    writer = LogSpool(container_log.spool_folder(plan))
    if had:
        writer.add(1, text[:had])
    writer.close(done=False)
    log = read_log(Engine(LINES[rotated:]), plan, sink)  # type: ignore[arg-type]
    data = sink.blobs[log.digest]
    gone = len(b"".join(LINES[:rotated]))
    if had >= gone + 1 or not rotated:
        assert data == text
        assert not log.truncated
    elif had:
        assert (
            data
            == text[:had]
            + b"\n[reprise: something is missing here: the engine had rotated it away]\n"
            + text[gone:]
        )
        assert log.truncated


@pytest.mark.usefixtures("doubled")
def test_an_engine_that_is_away_is_no_reason_to_end_the_log(plan: Plan, sink: Any) -> None:
    with pytest.raises(EngineMissingError):
        read_log(Engine(LINES, EngineMissingError("away")), plan, sink)  # type: ignore[arg-type]
    log = read_log(Engine(LINES), plan, sink)  # type: ignore[arg-type]
    assert not log.truncated


@pytest.mark.usefixtures("doubled")
def test_a_log_that_the_engine_cannot_read_is_kept_as_far_as_it_is_here(plan: Plan, sink: Any) -> None:
    writer = LogSpool(container_log.spool_folder(plan))
    writer.add(1, b"heard\n")
    writer.close(done=False)
    log = read_log(Engine([], EngineError("no such container")), plan, sink)  # type: ignore[arg-type]
    assert log.truncated
    assert sink.blobs[log.digest].startswith(
        b"heard\n\n[reprise: the rest could not be read: no such container]"
    )


class Told:
    """Who is shown a log."""

    def __init__(self) -> None:
        self.data, self.notes = b"", list[str]()

    def log(self, data: bytes) -> None:
        self.data += data

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.usefixtures("doubled")
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fails", ["close", "more"])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_disk_that_fails_under_a_log_is_told_and_the_engine_has_the_rest(
    plan: Plan, sink: Any, monkeypatch: pytest.MonkeyPatch, fails: str, fresh: bool
) -> None:
    """Such as one that is full when the log is to be marked as whole."""
    told = Told()

    def fail(*_: object, **_how: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    attached = [(1, line) for line in LINES]
    monkeypatch.setattr(container_log, "attached_output", lambda *_: iter(attached))
    with monkeypatch.context() as away:
        away.setattr(log_spool.LogSpool if fails == "close" else log_spool.SpoolReader, fails, fail)
        pump = container_log.LogPump(Engine(LINES), plan, told, fresh=fresh)  # type: ignore[arg-type]
        pump.ended()
    assert [note for note in told.notes if "No space left" in note] == told.notes != []
    log = read_log(Engine(LINES), plan, sink)  # type: ignore[arg-type]
    assert sink.blobs[log.digest] == b"".join(LINES)


@pytest.mark.usefixtures("doubled")
def test_a_log_that_is_asked_again_shows_nothing_twice(plan: Plan) -> None:
    writer = LogSpool(container_log.spool_folder(plan))
    engine = Engine(LINES[:4])
    log = container_log._EngineLog(engine, "c", writer, True)  # type: ignore[arg-type]
    for more in (4, 5, 5, 17, 50):
        engine.lines = LINES[:more]
        log.take(follow=False)
        read = b"".join(data for _, data in log_spool.SpoolReader(writer.folder).more())
        assert read == b"".join(LINES[:more])


# As Engine 20.10's driver `local` hands them over: pieces of one line, the last without its line feed.
@pytest.mark.parametrize("length", [1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 20000, 2 * PIECE + 5])
@pytest.mark.parametrize("remembers", [False, True])
def test_a_long_line_keeps_its_end(length: int, remembers: bool) -> None:
    line = b"x" * length
    pieces = [line[place : place + PIECE] for place in range(0, length - length % PIECE, PIECE)]
    last = line[length - length % PIECE :]
    pieces.append(last + b"\n" if remembers or not pieces else last)
    frames = [(1, b"2026-01-01T00:00:00.1Z " + piece) for piece in (*pieces, b"next\n")]
    assert b"".join(entry.data for entry in _whole_lines(iter(frames))) == line + b"\nnext\n"


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=30)), max_size=20), st.integers(1, 50))
def test_frames_arrive_in_any_pieces(frames: list[tuple[int, bytes]], step: int) -> None:
    data = b"".join(bytes([which, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for which, text in frames)
    chunks = (data[place : place + step] for place in range(0, len(data), step))
    assert list(_frames(chunks)) == frames


def test_a_moment_keeps_its_nanoseconds() -> None:
    assert _unix("1970-01-02T00:00:01.123456789Z") == "86401.123456789"
    assert _unix("1970-01-01T00:00:00.5Z") == "0.500000000"


@pytest.mark.usefixtures("doubled")
@pytest.mark.parametrize("bounded", [True, False])
def test_only_an_engine_that_rotates_its_log_may_have_lost_lines(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, bounded: bool
) -> None:
    """Nothing was heard, and the log is as long as what is left after a rotation."""
    monkeypatch.setattr(container_log, "ROTATED", 10)
    writer = LogSpool(container_log.spool_folder(plan))
    log = container_log._EngineLog(Engine(LINES), "c", writer, bounded)  # type: ignore[arg-type]
    log.take(follow=False)
    assert log_spool.is_lost(writer.folder) is bounded
