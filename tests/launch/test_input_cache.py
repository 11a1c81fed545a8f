"""The cache of inputs where something goes wrong: other bytes under a name, kills, two commands at once."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.altered import flip_file
from support.moves_kept import MovesKept
from support.records import new_run
from support.small_disk import small_disk

from orchestrator.digest import Digest
from orchestrator.disk_room import RESERVE
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.inputs import cache_room, fetch_input
from orchestrator.launch.inputs.cache_room import make_room, remove, size_of
from orchestrator.launch.inputs.fetch_input import copy_out, materialise
from orchestrator.launch.inputs.share_inputs import offer_inputs
from orchestrator.launch.inputs.upload_input import put_input
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.settings import Settings, load
from orchestrator.spec.inputs import read_input
from orchestrator.spec.program import Program

SILENT = Silent()
RUN = "0123456789abcdef"
fork = multiprocessing.get_context("fork")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Session]:
    environ = {
        "REPRISE_HOME": str(tmp_path / "box"),
        "REPRISE_STORE": str(tmp_path / "store"),
        "REPRISE_DATABASE_URL": f"sqlite:///{tmp_path}/record.db",
    }
    with Session(load(environ)) as session:
        yield session


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.bin").write_bytes(bytes([number]) * 1000)
    return folder


@pytest.mark.parametrize("what", ["file", "list"])
def test_a_damaged_file_of_another_input_is_not_taken_for_this_one(
    box: Session, data: Path, tmp_path: Path, what: str
) -> None:
    """Both are in the cache under one name; this input's own came before a kill, or out of a bundle."""
    sent = put_input(box, data, SILENT)
    if what == "file":
        materialise(box, sent.digest, SILENT)
        wanted = put_input(box, data / "1.bin", SILENT).digest
    else:  # a file that has the list's bytes is a list, so the list itself is the other input's
        wanted = sent.digest
        materialise(box, wanted, SILENT)
        box.inputs.use_of(wanted).unlink()
    whole = box.inputs.file(wanted).read_bytes()
    incoming = box.inputs.incoming(wanted)
    (incoming / wanted.hex).write_bytes(whole)
    flip_file(box.inputs.file(wanted))
    materialise(box, wanted, SILENT)
    found = materialise(box, wanted, SILENT)
    if what == "file":
        assert found.read_bytes() == whole
    else:
        assert sorted(path.name for path in found.iterdir()) == ["0.bin", "1.bin", "2.bin"]
    assert box.inputs.file(wanted).read_bytes() == whole


KILLED = """
import os, sys
from orchestrator.digest import Digest
from orchestrator.launch.inputs.fetch_input import materialise
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
files, real = [], os.fchmod
def killed(fd, mode):
    files.append(fd)
    if len(files) == 2:  # the first is the list
        os.kill(os.getpid(), 9)
    real(fd, mode)
os.fchmod = killed
with Session.open() as session:
    materialise(session, Digest(sys.argv[1]), Silent())
"""


def modes_in(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("size", [0, 100_000])
def test_what_a_kill_left_before_anybody_could_read_it_is_readable_afterwards(
    box: Session, tmp_path: Path, size: int
) -> None:
    """The job's user is another one, and right bytes alone do not help it."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a").write_bytes(bytes(size))
    (tmp_path / "set" / "b").write_bytes(b"b")
    sent = put_input(box, tmp_path / "set", SILENT)
    environ = os.environ | {"REPRISE_HOME": str(box.settings.home), "REPRISE_STORE": str(tmp_path / "store")}
    done = subprocess.run([sys.executable, "-c", KILLED, sent.digest], env=environ, check=False)
    assert done.returncode == -9
    assert modes_in(materialise(box, sent.digest, SILENT)) == {0o444}


def test_what_was_kept_unreadable_is_mended_without_the_store(
    box: Session, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, file = put_input(box, data, SILENT).digest, put_input(box, data / "1.bin", SILENT).digest
    for digest in (folder, file):
        materialise(box, digest, SILENT)
    monkeypatch.setattr(box.store, "stream", None)
    for victim in ("1.bin", "2.bin"):
        (box.inputs.tree(folder) / victim).chmod(0o400)
        data_set = read_input(box.inputs.tree(folder), box.known_hashes)  # as an older release kept it
        assert data_set.digest == folder
    assert materialise(box, file, SILENT).stat().st_mode & 0o777 == 0o444
    assert modes_in(materialise(box, folder, SILENT)) == {0o444}


def test_two_inputs_that_came_at_once_share_their_files(box: Session, data: Path, tmp_path: Path) -> None:
    """Else the limit knows of one copy, and the disk has two."""
    first = put_input(box, data, SILENT).digest
    (data / "more").write_text("more")
    second = put_input(box, data, SILENT).digest
    incoming = box.inputs.incoming(second)
    for path in data.iterdir():
        (incoming / Digest.of_file(path).hex).write_bytes(path.read_bytes())
    trees = [materialise(box, digest, SILENT) for digest in (first, second)]
    assert trees[0].joinpath("1.bin").samefile(trees[1] / "1.bin")
    assert trees[0].joinpath("1.bin").samefile(box.inputs.file(Digest.of(b"\1" * 1000)))


def test_a_damaged_start_of_a_large_file_is_not_blamed_on_the_store(
    box: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: MovesKept
) -> None:
    monkeypatch.setattr(fetch_input, "SMALL", 100)
    (tmp_path / "large").write_bytes(secrets.token_bytes(5000))
    sent = put_input(box, tmp_path / "large", SILENT)
    (box.inputs.incoming(sent.digest) / f"{sent.digest.hex}.part").write_bytes(bytes(3000))
    found = materialise(box, sent.digest, watch)
    assert found.read_bytes() == (tmp_path / "large").read_bytes()
    assert watch.moves[-1] == (5000, 5000) and all(done <= total for done, total in watch.moves)


def test_what_a_kill_left_of_a_folder_that_was_being_removed_goes_first(
    box: Session, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name as an input is gone, and its links keep the files."""
    left, kept = put_input(box, data, SILENT).digest, put_input(box, data / "1.bin", SILENT).digest
    materialise(box, left, SILENT)
    box.inputs.use_of(left).unlink()
    materialise(box, kept, SILENT)
    monkeypatch.setattr(cache_room, "limit_of", lambda _: 3000)
    make_room(box.settings, box.inputs, 1000, "a thousand bytes")
    assert box.inputs.has(kept) and not box.inputs.tree(left).exists()
    assert size_of(box.inputs) == 1000


def test_a_full_disk_makes_room_as_the_limit_does(
    box: Session, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put_input(box, data, SILENT).digest
    materialise(box, digest, SILENT)

    def usage(_: Path) -> object:
        free = RESERVE + 3000 - size_of(box.inputs)
        return type("Usage", (), {"total": 1 << 40, "free": free})

    monkeypatch.setattr("shutil.disk_usage", usage)
    make_room(box.settings, box.inputs, 2500, "a file")
    assert size_of(box.inputs) == 0 and not box.inputs.has(digest)


def begin(box: Session, file: Path, count: int) -> Digest:
    """Put a file into the store, and leave so many of its bytes on the box as a kill does."""
    digest = put_input(box, file, SILENT).digest
    (box.inputs.incoming(digest) / f"{digest.hex}.part").write_bytes(file.read_bytes()[:count])
    return digest


@pytest.mark.server
def test_a_download_that_was_begun_needs_room_for_the_rest_alone(tmp_path: Path) -> None:
    environ = {"REPRISE_HOME": str(tmp_path / "disk" / "box"), "REPRISE_STORE": str(tmp_path / "store")}
    (tmp_path / "large").write_bytes(secrets.token_bytes(8 << 20))
    (tmp_path / "other").write_bytes(bytes(1 << 20))
    with small_disk(tmp_path / "disk", RESERVE + (12 << 20)), Session(load(environ)) as box:
        other = put_input(box, tmp_path / "other", SILENT).digest
        materialise(box, other, SILENT)
        large = begin(box, tmp_path / "large", 7 << 20)
        assert materialise(box, large, SILENT).read_bytes() == (tmp_path / "large").read_bytes()
        assert box.inputs.has(other)


def test_a_download_that_was_begun_takes_no_more_of_the_limit(
    box: Session, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_input, "SMALL", 100)
    monkeypatch.setattr(cache_room, "limit_of", lambda _: 9000)
    other = put_input(box, data, SILENT).digest
    materialise(box, other, SILENT)
    (tmp_path / "large").write_bytes(secrets.token_bytes(5000))
    materialise(box, begin(box, tmp_path / "large", 4000), SILENT)
    assert box.inputs.has(other)


def bring(settings: Settings, file: Path, *, killed: bool) -> None:
    """As a user without root's power to write to what is read-only."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    with Session(settings) as box:
        digest = put_input(box, file, SILENT).digest
        if killed:
            Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,method-assign]
        assert materialise(box, digest, SILENT).read_bytes() == file.read_bytes()


def test_a_file_that_was_whole_and_had_no_name_yet_is_gone_on_with_by_its_owner(
    box: Session, data: Path
) -> None:
    """The user may enter neither pytest's folders nor, perhaps, the checkout: what is read there is
    imported and loaded before."""
    materialise(box, put_input(box, data, SILENT).digest, SILENT)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        (Path(name) / "large").write_bytes(secrets.token_bytes(2 << 20))
        settings = load({"REPRISE_HOME": f"{name}/box", "REPRISE_STORE": f"{name}/store"})
        for killed in (True, False):
            child = fork.Process(
                target=bring, args=(settings, Path(name) / "large"), kwargs={"killed": killed}
            )
            child.start()
            child.join()
            assert child.exitcode == (-signal.SIGKILL if killed else 0)


def test_what_others_fetch_and_remove_meanwhile_is_no_fault(
    box: Session, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names were listed, and some lead nowhere by the time they are looked at."""
    digests = [put_input(box, data / f"{number}.bin", SILENT).digest for number in range(3)]
    for digest in digests:
        materialise(box, digest, SILENT)
    coming = box.inputs.incoming(Digest.of(b"another"))
    for name in ("ab.part", "cd.part"):
        (coming / name).write_bytes(bytes(100))
    real = cache_room.names_in

    def listed(folder: Path) -> list[Path]:
        found = real(folder)
        for path in found[:1] if folder.name in (coming.name, "uses") else ():
            path.unlink()
        return found

    monkeypatch.setattr(cache_room, "names_in", listed)
    assert size_of(box.inputs) == 3100
    monkeypatch.setattr(cache_room, "limit_of", lambda _: 1)
    make_room(box.settings, box.inputs, 1, "a byte")
    assert not any(box.inputs.has(digest) for digest in digests)
    assert size_of(box.inputs) <= 100


@pytest.mark.parametrize("way", ["copied", "shared"])
def test_what_is_just_read_stays_where_another_process_makes_room(
    box: Session, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    sent, freed = put_input(box, data, SILENT), []
    materialise(box, sent.digest, SILENT)

    def making_room(source: Path, target: Path) -> None:
        freed.append(remove(box.inputs, sent.digest))
        real(source, target)

    class Eager(Silent):
        def phase(self, name: str, detail: str = "") -> None:
            freed.append(remove(box.inputs, sent.digest))

    if way == "copied":
        real = shutil.copyfile
        monkeypatch.setattr(shutil, "copyfile", making_room)
        copy_out(box, sent.digest, tmp_path / "mine", SILENT)
        assert read_input(tmp_path / "mine").digest == sent.digest
    else:
        box.store.remove(sent.digest, box.store.now() + timedelta(days=1))
        program = Program(name="job", command=("python",), inputs={"data": sent.digest})
        offer_inputs(box, new_run(program=program, inputs=(sent,)), (), Eager())
        assert box.store.has(sent.digest)
    assert freed and not any(freed)
    assert remove(box.inputs, sent.digest) > 0


def test_a_run_that_begins_again_keeps_its_pin(
    box: Session, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins just when another command finds that it was over."""
    digest = put_input(box, data, SILENT).digest
    materialise(box, digest, SILENT, run=RUN)
    began: list[bool] = []
    real = os.unlink

    def begins(path: object, **more: object) -> None:
        if str(path).endswith(f"pins/{RUN}"):
            with run_lock(box.settings, RUN) as mine:
                began.append(mine)
        real(path, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", begins)
    assert box.inputs.pinned() in (set(), {digest.hex})
    assert began == [False], "nobody begins a run while its pin is removed"
    assert remove(box.inputs, digest) > 0
