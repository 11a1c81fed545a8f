"""Large blobs out of a bucket whose server reads ranges. rclone's, which the other tests have, does not."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from support.local_server import Handler, LocalServer

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.launch.inputs import fetch_input
from orchestrator.launch.inputs.fetch_input import materialise
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.record.store import bucket_store, ranged_reads
from orchestrator.record.store.blob_store import DamagedBlobError
from orchestrator.record.store.bucket_store import BucketStore
from orchestrator.record.store.ranged_reads import AT_ONCE, RangedReads
from orchestrator.settings import load

PIECE = 1 << 16
DATA = os.urandom(40 * PIECE + 123)
BLOB = Digest.of(DATA)


class RangeServer:
    """Objects that can be read only, by ranges; each answer takes a moment."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[int, int]] = []  # ranges of answers with bytes
        self.most = 0  # answers at once
        self.pause = 0.0  # seconds before each eighth of an answer
        self._now, self._lock = 0, threading.Lock()
        server = self

        class RangeHandler(Handler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                data = server.objects.get(self.path.rpartition("/")[2])
                if data is None:
                    self.say(404)
                    return
                wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
                start, end = (int(wanted[1]), int(wanted[2] or len(data)) + 1) if wanted else (0, len(data))
                end = min(end, len(data))
                if start >= len(data):
                    self.say(416)
                    return
                headers = {"ETag": '"0"', "Last-Modified": self.date_time_string()}
                headers |= {"Content-Length": str(end - start)}
                headers |= {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"} if wanted else {}
                self.say(206 if wanted else 200, b"", headers)
                if self.command == "HEAD" or start == end:
                    return
                with server.counted(start, end):
                    for at in range(start, end, eighth := -(-(end - start) // 8)):
                        time.sleep(server.pause)
                        self.wfile.write(data[at : min(at + eighth, end)])

            do_HEAD = do_GET

        self.http = LocalServer(RangeHandler)

    @contextmanager
    def counted(self, start: int, end: int) -> Iterator[None]:
        with self._lock:
            self.asked.append((start, end))
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.005)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    made = RangeServer()
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.http.address)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "x")
    for module in (bucket_store, ranged_reads):
        monkeypatch.setattr(module, "PIECE", PIECE)
    made.objects[BLOB.hex] = DATA
    with made.http:
        yield made


@pytest.fixture
def far(server: RangeServer, tmp_path: Path) -> BucketStore:
    return BucketStore("s3://bucket/x", tmp_path / "spool")


@pytest.mark.parametrize("offset", [0, 5, 20 * PIECE, len(DATA) - PIECE, len(DATA) - 1])
def test_all_bytes_come_in_order_each_once(far: BucketStore, server: RangeServer, offset: int) -> None:
    assert b"".join(far.stream(BLOB, offset, len(DATA))) == DATA[offset:]
    edges = sorted(server.asked)
    assert edges[0][0] == offset and edges[-1][1] == len(DATA)
    assert all(before[1] == after[0] for before, after in pairwise(edges))
    if offset < 20 * PIECE:
        assert 1 < server.most <= AT_ONCE
        assert max(end - start for start, end in edges) == PIECE


def test_a_reader_that_checks_the_blob_reads_by_ranges_and_one_that_stops_asks_for_little(
    far: BucketStore, server: RangeServer
) -> None:
    far.verify(BLOB)
    assert len(server.asked) > 40
    server.asked.clear()
    with far.open(BLOB) as stream:
        assert stream.read(20) == DATA[:20]
    assert len(server.asked) == 1


def test_what_waits_in_memory_is_bounded_whoever_reads_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranged_reads, "PIECE", 10)
    reads, given, taken = RangedReads(), [0], 0

    def get(start: int, end: int) -> memoryview:
        given[0] += 1
        return memoryview(bytes(end - start))

    for piece in reads.read(get, 0, 1000):
        taken += 1
        time.sleep(0.0005)
        assert len(piece) == 10 and given[0] - taken <= AT_ONCE
    assert taken == 100


def test_reads_at_once_share_the_requests(far: BucketStore, server: RangeServer) -> None:
    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(far.verify, BLOB) for _ in range(4)]:
            one.result()
    assert server.most <= AT_ONCE + 4  # while one that had them alone still waits for some


def test_a_slow_server_is_read_to_the_end_and_one_that_stops_is_given_up(
    far: BucketStore, server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long all bytes of a blob may take says nothing: a minute was not enough for 10 GB."""
    for name in ("SILENCE", "PATIENCE"):
        monkeypatch.setattr(bucket_store, name, timedelta(seconds=0.4))
    server.pause = 0.15
    assert b"".join(far.stream(BLOB, 0)) == DATA  # by one request
    server.pause = 30
    began = time.monotonic()
    with pytest.raises(StoreError, match=f"reading blob {BLOB}"):
        list(far.stream(BLOB, 0))
    assert time.monotonic() - began < 10


def test_a_server_whose_ranges_fail_midway_is_named(
    far: BucketStore, server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = far.stream(BLOB, 0, len(DATA))
    next(found)
    del server.objects[BLOB.hex]
    with pytest.raises(StoreError, match=f"reading blob {BLOB}"):
        list(found)


@pytest.mark.parametrize("length", [PIECE // 2, PIECE, 20 * PIECE, 20 * PIECE + 7, len(DATA) + 9])
def test_a_blob_that_has_not_its_size_is_refused(
    server: RangeServer, tmp_path: Path, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look says the right size: it was cut, or got longer, after that."""
    server.objects[BLOB.hex] = b"X" + (DATA + bytes(9))[1:length]
    with fetching(tmp_path) as box:
        monkeypatch.setattr(fetch_input, "_size_in_store", lambda *_: len(DATA))
        with pytest.raises(DamagedBlobError, match=f"{BLOB} has other bytes, with {length} bytes in place"):
            materialise(box, BLOB, Silent())
        assert not box.inputs.has(BLOB)
        assert not list(box.inputs.incoming(BLOB).iterdir())


def test_a_large_file_is_gone_on_with_by_ranges(server: RangeServer, tmp_path: Path) -> None:
    with fetching(tmp_path) as box:
        begun = 30 * PIECE + 17
        (box.inputs.incoming(BLOB) / f"{BLOB.hex}.part").write_bytes(DATA[:begun])
        assert materialise(box, BLOB, Silent()).read_bytes() == DATA
        assert min(start for start, _ in server.asked) == begun


def fetching(tmp_path: Path) -> Session:
    environ = {"REPRISE_HOME": str(tmp_path / "box"), "REPRISE_STORE": "s3://bucket/x"}
    return Session(load(environ))
