"""A store that others write to, a server that lies: nothing hangs, nothing else is touched, all is told."""

from __future__ import annotations

import fcntl
import io
import os
import queue as queues
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.local_server import Handler, LocalServer
from support.processes import fork

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.record.store import pending_uploads
from orchestrator.record.store.blob_store import AbsentBlobError, DamagedBlobError, StoreOwner
from orchestrator.record.store.bucket_store import BucketStore
from orchestrator.record.store.folder_store import BlobStore

DATA = b"what a job made"
BLOB = Digest.of(DATA)
SECRET = b"a file of root's"


def put(store: BlobStore | BucketStore, *contents: bytes) -> list[Digest]:
    with store.batch() as batch:
        digests = [batch.add(io.BytesIO(data), len(data)) for data in contents]
    assert batch.mended == sorted(set(batch.mended), key=batch.mended.index)
    return digests


# A folder


def link_to_file(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "secret")


def link_to_folder(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def link_to_nothing(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "nothing" / "there")


def fifo(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def socket_there(path: Path, outside: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def folder_there(path: Path, outside: Path) -> None:
    path.mkdir()
    (path / "inside").write_bytes(b"x")


def file_there(path: Path, outside: Path) -> None:
    path.write_bytes(b"x")


KINDS = (link_to_file, link_to_folder, link_to_nothing, fifo, socket_there, folder_there, file_there)
PLACES = ("tmp", "tmp/gone-x", "tmp/0123456789abcdef", "sha256", "sha256/AB", "sha256/AB/BLOB", "sha256/ab/x")
PLACES += ("ledgers", "ledgers/0123456789abcdef")
ACTS: dict[str, Callable[[BlobStore], Any]] = {
    "has": lambda store: store.has(BLOB),
    "read": lambda store: store.read(BLOB),
    "verify": lambda store: store.verify(BLOB),
    "chunks": lambda store: b"".join(store.chunks_of(BLOB)),
    "list": lambda store: list(store.blobs()),
    "remove": lambda store: store.remove(BLOB, store.now()),
    "clean": lambda store: store.clean(),
    "put": lambda store: put(store, DATA, b"other"),
    "now": lambda store: store.now(),
    "ledgers": lambda store: store.ledgers(),
    "register": lambda store: store.register(StoreOwner("fedcba9876543210", "here")),
    "try out": lambda store: store.try_out(),
}


def outcomes(queue: Any, tmp_path: Path) -> None:
    """Of each act, what it says."""
    for name, act in ACTS.items():
        try:
            act(BlobStore(place_of(name, tmp_path)))
            said = "done"
        except StoreError as error:
            said = error.message
        except BaseException as error:  # noqa: BLE001  (told to the test)
            said = repr(error)
        queue.put((name, said))


def place_of(act: str, tmp_path: Path) -> Path:
    return tmp_path / act.replace(" ", "-")


def take_away(parent: str) -> None:
    """Each new folder of temporaries is replaced by one that we hold, so that its owner waits for us."""
    seen: set[str] = set()
    while True:
        for name in set(os.listdir(parent)) - seen:
            try:
                os.rename(f"{parent}/{name}", f"{parent}/aside-{name}")
                os.mkdir(f"{parent}/{name}")
                held = os.open(f"{parent}/{name}", os.O_RDONLY)
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            seen |= {name, f"aside-{name}"}


def put_often(folder: Path) -> None:
    for number in range(400):
        with suppress(StoreError):
            put(BlobStore(folder), str(number).encode())


@pytest.mark.slow
def test_nobody_is_kept_waiting_by_who_takes_folders_away(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    thief = fork.Process(target=take_away, args=(str(tmp_path / "tmp"),))
    victim = fork.Process(target=put_often, args=(tmp_path,))
    thief.start()
    victim.start()
    victim.join(120)
    waits = victim.is_alive()
    for process in (thief, victim):
        process.kill()
        process.join()
    assert not waits


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_whatever_lies_in_a_store_is_an_error_at_most(
    tmp_path: Path, place: str, kind: Callable[[Path, Path], None]
) -> None:
    outside = tmp_path / "outside"
    (outside / "mine").mkdir(parents=True)
    (outside / "mine" / "file").write_bytes(b"precious")
    (outside / "secret").write_bytes(SECRET)
    for name in ACTS:
        folder = place_of(name, tmp_path)
        put(BlobStore(folder), b"first")
        path = folder / place.replace("AB", BLOB.hex[:2]).replace("BLOB", BLOB.hex)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.rename(tmp_path / f"aside-{folder.name}")
        kind(path, outside)
    queue = fork.Queue()
    process = fork.Process(target=outcomes, args=(queue, tmp_path))
    process.start()
    found: dict[str, str] = {}
    try:
        while len(found) < len(ACTS):
            found |= [queue.get(timeout=120)]
    except queues.Empty:  # one that waits for a FIFO never says anything
        (waiting, *_) = [name for name in ACTS if name not in found]
        pytest.fail(f"{waiting}: still waiting after 120 s")
    finally:
        process.kill()
        process.join()
    for name, said in found.items():
        assert "(" not in said.partition(":")[0], f"{name}: {said}"
    assert sorted(str(one.relative_to(outside)) for one in outside.rglob("*")) == [
        *("mine", "mine/file", "secret"),
    ]
    assert (outside / "mine" / "file").read_bytes() == b"precious"
    for name in ACTS:
        folder = place_of(name, tmp_path)
        hidden = Digest.of(SECRET)  # which nobody else may learn
        assert not (folder / "sha256" / hidden.hex[:2] / hidden.hex).exists()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_lies_in_a_blobs_place_is_mended_by_who_has_the_bytes(
    tmp_path: Path, kind: Callable[[Path, Path], None]
) -> None:
    store, told = BlobStore(tmp_path / "store"), list[Digest]()
    store.on_mended = told.extend
    (outside := tmp_path / "outside").mkdir()
    (outside / "secret").write_bytes(SECRET)
    store.path(BLOB).parent.mkdir(parents=True)
    kind(store.path(BLOB), outside)
    there = store.path(BLOB).exists()
    with pytest.raises(DamagedBlobError if there else AbsentBlobError):
        store.verify(BLOB)
    put(store, DATA)
    assert store.read(BLOB) == DATA
    assert told == ([BLOB] if there else [])
    assert (outside / "secret").read_bytes() == SECRET
    put(store, DATA)
    assert len(told) == there, "whole, it is not mended again"


@pytest.mark.parametrize("damage", [DATA[:3], b"X" + DATA[1:], DATA + b"x", b""])
def test_altered_bytes_are_mended_by_who_has_the_good_ones(tmp_path: Path, damage: bytes) -> None:
    store, told = BlobStore(tmp_path / "store"), list[Digest]()
    store.on_mended = told.extend
    put(store, DATA, b"other")
    store.path(BLOB).chmod(0o644)
    store.path(BLOB).write_bytes(damage)
    put(store, b"other", DATA)
    assert store.read(BLOB) == DATA
    assert told == [BLOB]


def test_bytes_are_checked_before_the_first_is_given(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "store")
    put(store, DATA)
    assert b"".join(store.chunks_of(BLOB)) == DATA
    store.path(BLOB).chmod(0o644)
    store.path(BLOB).write_bytes(b"<html>502 Bad Gateway</html>")
    with pytest.raises(DamagedBlobError):
        next(store.chunks_of(BLOB))


# A server


class Liar:
    """An S3 server that says yes to each put, and keeps what `keep` makes of it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.keep: Callable[[bytes], bytes | None] = lambda data: data
        self.puts = 0
        self.checksums: list[str | None] = []
        server = self

        class LyingHandler(Handler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                server.puts += 1
                server.checksums.append(self.headers.get("x-amz-checksum-sha256"))
                kept = data if "/ledgers/" in self.path or "/clock/" in self.path else server.keep(data)
                if kept is not None:
                    server.objects[self.path] = kept
                self.say(200)

            def do_GET(self) -> None:
                if "list-type" in self.path:
                    self.say(200, b'<?xml version="1.0"?><ListBucketResult></ListBucketResult>')
                elif self.path in server.objects:
                    self.say(200, server.objects[self.path])
                else:
                    self.say(404)

            do_HEAD = do_GET

            def do_POST(self) -> None:
                """Of several at once; they stay, which nobody minds."""
                asked = self.rfile.read(int(self.headers["Content-Length"]))
                gone = b"".join(
                    b"<Deleted><Key>%s</Key></Deleted>" % key
                    for key in re.findall(b"<Key>(.*?)</Key>", asked)
                )
                self.say(200, b'<?xml version="1.0"?><DeleteResult>%s</DeleteResult>' % gone)

            def say(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
                own = {"ETag": '"0"', "Last-Modified": self.date_time_string()}
                super().say(status, body, own | dict(headers or {}))

        self.http = LocalServer(LyingHandler)


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Iterator[Liar]:
    made = Liar()
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.http.address)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr(pending_uploads, "PAUSE", 0.01)
    with made.http:
        yield made


@pytest.fixture
def far(liar: Liar, tmp_path: Path) -> BucketStore:
    return BucketStore("s3://bucket/x", tmp_path / "spool")


LIES: dict[str, Callable[[bytes], bytes | None]] = {
    "nothing": lambda _: None,
    "other bytes": lambda data: b"X" + data[1:],
    "half": lambda data: data[: len(data) // 2],
    "an error page": lambda _: b"<html>502 Bad Gateway</html>",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_is_not_believed(far: BucketStore, liar: Liar, lie: str) -> None:
    liar.keep = LIES[lie]
    with pytest.raises(StoreError, match="said 3 times that it has"):
        put(far, DATA)
    with pytest.raises(StoreError, match="said that it took 32 bytes"):
        far.try_out()


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_once_is_put_right(far: BucketStore, liar: Liar, lie: str) -> None:
    told: list[bool] = []

    def once(data: bytes) -> bytes | None:
        told.append(True)
        return LIES[lie](data) if len(told) == 1 else data

    liar.keep = once
    put(far, DATA)
    assert far.read(BLOB) == DATA
    assert len(told) == 2


@pytest.mark.parametrize("lie", [name for name in LIES if name != "nothing"])
def test_what_was_altered_on_a_server_is_mended(far: BucketStore, liar: Liar, lie: str) -> None:
    mended: list[Digest] = []
    far.on_mended = mended.extend
    liar.keep = LIES[lie]
    with pytest.raises(StoreError):
        put(far, DATA)
    liar.keep = lambda data: data
    put(far, DATA)
    assert (far.read(BLOB), mended) == (DATA, [BLOB])


def test_a_put_carries_its_checksum(far: BucketStore, liar: Liar) -> None:
    put(far, DATA)
    assert None not in liar.checksums


def test_absent_altered_and_away_are_three_things(far: BucketStore, liar: Liar, tmp_path: Path) -> None:
    with pytest.raises(AbsentBlobError):
        far.verify(BLOB)
    liar.objects[f"/bucket/x/{far.key(BLOB)}"] = b"other"
    with pytest.raises(DamagedBlobError):
        far.verify(BLOB)
    with pytest.raises(StoreError) as caught:
        BlobStore(Path("/proc/1/mem/store")).verify(BLOB)
    assert not isinstance(caught.value, DamagedBlobError)


def test_a_blob_of_another_size_is_not_read(tmp_path: Path) -> None:
    """A hole of 8 TB takes nothing but its name, and hours to read."""
    store = BlobStore(tmp_path)
    put(store, DATA)
    path = store.path(BLOB)
    path.unlink()
    with path.open("wb") as stream:
        stream.truncate(8 << 40)
    with pytest.raises(DamagedBlobError):
        next(store.chunks_of(BLOB, len(DATA)))
