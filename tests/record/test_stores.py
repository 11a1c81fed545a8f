"""What every store holds, a folder and a bucket of a real S3 server alike."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from services import S3Server, s3_server

from orchestrator.digest import Digest
from orchestrator.errors import StoreError, UsageError
from orchestrator.record import bucket
from orchestrator.record.store import Store, open_store
from orchestrator.settings import load

SIZES = (0, 1, 1000, bucket.IN_MEMORY + 1, bucket.PART + 1)
SOON = timedelta(days=1)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@dataclass
class Place:
    """A store, and where its bytes really lie."""

    store: Store
    root: Path
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
        return Place(open_store(load(environ)), tmp_path / "home" / "store")
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    prefix = f"team/{secrets.token_hex(6)}"
    return Place(open_store(load(environ | {"REPRISE_STORE": s3.address(prefix)})), s3.path(prefix), s3)


def put(store: Store, *contents: bytes) -> list[Digest]:
    with store.batch() as batch:
        return [batch.add(io.BytesIO(data), len(data)) for data in contents]


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


def test_many_at_once_and_a_limit(place: Place) -> None:
    contents = [f"blob {number}".encode() * number for number in range(60)]
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


@pytest.mark.parametrize("size", [1000, bucket.PART + 1])
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
    monkeypatch.setattr(bucket, "PATIENCE", timedelta(seconds=2))
    store = open_store(load({"REPRISE_HOME": str(tmp_path), "REPRISE_STORE": s3.address("away")}))
    s3.stop()
    try:
        with pytest.raises(StoreError, match="looking for blob"):
            store.put_bytes(b"x")
    finally:
        s3.start()
    assert store.read(store.put_bytes(b"x")) == b"x"
