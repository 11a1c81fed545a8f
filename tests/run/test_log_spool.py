"""The spool of a log: every byte once, in order, and an exact count of what is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.run import log_spool as spool_module
from orchestrator.run.log_spool import LogSpool, SpoolReader, segments

PIECES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=40)), max_size=40)


def read(reader: SpoolReader) -> bytes:
    """What is there; bytes that are gone as `?`."""
    return b"".join(b"?" * missed + data for missed, data in reader.more())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=PIECES,
    looks=st.sets(st.integers(0, 40)),
    start=st.integers(0, 200),
    kills=st.sets(st.integers(0, 40)),
)
def test_whoever_reads_whenever_gets_every_byte_once(
    tmp_path_factory: pytest.TempPathFactory,
    pieces: list[tuple[int, bytes]],
    looks: set[int],
    start: int,
    kills: set[int],
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spool_module, "SEGMENT", 100)
        patched.setattr(spool_module, "LATEST", 3)
        spool, early, late = LogSpool(folder), SpoolReader(folder), SpoolReader(folder, start)
        seen = [b"", b""]
        for number, (stream, data) in enumerate(pieces):
            if number in kills:  # in the middle of a frame; another process goes on
                newest = folder / segments(folder)[-1].name
                newest.write_bytes(newest.read_bytes() + b"\1\0\0\0\7abc")
                spool = LogSpool(folder)
            spool.add(stream, data)
            if number in looks:
                seen = [before + read(reader) for before, reader in zip(seen, (early, late), strict=True)]
        seen = [before + read(reader) for before, reader in zip(seen, (early, late), strict=True)]
        written = b"".join(data for _, data in pieces)
        for found, wanted in zip(seen, (written, written[start:]), strict=True):
            assert len(found) == len(wanted)
            assert all(one in (ord("?"), other) for one, other in zip(found, wanted, strict=True))
        again = LogSpool(folder)
        assert again.size == len(written)
        assert [again.counts[n] for n in (1, 2)] == [
            sum(len(data) for stream, data in pieces if stream == n) for n in (1, 2)
        ]
        assert len(segments(folder)) <= 4


def test_a_reader_that_keeps_up_misses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT", 100)
    monkeypatch.setattr(spool_module, "LATEST", 1)
    spool, reader = LogSpool(tmp_path), SpoolReader(tmp_path)
    for number in range(1000):
        spool.add(1, b"%d\n" % number)
        assert [*reader.more()] == [(0, b"%d\n" % number)]


def test_only_the_ends_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT", 100)
    spool = LogSpool(tmp_path)
    for number in range(1000):
        spool.add(1, b"%09d\n" % number)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 100 * 10 * 2
    found = [*SpoolReader(tmp_path).more()]
    assert found[0] == (0, b"000000000\n")
    assert found[-1] == (0, b"000000999\n")
    assert sum(missed + len(data) for missed, data in found) == 10_000
