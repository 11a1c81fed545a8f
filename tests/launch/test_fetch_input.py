"""Input data by digest: into the store of either kind, and out of it into another box's cache."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from support.altered import flip_file
from support.box import stored
from support.failing_disk import Torn
from support.moves_kept import MovesKept
from support.records import finish_run, new_run, stored_output
from support.services import S3Server
from support.small_disk import small_disk

from orchestrator.digest import Digest
from orchestrator.errors import StoreError, UsageError
from orchestrator.launch.crash_points import INPUT_POINTS, VARIABLE
from orchestrator.launch.inputs import fetch_input, upload_input
from orchestrator.launch.inputs.cache_room import make_room, remove, size_of
from orchestrator.launch.inputs.fetch_input import (
    AbsentInputError,
    FalseListError,
    copy_out,
    materialise,
)
from orchestrator.launch.inputs.share_inputs import share_inputs
from orchestrator.launch.inputs.upload_input import put_input
from orchestrator.launch.session import Session
from orchestrator.launch.watch import KeptNotes, Silent
from orchestrator.record.store import bucket_store
from orchestrator.record.store.folder_store import BlobStore
from orchestrator.record.store.input_trees import files_of, is_folder
from orchestrator.settings import load
from orchestrator.several_at_once import Stop
from orchestrator.spec import folder_list, inputs
from orchestrator.spec.folder_list import list_chunks
from orchestrator.spec.inputs import digest_of, read_input
from orchestrator.spec.jobfile.job_spec import InputSpec
from orchestrator.spec.program import Program

SILENT = Silent()


@dataclass
class Place:
    """A store that two boxes share, and the record of both."""

    environ: dict[str, str]
    store: Path  # the folder with its files
    s3: S3Server | None
    folder: Path
    sessions: list[Session] = field(default_factory=list)

    def session(self, home: str, **more: str) -> Session:
        made = Session(load({"REPRISE_HOME": str(self.folder / home), **self.environ, **more}))
        self.sessions.append(made)
        return made

    def flip(self, digest: Digest) -> None:
        flip_file(stored(self.store, digest))
        if self.s3 is not None:
            self.s3.touched()


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.server)])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    environ = {"REPRISE_DATABASE_URL": f"sqlite:///{tmp_path}/record.db"}
    if request.param == "folder":
        made = Place(environ | {"REPRISE_STORE": str(tmp_path / "store")}, tmp_path / "store", None, tmp_path)
    else:
        s3: S3Server = request.getfixturevalue("s3")
        prefix = f"inputs/{secrets.token_hex(6)}"
        for name, value in s3.environ.items():
            monkeypatch.setenv(name, value)
        made = Place(environ | {"REPRISE_STORE": s3.address(prefix)}, s3.path(prefix), s3, tmp_path)
    yield made
    for session in made.sessions:
        session.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "deep" / "er").mkdir(parents=True)
    for number in range(20):
        (folder / "deep" / f"{number}.bin").write_bytes(bytes([number]) * 1000)
    (folder / "deep" / "er" / "same.bin").write_bytes(bytes(1000))
    (folder / "ümlaut").write_text("x")
    (folder / "empty").touch()
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Digest]:
    """The blobs whose bytes a store was asked for."""
    found: list[Digest] = []
    for kind in (bucket_store.BucketStore, BlobStore):
        real = kind.stream

        def noted(self, digest, offset, size=None, real=real):  # type: ignore[no-untyped-def]
            found.append(digest)
            return real(self, digest, offset, size)

        monkeypatch.setattr(kind, "stream", noted)
    return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of inputs that were opened to be sent."""
    found: list[str] = []
    real = upload_input.open_input
    monkeypatch.setattr(upload_input, "open_input", lambda *words: (found.append(words[1]), real(*words))[1])
    return found


def tree_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_goes_into_the_store_and_out_of_it_elsewhere(
    place: Place, data: Path, asked: list[Digest]
) -> None:
    here, there = place.session("here"), place.session("there")
    sent = put_input(here, data, SILENT)
    assert sent.digest == digest_of(data)
    assert is_folder(here.store, sent.digest)
    assert [file.path for file in files_of(here.store, sent.digest)] == [file.path for file in sent.files]
    asked.clear()
    got = materialise(there, sent.digest, SILENT)
    assert tree_of(got) == tree_of(data)
    assert len(asked) == len(set(asked)) == 1 + 22  # each blob once; one file is there twice
    assert not any(path.stat().st_mode & 0o222 for path in got.rglob("*") if path.is_file())
    asked.clear()
    assert materialise(there, sent.digest, SILENT) == got
    assert asked == []


def test_a_file_stays_a_file_and_one_that_reads_as_a_list_is_refused(place: Place, tmp_path: Path) -> None:
    here, there = place.session("here"), place.session("there")
    file = tmp_path / "weights.bin"
    file.write_bytes(b'[["a"' + bytes(100))
    sent = put_input(here, file, SILENT)
    assert not is_folder(here.store, sent.digest)
    assert materialise(there, sent.digest, SILENT).read_bytes() == file.read_bytes()
    for text in ("[]", f'[["a","{"0" * 64}",1]]'):
        file.write_text(text)
        with pytest.raises(UsageError, match="the digest of that folder"):
            put_input(here, file, SILENT)


def test_what_is_there_is_not_sent_again(place: Place, data: Path, opened: list[str]) -> None:
    here = place.session("here")
    put_input(here, data, SILENT)
    assert len(opened) == 22
    (data / "more.csv").write_text("more")
    opened.clear()
    put_input(here, data, SILENT)
    assert opened == ["more.csv"]


def test_a_named_input_costs_one_look(place: Place, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = place.session("here")
    sent = put_input(here, data, SILENT)
    program = Program(name="job", command=("python",), inputs={"data": sent.digest})
    here.record.submit(new_run(inputs=(sent,), program=program))
    monkeypatch.setattr(here.store, "uploads", None)
    put_input(here, data, SILENT)


def test_a_file_that_changes_while_it_is_sent_is_not_stored(
    place: Place, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place.session("here")
    before = (data / "ümlaut").read_bytes()
    real = upload_input.open_input

    def changing(root: Path, name: str):  # type: ignore[no-untyped-def]
        if name == "ümlaut":
            (data / "ümlaut").write_text("y")
        return real(root, name)

    monkeypatch.setattr(upload_input, "open_input", changing)
    with pytest.raises(UsageError, match="ümlaut was changed after it was hashed"):
        put_input(here, data, SILENT)
    for digest in (Digest.of(before), Digest.of(b"y")):
        assert not here.store.has(digest)


def test_a_large_file_that_changes_while_it_is_sent_is_not_stored(place: Place, tmp_path: Path) -> None:
    """Its last bytes are others: the server has all that come before by then."""
    here = place.session("here")
    file = tmp_path / "large"
    file.write_bytes(bytes(9 << 20))
    right = digest_of(file)
    with file.open("r+b") as out:
        out.seek(-1, os.SEEK_END)
        out.write(b"1")
    with pytest.raises(UsageError, match="no longer"), here.store.uploads() as uploads:
        uploads.put(right, 9 << 20, lambda: file.open("rb"))
    assert not here.store.has(right)
    assert not here.store.has(digest_of(file))


def test_a_byte_that_changed_in_the_store_is_named_and_mended(place: Place, data: Path) -> None:
    here, there = place.session("here"), place.session("there")
    sent = put_input(here, data, SILENT)
    bad = Digest.of((data / "ümlaut").read_bytes())
    place.flip(bad)
    with pytest.raises(StoreError, match=f"{bad} has other bytes"):
        materialise(there, sent.digest, SILENT)
    assert not there.inputs.has(sent.digest)
    put_input(place.session("here"), data, SILENT, thorough=True)
    assert tree_of(materialise(there, sent.digest, SILENT)) == tree_of(data)


@pytest.fixture
def long_and_bad(tmp_path: Path) -> Path:
    folder = tmp_path / "long_and_bad"
    folder.mkdir()
    (folder / "bad").write_text("bad")
    (folder / "long").write_bytes(bytes(3 << 20))
    return folder


def pieces_for_a_minute() -> Iterator[bytes]:
    for _ in range(6000):
        time.sleep(0.01)
        yield b"0"
    raise AssertionError("nobody ended it")


def test_a_file_with_other_bytes_ends_the_fetch_of_long_ones(
    place: Place, long_and_bad: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = place.session("here"), place.session("there")
    sent = put_input(here, long_and_bad, SILENT)
    bad, long = (Digest.of((long_and_bad / name).read_bytes()) for name in ("bad", "long"))
    place.flip(bad)
    begun, real = threading.Event(), there.store.stream

    def slowly(digest: Digest, offset: int, size: int | None = None) -> Iterator[bytes | memoryview]:
        if digest == long:
            begun.set()
            yield from pieces_for_a_minute()
        assert digest != bad or begun.wait(60)
        yield from real(digest, offset, size)

    monkeypatch.setattr(fetch_input, "FEW", 1)
    with monkeypatch.context() as patched:
        patched.setattr(there.store, "stream", slowly)
        with pytest.raises(StoreError, match=f"{bad} has other bytes"):
            materialise(there, sent.digest, SILENT)
    put_input(place.session("here"), long_and_bad, SILENT, thorough=True)
    assert tree_of(materialise(there, sent.digest, SILENT)) == tree_of(long_and_bad)


def test_a_file_that_changes_ends_the_sending_of_long_ones(
    place: Place, long_and_bad: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, begun = place.session("here"), threading.Event()

    class Slow(io.BytesIO):
        pieces = pieces_for_a_minute()

        def read(self, size: int | None = -1) -> bytes:
            return next(self.pieces)

    def opened(root: Path, name: str) -> io.BytesIO:
        if name == "long":
            begun.set()
            return Slow()
        assert begun.wait(60)
        return io.BytesIO(b"not")

    monkeypatch.setattr(upload_input, "open_input", opened)
    monkeypatch.setattr(upload_input, "FEW", 1)
    with pytest.raises(UsageError, match="bad was changed after it was hashed"):
        put_input(here, long_and_bad, SILENT)
    for name in ("bad", "long"):
        assert not here.store.has(Digest.of((long_and_bad / name).read_bytes()))


@pytest.mark.parametrize("way", ["out of the store", "into it"])
def test_after_an_error_nothing_more_is_asked_for(
    place: Place, data: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A server that does not answer has its patience once, and not once for each thread."""
    here, there, tried = place.session("here"), place.session("there"), []

    def fails(*words: object) -> Iterator[bytes]:
        tried.append(words)
        raise StoreError("the server does not answer")

    monkeypatch.setattr(fetch_input, "FEW", 1)
    monkeypatch.setattr(upload_input, "FEW", 1)
    if way == "into it":
        monkeypatch.setattr(upload_input, "open_input", fails)
        with pytest.raises(StoreError, match="does not answer"):
            put_input(here, data, SILENT)
    else:
        sent, real = put_input(here, data, SILENT).digest, there.store.stream
        slow = lambda digest, *more: (real if digest == sent else fails)(digest, *more)  # noqa: E731
        monkeypatch.setattr(there.store, "stream", slow)
        with pytest.raises(StoreError, match="does not answer"):
            materialise(there, sent, SILENT)
    assert len(tried) == 1


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["b", "a", "c"], ["c", "a"]])
def test_files_larger_than_a_part_come_in_any_order(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    """`a` has more bytes than go together; it comes first, last, between others and alone."""
    monkeypatch.setattr(fetch_input, "LARGE", 50_000)
    monkeypatch.setattr(upload_input, "LARGE", 50_000)
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(os.urandom(60_000 if name == "a" else 10))
    for path in (folder, *folder.iterdir()):
        sent = put_input(place.session("here"), path, SILENT)
        got = materialise(place.session("there"), sent.digest, SILENT)
        assert (tree_of(got) == tree_of(path)) if path.is_dir() else (got.read_bytes() == path.read_bytes())


def test_a_large_file_is_told_as_it_goes(place: Place, tmp_path: Path, watch: MovesKept) -> None:
    size = 3 << 20
    (tmp_path / "large").write_bytes(bytes(size))
    put_input(place.session("here"), tmp_path / "large", watch)
    assert (1 << 20, size) in watch.moves
    assert watch.moves[-1] == (size, size)
    assert watch.moves == sorted(watch.moves)


def test_a_list_that_changed_in_the_store_makes_no_folder(place: Place, data: Path) -> None:
    here, there = place.session("here"), place.session("there")
    sent = put_input(here, data, SILENT)
    place.flip(sent.digest)
    with pytest.raises(StoreError, match=f"{sent.digest} has other bytes"):
        materialise(there, sent.digest, SILENT)


@pytest.mark.parametrize("victim", ["tree", "list"])
def test_a_byte_that_changed_in_the_cache_is_named_and_fetched_again(
    place: Place, data: Path, victim: str, asked: list[Digest]
) -> None:
    here, there = place.session("here"), place.session("there")
    sent = put_input(here, data, SILENT)
    got = materialise(there, sent.digest, SILENT)
    flip_file(got / "ümlaut" if victim == "tree" else there.inputs.file(sent.digest))
    watch = KeptNotes()
    asked.clear()
    again = materialise(there, sent.digest, watch)
    assert tree_of(again) == tree_of(data)
    assert asked == [Digest.of(b"x") if victim == "tree" else sent.digest]
    assert "had other bytes; it is fetched again" in watch.notes[0]


def test_an_input_that_no_place_has_is_said(place: Place) -> None:
    there = place.session("there")
    there.store.put_bytes(b"x")
    with pytest.raises(AbsentInputError, match="neither in this box's cache nor in the store"):
        materialise(there, Digest.of(b"nowhere"), SILENT)


def test_a_copy_belongs_to_its_owner(place: Place, data: Path, tmp_path: Path) -> None:
    here, there = place.session("here"), place.session("there")
    sent = put_input(here, data, SILENT)
    copy_out(there, sent.digest, tmp_path / "mine", SILENT)
    (tmp_path / "mine" / "ümlaut").write_text("changed")
    assert tree_of(materialise(there, sent.digest, SILENT)) == tree_of(data)
    with pytest.raises(UsageError, match="is there already"):
        copy_out(there, sent.digest, tmp_path / "mine", SILENT)


SCRIPT = """
import sys
from pathlib import Path
from orchestrator.digest import Digest
from orchestrator.launch.inputs import fetch_input, upload_input
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
upload_input.PART_FILES, upload_input.FEW, fetch_input.FEW, fetch_input.AT_ONCE = 5, 2, 5, 1
with Session.open() as session:
    if sys.argv[1] == "put":
        print(upload_input.put_input(session, Path(sys.argv[2]), Silent()).digest)
    else:
        print(fetch_input.materialise(session, Digest(sys.argv[2]), Silent()))
"""


@pytest.mark.parametrize("point", INPUT_POINTS)
def test_a_kill_on_the_way_and_the_next_command_goes_on(
    place: Place, data: Path, point: str, asked: list[Digest], opened: list[str]
) -> None:
    here, there = place.session("here"), place.session("there")
    digest = digest_of(data)
    words = ["put", str(data)] if point == "input stored" else ["get", digest]
    session = here if point == "input stored" else there
    if point == "input fetched":
        put_input(here, data, SILENT)
    environ = {**os.environ, **place.environ, "REPRISE_HOME": str(session.settings.home), VARIABLE: point}
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], env=environ, check=False)
    assert done.returncode == -9
    if point == "input stored":
        assert not session.store.has(digest)
        put_input(session, data, SILENT)
        assert 0 < len(opened) < 22
        session.store.verify(digest)
    else:
        asked.clear()
        assert not session.inputs.has(digest)
        assert tree_of(materialise(session, digest, SILENT)) == tree_of(data)
        assert 0 < len(asked) < 22


def test_a_large_file_goes_on_where_it_was(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = place.session("here"), place.session("there")
    file = tmp_path / "large"
    file.write_bytes(secrets.token_bytes(3 << 20))
    sent = put_input(here, file, SILENT)
    begun = there.inputs.incoming(sent.digest) / f"{sent.digest.hex}.part"
    begun.write_bytes(file.read_bytes()[: 2 << 20])
    offsets: list[int] = []
    real = there.store.stream
    monkeypatch.setattr(there.store, "stream", lambda *words: (offsets.append(words[1]), real(*words))[1])
    assert materialise(there, sent.digest, SILENT).read_bytes() == file.read_bytes()
    assert offsets == [2 << 20]


def test_what_came_before_is_told_as_it_is_read_and_a_person_can_end_that(
    place: Place, tmp_path: Path, asked: list[Digest]
) -> None:
    here, there, file = place.session("here"), place.session("there"), tmp_path / "large"
    file.write_bytes(secrets.token_bytes(4 << 20))
    sent = put_input(here, file, SILENT)
    begun = there.inputs.incoming(sent.digest) / f"{sent.digest.hex}.part"
    begun.write_bytes(file.read_bytes()[: 3 << 20])
    moves, stop = [], Stop()

    class Ending(Silent):
        def moved(self, done: int, total: int) -> None:
            moves.append((done, total))
            if len(moves) == 2:
                stop.order()

    with pytest.raises(CancelledError):
        materialise(there, sent.digest, Ending(), stop=stop)
    assert moves == [(1 << 20, 4 << 20), (2 << 20, 4 << 20)] and asked == []
    assert materialise(there, sent.digest, SILENT).read_bytes() == file.read_bytes()


def test_two_at_once_fetch_once(place: Place, data: Path, asked: list[Digest]) -> None:
    here = place.session("here")
    sent = put_input(here, data, SILENT)
    asked.clear()
    boxes = [place.session("there") for _ in range(2)]
    threads = [threading.Thread(target=materialise, args=(box, sent.digest, SILENT)) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == len(set(asked)) == 23


def test_what_was_not_used_for_longest_goes_and_an_open_run_keeps_its_own(
    place: Place, tmp_path: Path
) -> None:
    here = place.session("here")
    sent = []
    for number in range(4):
        folder = tmp_path / f"set{number}"
        folder.mkdir()
        (folder / "own").write_bytes(bytes([number]) * 100_000)
        (folder / "shared").write_bytes(b"s" * 100_000)
        sent.append(put_input(here, folder, SILENT).digest)
    box = place.session("there", REPRISE_CACHE_SIZE="450K")
    run = "0123456789abcdef"
    (box.settings.attempts / f"{run}-1").mkdir(parents=True)
    materialise(box, sent[0], SILENT, run=run)
    for number, digest in enumerate(sent[1:], 1):
        os.utime(box.inputs.use_of(sent[number - 1]), (number, number))
        materialise(box, digest, SILENT)
    assert [box.inputs.has(digest) for digest in sent] == [True, False, True, True]
    assert size_of(box.inputs) < 450 << 10
    (box.settings.attempts / f"{run}-1").rmdir()
    make_room(box.settings, box.inputs, 450 << 10, "all of it")
    assert not any(box.inputs.has(digest) for digest in sent)
    assert size_of(box.inputs) == 0


def test_room_is_made_after_a_kill_and_none_for_what_no_disk_holds(place: Place, data: Path) -> None:
    """What a killed command was writing is no pin; a blob that claims the size of a disk empties no cache."""
    here, box = place.session("here"), place.session("there", REPRISE_CACHE_SIZE="1M")
    sent = put_input(here, data, SILENT)
    materialise(box, sent.digest, SILENT)
    (box.inputs.folder / "pins").mkdir()
    (box.inputs.folder / "pins" / ".0123456789abcdef.ab12.tmp").write_text("[")
    with pytest.raises(StoreError, match="bytes more are to be written"):
        make_room(box.settings, box.inputs, 1 << 60, "a blob")
    assert box.inputs.has(sent.digest)
    make_room(box.settings, box.inputs, 1 << 20, "the limit")
    assert not box.inputs.has(sent.digest)


def test_a_kill_while_an_input_is_removed_leaves_nothing_for_ever(place: Place, data: Path) -> None:
    """Else what is left counts against the limit, and every other input goes for it."""
    here, box = place.session("here"), place.session("there", REPRISE_CACHE_SIZE="1M")
    sent = put_input(here, data, SILENT)
    materialise(box, sent.digest, SILENT)
    box.inputs.use_of(sent.digest).unlink()
    (box.inputs.folder / "gone").mkdir(exist_ok=True)
    box.inputs.tree(sent.digest).rename(box.inputs.folder / "gone" / "ab12")
    assert size_of(box.inputs) > 20_000
    make_room(box.settings, box.inputs, 1, "one byte")
    assert size_of(box.inputs) == 0 and not list((box.inputs.folder / "gone").iterdir())


def test_a_link_more_or_less_costs_no_second_reading(
    place: Place, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both change the time of change of a file that two folders share."""
    here, there = place.session("here"), place.session("there")
    first = put_input(here, data, SILENT).digest
    (data / "more").write_text("more")
    second = put_input(here, data, SILENT).digest
    materialise(there, first, SILENT)
    materialise(there, second, SILENT)
    read: list[Path] = []
    real = inputs._hash
    monkeypatch.setattr(inputs, "_hash", lambda stream, path: (read.append(path), real(stream, path))[1])
    materialise(there, first, SILENT)
    os.utime(there.inputs.use_of(first), (1, 1))
    there.inputs.folder.joinpath("pins").mkdir(exist_ok=True)
    remove(there.inputs, first)
    materialise(there, second, SILENT)
    assert read == []


def test_more_links_than_a_file_can_have(place: Place, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = place.session("here"), place.session("there")
    sent = put_input(here, data, SILENT)

    def none(*_: object) -> None:
        raise OSError(31, "Too many links")

    monkeypatch.setattr(os, "link", none)
    assert tree_of(materialise(there, sent.digest, SILENT)) == tree_of(data)
    assert fetch_input.AT_ONCE > 1


def test_a_job_that_wrote_a_folders_list_does_not_stand_for_its_files(place: Place, data: Path) -> None:
    """The record names the folder, which lies on a disk; the store has its list as an output."""
    here, there = place.session("here"), place.session("there")
    known = read_input(data)
    program = Program(name="job", command=("python",), inputs={"data": known.digest})
    listed = b"".join(list_chunks([(file.path, file.digest.hex, file.size) for file in known.files]))
    output = stored_output(here.store, "x.json", listed)
    assert output.digest == known.digest
    finish_run(here.record, new_run(inputs=(known,), program=program), outputs=(output,))
    put_input(here, data, SILENT)
    assert tree_of(materialise(there, known.digest, SILENT)) == tree_of(data)


@pytest.mark.parametrize("what", ["its length", "a path"])
def test_a_folder_whose_list_nobody_would_read_is_refused_before_its_first_byte_goes(
    place: Place, data: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Else a box that fetched it would take the list for a file. Links make paths that no disk has."""
    here = place.session("here")
    if what == "its length":
        monkeypatch.setattr(folder_list, "MOST_LIST", 100)
    else:
        for number in range(17):
            (data / f"{number}").mkdir()
            (data / f"{number}" / ("x" * 255)).symlink_to(f"../{number + 1}")
        (data / "17").mkdir()
        (data / "17" / "file").touch()
    said = "more than 100 bytes" if what == "its length" else "longer than any"
    with pytest.raises(UsageError, match=said):
        put_input(here, data, SILENT)
    assert not any(here.store.has(Digest.of_file(path)) for path in data.rglob("*.bin"))
    assert not here.store.has(digest_of(data))


def test_what_a_collection_took_during_a_long_upload_is_put_again(
    place: Place, data: Path, monkeypatch: pytest.MonkeyPatch, watch: MovesKept
) -> None:
    here = place.session("here")
    victim, real, asked = Digest.of(b"x"), here.store.uploads, []
    monkeypatch.setattr(upload_input, "PART_FILES", 5)

    @contextmanager
    def slow():  # type: ignore[no-untyped-def]
        asked.append(1)
        with real() as uploads:
            yield uploads
        if len(asked) == 5:  # the last part of the first pass
            here.store.remove(victim, here.store.now() + timedelta(days=1))
            monkeypatch.setattr(upload_input, "SOON", 0.0)
        elif len(asked) > 5:
            monkeypatch.setattr(upload_input, "SOON", 3600.0)

    monkeypatch.setattr(here.store, "uploads", slow)
    put_input(here, data, watch)
    assert len(asked) == 6
    here.store.verify(victim)
    assert watch.moves[-1] == (20_001, 20_001) and max(watch.moves) == watch.moves[-1]


def test_what_a_collection_took_of_one_input_while_the_next_went_is_put_again(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place.session("here")
    real, asked, specs = here.store.uploads, [], {}
    for name in ("first", "second"):
        (tmp_path / name).write_text(name)
        specs[name] = InputSpec(path=str(tmp_path / name))
    read = {name: read_input(tmp_path / name) for name in specs}

    @contextmanager
    def slow():  # type: ignore[no-untyped-def]
        asked.append(1)
        with real() as uploads:
            yield uploads
        if len(asked) == 2:  # hours later, the second is stored
            here.store.remove(read["first"].digest, here.store.now() + timedelta(days=1))
            monkeypatch.setattr(upload_input, "SOON", 0.0)
        elif len(asked) > 2:
            monkeypatch.setattr(upload_input, "SOON", 3600.0)

    monkeypatch.setattr(here.store, "uploads", slow)
    share_inputs(here, specs, read, SILENT)
    assert len(asked) == 4
    for one in read.values():
        here.store.verify(one.digest)


def test_the_jobs_user_reads_a_folder_whatever_the_umask_is(place: Place, data: Path) -> None:
    here, there = place.session("here"), place.session("there")
    sent = put_input(here, data, SILENT)
    before = os.umask(0o077)
    try:
        got = materialise(there, sent.digest, SILENT)
    finally:
        os.umask(before)
    folders = [got, *(path for path in got.rglob("*") if path.is_dir())]
    assert [path.stat().st_mode & 0o777 for path in folders] == [0o755] * 3
    assert {path.stat().st_mode & 0o777 for path in got.rglob("*") if path.is_file()} == {0o444}


def test_half_a_copy_never_has_the_name(
    place: Place, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place.session("here")
    sent = put_input(here, data, SILENT)
    real, copied = shutil.copyfile, []

    def full(*words: Path, **more: bool) -> object:
        copied.append(words)
        if len(copied) > 3:
            raise OSError(28, "No space left on device")
        return real(*words, **more)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StoreError, match="No space left"):
        copy_out(here, sent.digest, tmp_path / "new" / "mine", SILENT)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.server
def test_a_full_disk_ends_a_copy_with_its_first_error(place: Place, data: Path, tmp_path: Path) -> None:
    for number in range(2000):
        (data / f"{number}").write_bytes(bytes(4000))
    here = place.session("here")
    sent = put_input(here, data, SILENT)
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        with pytest.raises(StoreError, match="No space left") as caught:
            copy_out(here, sent.digest, disk / "mine", SILENT)
        assert list(disk.iterdir()) == []
    assert len(caught.value.message) < 1000
    assert caught.value.hint == "make room on the disk"


def test_room_is_not_asked_for_where_something_else_is_wrong(
    place: Place, data: Path, tmp_path: Path
) -> None:
    here = place.session("here")
    sent = put_input(here, data, SILENT)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="could not be written") as caught:
        copy_out(here, sent.digest, tmp_path / "file" / "mine", SILENT)
    assert "room" not in (caught.value.hint or "")
    here.inputs.folder.rename(tmp_path / "aside")
    here.inputs.folder.touch()
    with pytest.raises(StoreError, match="could not be kept in") as caught:
        materialise(here, sent.digest, SILENT)
    assert "room" not in (caught.value.hint or "")


@pytest.mark.parametrize("size", [1000, bucket_store.PART + 1], ids=["small", "in parts"])
def test_an_input_whose_disk_fails_on_the_way_is_named_and_not_the_store(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    data = tmp_path / "x.bin"
    data.write_bytes(bytes(size))
    monkeypatch.setattr(upload_input, "open_plain", lambda _: Torn(bytes(size)))
    with pytest.raises(UsageError, match=f"{data}: Input/output error"):
        put_input(place.session("here"), data, SILENT)


def listed(session: Session, *entries: tuple[str, bytes, int]) -> Digest:
    """A list in the store that nobody made by hashing: paths, the files' bytes, the sizes that it says."""
    found = [(path, session.store.put_bytes(content).hex, size) for path, content, size in entries]
    return session.store.put_bytes(b"".join(list_chunks(found)))


@pytest.mark.parametrize("size", [900, 1100], ids=["too small", "too large"])
@pytest.mark.parametrize("held", [2000, 100], ids=["in memory", "on disk"])
def test_a_list_that_lies_of_a_size_is_said_to_lie_and_not_the_store(
    place: Place, size: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_input, "SMALL", held)
    there = place.session("there")
    false = listed(there, ("a/right", b"r" * 500, 500), ("b/wrong", b"w" * 1000, size))
    with pytest.raises(FalseListError) as caught:
        materialise(there, false, SILENT)
    wrong = Digest.of(b"w" * 1000).hex
    assert f"input {false} is false: b/wrong is to have SHA-256 {wrong} and {size} bytes" in str(caught.value)
    assert "that file has 1000" in str(caught.value) and "another digest" in (caught.value.hint or "")
    assert not there.inputs.has(false)


def test_a_list_that_lies_takes_nothing_good_out_of_the_cache(
    place: Place, data: Path, asked: list[Digest]
) -> None:
    there = place.session("there")
    sent = put_input(place.session("here"), data, SILENT)
    materialise(there, sent.digest, SILENT)
    content = (data / "deep" / "3.bin").read_bytes()
    with pytest.raises(FalseListError, match=r"x is to have .* 7 bytes, and that file has 1000"):
        materialise(there, listed(there, ("x", content, 7)), SILENT)
    twice = listed(there, ("x", b"new", 3), ("y", b"new", 4))
    with pytest.raises(FalseListError, match=r"y is to have .* 4 bytes, and the list also says 3"):
        materialise(there, twice, SILENT)
    asked.clear()
    assert tree_of(materialise(there, sent.digest, SILENT)) == tree_of(data) and asked == []


def test_a_file_of_a_folder_that_the_store_lacks_or_has_cut_is_named(place: Place, data: Path) -> None:
    there = place.session("there")
    sent = put_input(place.session("here"), data, SILENT)
    blob = stored(place.store, Digest.of((data / "deep" / "3.bin").read_bytes()))
    blob.chmod(0o644)
    cut = "other bytes, with 999 bytes in place of 1000: it was altered"
    for change, said in ((lambda: blob.write_bytes(b"\3" * 999), cut), (blob.unlink, "is not in")):
        change()
        if place.s3 is not None:
            place.s3.touched()
        with pytest.raises(StoreError, match=said) as caught:
            materialise(there, sent.digest, SILENT)
        assert f"it is deep/3.bin of input {sent.digest}" in caught.value.message
        assert "submit --rehash" in (caught.value.hint or "")
