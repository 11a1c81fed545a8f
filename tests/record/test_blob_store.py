"""What every store holds, a folder and a bucket of a real S3 server alike."""

from __future__ import annotations

import io
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import pytest
from support.failing_disk import Torn
from support.services import S3Server

from orchestrator.digest import Digest
from orchestrator.errors import StoreError, UsageError
from orchestrator.record.store import bucket_store, pending_uploads
from orchestrator.record.store.blob_store import Store
from orchestrator.record.store.bucket_store import BucketStore
from orchestrator.record.store.open_store import open_store
from orchestrator.settings import load

SIZES = (0, 1, 1000, bucket_store.PART + 1)
SOON = timedelta(days=1)


@dataclass
class Place:
    """A store, and where its bytes really lie."""

    store: Store
    root: Path
    environ: dict[str, str]
    server: S3Server | None = None

    def path(self, digest: Digest) -> Path:
        return self.root / "sha256" / digest.hex[:2] / digest.hex

    def alter(self, digest: Digest, data: bytes) -> None:
        self.path(digest).chmod(0o644)
        self.path(digest).write_bytes(data)
        self.touched()

    def age(self, digest: Digest, by: timedelta) -> None:
        moment = (datetime.now(UTC) - by).timestamp()
        os.utime(self.path(digest), (moment, moment))
        self.touched()

    def touched(self) -> None:
        if self.server is not None:
            self.server.touched()


@pytest.fixture(params=["folder", "bucket"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Place:
    environ = {"REPRISE_HOME": str(tmp_path / "home")}
    if request.param == "folder":
        return Place(open_store(load(environ)), tmp_path / "home" / "store", environ)
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    prefix = f"team/{secrets.token_hex(6)}"
    environ["REPRISE_STORE"] = s3.address(prefix)
    return Place(open_store(load(environ)), s3.path(prefix), environ | s3.environ, s3)


@pytest.fixture
def far(place: Place) -> BucketStore:
    assert isinstance(place.store, BucketStore)
    return place.store


only_bucket = pytest.mark.parametrize("place", ["bucket"], indirect=True)


def put(store: Store, *contents: bytes) -> list[Digest]:
    with store.batch() as batch:
        return [batch.add(io.BytesIO(data), len(data)) for data in contents]


def spool(place: Place) -> Path:
    return place.store.spool if isinstance(place.store, BucketStore) else place.root / "tmp"


@pytest.mark.parametrize("size", SIZES)
def test_what_goes_in_comes_out(place: Place, size: int) -> None:
    store, data = place.store, os.urandom(size)
    digest = store.put_bytes(data)
    assert digest == Digest.of(data)
    assert store.has(digest)
    assert store.read(digest) == data
    store.verify(digest)
    with store.open(digest) as stream:
        stream.seek(size // 2)
        assert stream.read() == data[size // 2 :]
        stream.seek(0)
        assert stream.read(10) == data[:10]
    with store.file(digest) as path:
        assert path.read_bytes() == data
        assert path.stat().st_mode & 0o222 == 0


def test_what_cannot_be_read_is_not_called_a_store_that_fails(place: Place) -> None:
    with pytest.raises(OSError, match="Input/output"), place.store.batch() as batch:
        batch.add(Torn(b"half"), 1000)
    assert list(place.store.blobs()) == []


def test_another_disk_that_is_full_is_not_called_the_store(place: Place) -> None:
    """Such as the one where an import puts its inputs, beside the store."""
    with pytest.raises(OSError, match="quota"), place.store.batch() as batch:
        batch.add(io.BytesIO(b"one"), 3)
        raise OSError(122, "Disk quota exceeded")
    assert list(place.store.blobs()) == []


def test_a_copy_for_a_container_is_for_nobody_else_of_the_box(place: Place) -> None:
    if place.server is None:
        place.root.mkdir(parents=True, exist_ok=True)
        place.root.chmod(0o777)  # shared: what lies there may be swapped
    digest = place.store.put_bytes(b"a model of ours")
    with place.store.file(digest) as path:
        assert path.read_bytes() == b"a model of ours"
        assert path.stat().st_mode & 0o777 == 0o444
        assert path.parent.stat().st_mode & 0o777 == 0o700


@only_bucket
@pytest.mark.parametrize("ranges", [True, False])
def test_pieces_of_a_large_blob(far: BucketStore, ranges: bool) -> None:
    """By ranges where the server knows them; rclone's does not, obstore's own in memory does."""
    if ranges:
        from obstore.store import MemoryStore

        far.__dict__["client"] = far.__dict__["reader"] = MemoryStore()
    data = os.urandom(3 * bucket_store.PART + 77)
    digest = far.put_bytes(data)
    with far.open(digest) as stream:
        for place in (bucket_store.PART, 5, 2 * bucket_store.PART + 3, 0, len(data) - 5, len(data)):
            stream.seek(place)
            assert stream.read(20) == data[place : place + 20]
        stream.seek(-7, os.SEEK_END)
        assert stream.read() == data[-7:]
    assert far._ranges is ranges


def test_many_at_once_and_a_limit(place: Place) -> None:
    contents = [f"blob {number}".encode() * number for number in range(60)]  # more than a folder's FEW
    digests = put(place.store, *contents, *contents[:5])
    assert digests == [Digest.of(data) for data in (*contents, *contents[:5])]
    assert {one.digest for one in place.store.blobs()} == set(digests)
    with place.store.batch() as batch:
        assert batch.add(io.BytesIO(b"abcdef"), 3) == Digest.of(b"abc")
    assert place.store.read(Digest.of(b"abc")) == b"abc"


def test_a_block_that_raises_stores_nothing(place: Place) -> None:
    with pytest.raises(ZeroDivisionError), place.store.batch() as batch:
        batch.add(io.BytesIO(b"one"), 3)
        raise ZeroDivisionError
    assert not place.store.has(Digest.of(b"one"))
    assert list(place.store.blobs()) == []
    assert list(spool(place).iterdir()) == []


@pytest.mark.parametrize("size", [1000, bucket_store.PART + 1])
def test_altered_bytes_are_named(place: Place, size: int) -> None:
    data = os.urandom(size)
    digest = place.store.put_bytes(data)
    for damaged in (bytes([data[0] ^ 1]) + data[1:], data[:-1], data + b"x", b""):
        place.alter(digest, damaged)
        with pytest.raises(StoreError, match=f"{digest} has other bytes"):
            place.store.verify(digest)
        with pytest.raises(StoreError, match=f"{digest} has other bytes"):
            place.store.read(digest)


def test_a_damaged_length_is_mended_by_the_next_batch(place: Place) -> None:
    digest = place.store.put_bytes(b"whole")
    place.alter(digest, b"whol")
    assert place.store.put_bytes(b"whole") == digest
    assert place.store.read(digest) == b"whole"


def test_what_is_not_there_is_absent(place: Place) -> None:
    digest = Digest.of(b"never")
    assert not place.store.has(digest)
    for work in (place.store.open, place.store.read, place.store.verify):
        with pytest.raises(StoreError, match=f"{digest} is not in the store"):
            work(digest)
    with pytest.raises(StoreError, match="is not in the store"), place.store.file(digest):
        pass
    assert place.store.remove(digest, datetime.now(UTC) + SOON) is False


def test_16_writers_of_the_same_blobs(place: Place) -> None:
    contents = [os.urandom(5000) for _ in range(12)]
    with ThreadPoolExecutor(16) as pool:
        found = [done.result() for done in [pool.submit(put, place.store, *contents) for _ in range(16)]]
    assert found == [[Digest.of(data) for data in contents]] * 16
    for data in contents:
        assert place.store.read(Digest.of(data)) == data


def test_only_what_is_old_is_removed(place: Place) -> None:
    old, young = put(place.store, b"old", b"young")
    place.age(old, timedelta(days=2))
    limit = datetime.now(UTC) - timedelta(days=1)
    listed = {one.digest: one for one in place.store.blobs()}
    assert listed[old].modified < limit <= listed[young].modified
    assert (listed[old].size, listed[young].size) == (3, 5)
    assert place.store.remove(young, limit) is False
    assert place.store.remove(old, limit) is True
    assert (place.store.has(old), place.store.has(young)) == (False, True)


@only_bucket
def test_a_blob_that_is_met_soon_is_not_put_again(place: Place) -> None:
    """As long as no collection may take it: that is what `shortest` is for."""
    digest = place.store.put_bytes(b"again")
    place.age(digest, pending_uploads.YOUNG / 2)
    before = place.path(digest).stat().st_mtime_ns
    place.store.put_bytes(b"again")
    assert place.path(digest).stat().st_mtime_ns == before
    assert place.store.remove(digest, datetime.now(UTC) - place.store.shortest) is False


def test_an_old_blob_that_is_met_again_is_young(place: Place) -> None:
    digest = place.store.put_bytes(b"again")
    place.age(digest, timedelta(days=2))
    assert place.store.put_bytes(b"again") == digest
    assert place.store.remove(digest, datetime.now(UTC) - timedelta(days=1)) is False
    assert place.store.read(digest) == b"again"


def test_files_that_are_no_blobs_are_listed_as_such(place: Place) -> None:
    digest = place.store.put_bytes(b"one")
    (place.root / "sha256" / digest.hex[:2] / "readme").write_text("mine")
    (place.root / "sha256" / "zz").mkdir()
    (place.root / "sha256" / "zz" / digest.hex).write_text("misplaced")
    place.touched()
    found = [one.digest for one in place.store.blobs()]
    assert sorted(found, key=str) == sorted([None, None, digest], key=str)


@pytest.mark.parametrize("address", ["s3://", "s3://b/ a", "ftp://bucket/x", "s3:///x"])
def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="no address of a store"):
        open_store(load({"REPRISE_HOME": str(tmp_path), "REPRISE_STORE": address}))


def test_a_wrong_key_and_a_missing_bucket_are_named(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (s3.environ | {"AWS_ACCESS_KEY_ID": "somebody-else"}).items():
        monkeypatch.setenv(name, value)
    address = s3.address("x")
    store = open_store(load({"REPRISE_HOME": str(tmp_path), "REPRISE_STORE": address}))
    with pytest.raises(StoreError, match=f"{address}: looking for blob") as caught:
        store.put_bytes(b"x")
    assert "AWS_ENDPOINT_URL" in str(caught.value.hint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.environ["AWS_ACCESS_KEY_ID"])
    other = open_store(load({"REPRISE_HOME": str(tmp_path), "REPRISE_STORE": "s3://nowhere/x"}))
    with pytest.raises(StoreError, match="s3://nowhere/x"):
        other.put_bytes(b"x")


def test_a_server_that_is_away_is_waited_for_and_then_named(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(bucket_store, "PATIENCE", timedelta(seconds=2))
    store = open_store(load({"REPRISE_HOME": str(tmp_path), "REPRISE_STORE": s3.address("away")}))
    s3.stop()
    try:
        with pytest.raises(StoreError, match="looking for blob"):
            store.put_bytes(b"x")
    finally:
        s3.start()
    assert store.read(store.put_bytes(b"x")) == b"x"


def test_an_upload_that_fails_ends_the_batch_once(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not after the patience of each of 300 blobs, 8 at once: 37 s at least."""
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(bucket_store, "PATIENCE", timedelta(seconds=1))
    store = open_store(load({"REPRISE_HOME": str(tmp_path), "REPRISE_STORE": s3.address("away")}))
    began = time.monotonic()
    s3.stop()
    try:
        with pytest.raises(StoreError, match="looking for blob"):
            put(store, *(os.urandom(100) for _ in range(300)))
    finally:
        s3.start()
    assert time.monotonic() - began < 15
    assert list((tmp_path / "spool").iterdir()) == []


PROLOGUE = """
import io, json, os, signal, sys
from orchestrator.digest import Digest
from orchestrator.record.store.open_store import open_store
from orchestrator.settings import load
store = open_store(load())
"""


def python(place: Place, script: str, *words: str) -> subprocess.Popen[bytes]:
    """A process of its own: a forked one would share the client's threads, which it has not got."""
    command = [sys.executable, "-c", PROLOGUE + script, *words]
    return subprocess.Popen(command, env=os.environ | place.environ, stdout=subprocess.PIPE)


@only_bucket
def test_processes_storing_the_same_blobs_see_them_whole(place: Place) -> None:
    script = """
for number in range(20):
    data = str(number).encode() * 1000
    digest = store.put_bytes(data)
    assert store.read(digest) == data
"""
    processes = [python(place, script) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    found = {one.digest for one in place.store.blobs()}
    assert found == {Digest.of(str(number).encode() * 1000) for number in range(20)}


@only_bucket
@pytest.mark.parametrize("size", [1000, bucket_store.PART + 1])
def test_a_kill_amid_uploads_leaves_whole_blobs_and_the_next_batch_tidies_up(
    s3: S3Server, place: Place, size: int
) -> None:
    """Killed at the third upload; in a folder, at each step: test_folder_store.py."""
    script = """
size, left = int(sys.argv[1]), [2]
def dying(real):
    def work(*words, **named):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*words, **named)
    return work
store.put = dying(store.put)
with store.batch() as batch:
    for number in range(6):
        batch.add(io.BytesIO(bytes([number]) * size), size)
"""
    assert python(place, script, str(size)).wait(120) == -signal.SIGKILL
    contents = [bytes([number]) * size for number in range(6)]
    there = [one.digest for one in place.store.blobs()]
    assert len(there) <= 3
    for digest in there:
        assert digest is not None
        place.store.verify(digest)
    put(place.store, *contents)
    for data in contents:
        place.store.verify(Digest.of(data))
    assert list(spool(place).iterdir()) == []


@pytest.mark.slow
def test_a_huge_blob_takes_little_memory(place: Place) -> None:
    """200 MB in and out. The folder's process takes 27 MB, the bucket's 66 MB, most of it the parts."""
    script = """
class Zeros(io.RawIOBase):
    left = 200_000_000
    def readable(self):
        return True
    def readinto(self, buffer):
        count = min(len(buffer), self.left)
        buffer[:count] = bytes(count)
        self.left -= count
        return count
with store.batch() as batch:
    digest = batch.add(io.BufferedReader(Zeros()), 200_000_000)
store.verify(digest)
with store.file(digest) as path:
    size = path.stat().st_size
(most,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps([digest, size, int(most)]))
"""
    process = python(place, script)
    out, _ = process.communicate(timeout=120)
    digest, size, kibibytes = json.loads(out)
    assert size == 200_000_000
    assert place.store.has(Digest(digest))
    assert kibibytes < 120 * 1024


@only_bucket
def test_a_batch_of_many_blobs_holds_no_descriptors(far: BucketStore) -> None:
    with far.batch() as batch:
        before = len(os.listdir("/proc/self/fd"))
        for number in range(300):
            batch.add(io.BytesIO(str(number).encode()), 10)
        assert len(os.listdir("/proc/self/fd")) <= before + 1


class Held:
    """A collection that has looked at a blob's age, and is held before it removes it."""

    def __init__(self, far: BucketStore, digest: Digest, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looked, self.go = threading.Event(), threading.Event()
        mine = BucketStore(far.name, far.spool)
        head = mine.head

        def slow(one: Digest) -> tuple[int, datetime] | None:
            found = head(one)
            self.looked.set()
            assert self.go.wait(120)
            return found

        monkeypatch.setattr(mine, "head", slow)
        limit = datetime.now(UTC) - timedelta(days=1)
        self.thread = threading.Thread(target=mine.remove, args=(digest, limit))
        self.thread.start()
        assert self.looked.wait(120)


@only_bucket
def test_a_blob_that_is_met_just_before_it_goes_is_put_again(
    place: Place, far: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = far.put_bytes(b"unlucky")
    place.age(digest, timedelta(days=2))
    held = Held(far, digest, monkeypatch)
    again = threading.Thread(target=far.put_bytes, args=(b"unlucky",))
    again.start()
    again.join(1)
    waited = again.is_alive()
    held.go.set()  # the collection takes what the batch has just put
    held.thread.join(120)
    again.join(120)
    assert waited, "for the collection that was at work"
    assert far.read(digest) == b"unlucky"
    assert far.at_work() == set()


@only_bucket
def test_a_collection_that_was_killed_is_not_waited_for_for_ever(
    place: Place, far: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_store, "WAIT", timedelta(seconds=0.3))
    script = "with store.removing():\n    os.kill(os.getpid(), signal.SIGKILL)"
    assert python(place, script).wait(120) == -signal.SIGKILL
    assert len(far.at_work()) == 1
    digest = far.put_bytes(b"x")
    assert far.at_work() == set()
    assert far.read(digest) == b"x"


@only_bucket
def test_trials_of_commands_that_were_killed_go_after_a_day(place: Place, far: BucketStore) -> None:
    names = [f"{kind}/{age}" for kind in ("trial", "clock") for age in ("old", "young")]
    for name in names:
        obstore.put(far.client, name, b"now")
    past = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    for name in names:
        if name.endswith("old"):
            os.utime(place.root / name, (past, past))
    place.touched()
    assert far.clean() == 6
    assert far.clean() == 0
    assert [name for name in names if (place.root / name).exists()] == ["trial/young", "clock/young"]


@only_bucket
def test_a_collection_that_was_stopped_too_long_removes_nothing(
    place: Place, far: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = far.put_bytes(b"old")
    place.age(digest, timedelta(days=2))
    monkeypatch.setattr(bucket_store, "REMOVING", timedelta(seconds=0))
    assert far.remove(digest, datetime.now(UTC) - timedelta(days=1)) is False
    assert far.has(digest)
