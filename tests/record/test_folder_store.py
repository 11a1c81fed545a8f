"""The store: whole or not at all, under the right name, durable in the right order."""

from __future__ import annotations

import io
import os
import resource
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import tries
from support.processes import fork, killed, together

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.record.store import folder_batch, folder_store
from orchestrator.record.store.folder_store import BlobStore
from orchestrator.record.store.safe_folders import open_file
from orchestrator.run.collect.output_files import collect_outputs


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "home" / "store")


def files(store: BlobStore) -> list[Path]:
    """Everything under the store that is not a folder."""
    return sorted(path for path in store.folder.rglob("*") if not path.is_dir())


def put(store: BlobStore, *contents: bytes) -> list[Digest]:
    with store.batch() as batch:
        return [batch.add(io.BytesIO(data), len(data)) for data in contents]


@settings(max_examples=tries(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=3000), limit=st.integers(0, 4000))
def test_at_most_so_many_bytes_are_taken(store: BlobStore, data: bytes, limit: int) -> None:
    with store.batch() as batch:
        digest = batch.add(io.BytesIO(data), limit)
    assert store.read(digest) == data[:limit]


def test_a_stream_that_gives_little_at_a_time_is_read_to_its_end(store: BlobStore) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(7, size or 7))

    data = os.urandom(1000)
    with store.batch() as batch:
        digest = batch.add(Slow(data), 10_000)
    assert store.read(digest) == data


def test_it_takes_what_the_collection_of_outputs_gives(store: BlobStore, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "model.pt").write_bytes(b"weights" * 1000)
    (workspace / "empty").touch()
    with store.batch() as batch:
        outputs = collect_outputs(workspace, ("**",), 1 << 20, batch).outputs
    found = {item.path: store.read(item.digest) for item in outputs if item.digest}
    assert found == {"empty": b"", "model.pt": b"weights" * 1000}


def test_nothing_is_visible_before_the_batch_is_left(store: BlobStore) -> None:
    with store.batch() as batch:
        digest = batch.add(io.BytesIO(b"one"), 3)
        assert not store.has(digest)
        with pytest.raises(StoreError, match="not in the store"):
            store.open(digest)
    assert store.has(digest)


def test_a_blob_that_is_there_is_not_written_again(store: BlobStore) -> None:
    (digest,) = put(store, b"same")
    before = store.path(digest).stat()
    assert put(store, b"same", b"same") == [digest, digest]
    after = store.path(digest).stat()
    assert before.st_ino == after.st_ino
    assert before.st_mtime_ns <= after.st_mtime_ns, "met again, it is young again"
    assert files(store) == [store.path(digest)]


@pytest.mark.parametrize(
    "read",
    [
        lambda stream: stream.read(),
        lambda stream: stream.read(1 << 21),
        lambda stream: stream.readline(),
        lambda stream: stream.readinto(bytearray(10)),
        lambda stream: stream.read1(10),
        list,
        lambda stream: stream.seek(0, os.SEEK_END),
    ],
)
def test_a_blob_that_the_disk_does_not_give_is_named(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch, read: Callable[[BinaryIO], object]
) -> None:
    """Here a plain file that the kernel opens: nothing is at its beginning, and it has no end."""
    (digest,) = put(store, b"one")
    memory = Path("/proc/self/mem")
    monkeypatch.setattr(folder_store, "open_file", lambda _, raw: open_file(memory, raw))
    with store.open(digest) as stream, pytest.raises(StoreError, match=f"blob {digest} cannot be read: "):
        read(stream)


def test_a_blob_that_cannot_be_compared_with_the_bytes_in_hand_is_the_store_s_trouble(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, b"one")
    monkeypatch.setattr(folder_batch, "open_file", lambda _: open_file(Path("/proc/self/mem")))
    with pytest.raises(StoreError, match=f"storing into {store.folder} failed: Input/output error"):
        put(store, b"one")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Path]]]:
    """What is done to the disk, in order."""
    found: list[tuple[str, Path]] = []

    def noted(name: str, real: Callable[[Path], Any]) -> Callable[[Path], None]:
        def call(path: Path) -> None:
            found.append((name, path.resolve()))
            real(path)

        return call

    monkeypatch.setattr(folder_batch, "fsync_file", noted("data", folder_batch.fsync_file))
    monkeypatch.setattr(folder_batch, "fsync_folder", noted("folder", folder_batch.fsync_folder))
    monkeypatch.setattr(folder_batch, "sync_filesystem", noted("all", folder_batch.sync_filesystem))
    replace = Path.replace

    def renamed(path: Path, target: Path) -> Path:
        found.append(("name", target.parent.resolve() / target.name))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", renamed)
    yield found


def test_data_is_durable_before_names_and_names_before_the_end(
    store: BlobStore, events: list[tuple[str, Path]]
) -> None:
    digests = put(store, b"one", b"two")
    assert [name for name, _ in events[:4]] == ["data", "data", "name", "name"]
    assert {path for name, path in events if name == "name"} == {store.path(digest) for digest in digests}
    kept = {path for name, path in events[4:] if name == "folder"}
    assert kept >= {store.path(digest).parent for digest in digests}
    assert kept >= {store.folder / "sha256", store.folder, store.folder.parent}


def test_many_files_cost_two_calls(store: BlobStore, events: list[tuple[str, Path]]) -> None:
    put(store, *(str(number).encode() for number in range(500)))
    names = [name for name, _ in events]
    assert names == ["all", *["name"] * 500, "all"]


def test_a_blob_that_was_there_is_made_durable_too(store: BlobStore, events: list[tuple[str, Path]]) -> None:
    """Who renamed it may not have come to its fsync, and our row may be committed before."""
    (digest,) = put(store, b"one")
    events.clear()
    put(store, b"one")
    assert ("folder", store.path(digest).parent) in events
    assert "name" not in {name for name, _ in events}


def test_a_new_store_is_durable_up_to_the_folder_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob is lost with any folder above it whose own name was not yet on the disk."""
    synced = set()
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.add(Path(f"/proc/self/fd/{fd}").readlink())
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    store = BlobStore(tmp_path / "a" / "b" / "store")
    (digest,) = put(store, b"one")
    above = [folder for folder in store.path(digest).parents if folder.is_relative_to(tmp_path)]
    assert set(above) <= synced


def test_an_empty_batch_costs_nothing(store: BlobStore, events: list[tuple[str, Path]]) -> None:
    put(store)
    assert events == []


def told(queue: Any, work: Callable[..., None], *arguments: Any) -> None:
    try:
        work(*arguments)
        queue.put("done")
    except StoreError as error:
        queue.put((error.message, error.hint))


def in_a_process(work: Callable[..., None], *arguments: Any) -> Any:
    queue = fork.Queue()
    process = fork.Process(target=told, args=(queue, work, *arguments))
    process.start()
    found = queue.get(timeout=120)
    process.join(timeout=120)
    return found


def put_over_the_limit(store: BlobStore) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    put(store, b"small", b"x" * 20_000)


def test_a_write_that_fails_leaves_nothing_half(store: BlobStore) -> None:
    message, _ = in_a_process(put_over_the_limit, store)
    assert "failed" in message
    assert str(store.folder) in message
    assert files(store) == []
    (digest,) = put(store, b"small")
    assert store.read(digest) == b"small"


def test_a_full_disk_is_said_to_be_full(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(folder_batch, "fsync_file", full)
    with pytest.raises(StoreError, match="No space left") as caught:
        put(store, b"one")
    assert "make room" in (caught.value.hint or "")
    assert files(store) == []


def test_a_store_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="file/store"):
        put(BlobStore(tmp_path / "file" / "store"), b"one")


def put_and_die(store: BlobStore, where: str) -> None:
    """Die as by kill -9 at a step of the commit."""
    count = 0

    def die(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    if where == "name":
        replace = Path.replace

        def replace_or_die(path: Path, target: Path) -> Path:
            die()
            return replace(path, target)

        Path.replace = replace_or_die  # type: ignore[method-assign]
    else:
        setattr(folder_batch, where, die)
    put(store, b"one", b"two", b"three", b"four")


@pytest.mark.parametrize(("where", "visible"), [("fsync_file", 0), ("name", 2), ("fsync_folder", 4)])
def test_a_kill_leaves_whole_blobs_and_the_next_batch_tidies_up(
    store: BlobStore, where: str, visible: int
) -> None:
    killed(put_and_die, store, where)
    there = [digest for digest in map(Digest.of, (b"one", b"two", b"three", b"four")) if store.has(digest)]
    assert len(there) == visible
    for digest in there:
        store.verify(digest)
    digests = put(store, b"one", b"two", b"three", b"four")
    assert files(store) == sorted(store.path(digest) for digest in digests)
    assert list((store.folder / "tmp").iterdir()) == []


def test_a_batch_at_work_is_not_tidied_away(store: BlobStore) -> None:
    with store.batch() as batch:
        first = batch.add(io.BytesIO(b"first"), 5)
        put(store, b"second")  # another batch begins and ends meanwhile
        assert in_a_process(put, store, b"third") == "done"
    assert store.read(first) == b"first"
    assert len(files(store)) == 3


def put_with_others(queue: Any, barrier: Any, _number: int, store: BlobStore, contents: list[bytes]) -> None:
    barrier.wait()
    for data in contents:
        (digest,) = put(store, data)
        store.verify(digest)
    queue.put("done")


def test_8_processes_storing_the_same_blobs_see_them_whole(store: BlobStore) -> None:
    contents = [os.urandom(3000) for _ in range(25)]
    assert together(8, put_with_others, store, contents) == ["done"] * 8
    assert files(store) == sorted(store.path(Digest.of(data)) for data in contents)


def test_a_store_of_ones_own_is_as_the_umask_says(store: BlobStore) -> None:
    before = os.umask(0o077)
    try:
        (digest,) = put(store, b"mine")
    finally:
        os.umask(before)
    path = store.path(digest)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, store.folder)} == {0o700}


def as_user(user: int, work: Callable[..., None], *arguments: Any) -> None:
    """As that user where we may become one; else at least with a umask that shuts the others out."""
    os.umask(0o077)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    work(*arguments)


@pytest.fixture
def shared() -> Iterator[Path]:
    """As docs/team.md makes it; pytest's own folders are for one user."""
    with tempfile.TemporaryDirectory(prefix="reprise-shared-") as above:
        Path(above).chmod(0o755)
        folder = Path(above) / "store"
        folder.mkdir()
        folder.chmod(0o1777)
        yield folder


def test_users_of_a_shared_folder_store_read_and_remove_each_others_blobs(shared: Path) -> None:
    """Each of them meets a blob of the other, old enough to be collected."""
    for user, contents in ((1001, (b"both", b"one")), (1002, (b"both", b"two")), (1001, (b"both", b"two"))):
        store = BlobStore(shared)
        assert in_a_process(as_user, user, put, store, *contents) == "done"
        met = [store.path(Digest.of(data)) for data in contents]
        assert {stat.S_IMODE(path.stat().st_mode) for path in met} == {0o444}
        assert {stat.S_IMODE(path.parent.stat().st_mode) for path in met} == {0o777}
        assert all(path.stat().st_mtime > 0 for path in met), "met again, it is young again"
        for path in files(store):
            os.utime(path, (0, 0))
    for data in (b"both", b"one", b"two"):
        assert in_a_process(as_user, 1002, store.verify, Digest.of(data)) == "done"
        arguments = (Digest.of(data), datetime.now(UTC))
        assert in_a_process(as_user, 1002, store.remove, *arguments) == "done"
    assert files(store) == []
