"""What was hashed is not read again, unless anything about it changed, or it changed just before."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from orchestrator.digest import Digest
from orchestrator.spec import inputs, known_hashes
from orchestrator.spec.inputs import InputData, digest_of, read_input
from orchestrator.spec.known_hashes import MARGIN, KnownHashes


@pytest.fixture
def known(tmp_path: Path) -> Iterator[KnownHashes]:
    with KnownHashes(tmp_path / "home" / "hashes.db") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    (folder / "b").mkdir(parents=True)
    for name in ("a", "b/c", "b/d"):
        (folder / name).write_text(name)
    (folder / "link").symlink_to("b/c")
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files that are read."""
    found: list[str] = []
    real = inputs._hash

    def noted(stream: BinaryIO, path: Path, *more: Any) -> tuple[Digest, int]:
        found.append(path.name)
        return real(stream, path, *more)

    monkeypatch.setattr(inputs, "_hash", noted)
    return found


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all files had been left alone for long."""
    real = KnownHashes.moment
    monkeypatch.setattr(KnownHashes, "moment", lambda self: real(self) + 2 * MARGIN)


def test_a_second_look_reads_nothing(
    known: KnownHashes, folder: Path, read: list[str], later: None, tmp_path: Path
) -> None:
    first = read_input(folder, known)
    assert sorted(read) == ["a", "c", "d"]
    assert first == read_input(folder)
    read.clear()
    assert read_input(folder, known) == first
    with KnownHashes(known.path) as again:
        assert read_input(folder, again) == first
        assert read_input(folder / "a", again).digest == digest_of(folder / "a")
    assert read == ["a"]  # by digest_of
    with KnownHashes(known.path, rehash=True) as again:
        assert read_input(folder, again) == first
    assert sorted(read) == ["a", "a", "c", "d"]


def test_only_what_changed_is_read(known: KnownHashes, folder: Path, read: list[str], later: None) -> None:
    read_input(folder, known)
    read.clear()
    before = (folder / "b" / "c").stat()
    (folder / "b" / "c").write_text("C/B")
    os.utime(folder / "b" / "c", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "new").write_text("new")
    (folder / "a").rename(folder / "renamed")
    found = read_input(folder, known)
    assert sorted(read) == ["c", "new", "renamed"]
    assert found.digest == digest_of(folder)


def test_what_changed_just_before_is_read_again(known: KnownHashes, folder: Path, read: list[str]) -> None:
    """Within one tick of the clock a file can be written again, and keep its times."""
    read_input(folder, known)
    read.clear()
    read_input(folder, known)
    assert sorted(read) == ["a", "c", "d"]
    old = (folder / "a").stat()
    known.learn(old, "0" * 64, max(old.st_mtime_ns, old.st_ctime_ns) + MARGIN)
    known.save(1)
    assert known.file(old) is None
    known.learn(old, "0" * 64, max(old.st_mtime_ns, old.st_ctime_ns) + MARGIN + 1)
    known.save(1)
    assert known.file(old) == "0" * 64


def test_a_file_from_the_future_is_read_again(known: KnownHashes, folder: Path, read: list[str]) -> None:
    """The clock was set back since it was written."""
    ahead = (folder / "a").stat().st_mtime_ns + 3600 * 10**9
    os.utime(folder / "a", ns=(ahead, ahead))
    read_input(folder / "a", known)
    read.clear()
    read_input(folder / "a", known)
    assert read == ["a"]


@pytest.mark.parametrize("damage", ["junk", "empty", "folder", "older"])
def test_a_damaged_file_of_hashes_costs_a_reading(
    known: KnownHashes, folder: Path, damage: str, later: None
) -> None:
    right = read_input(folder, known)
    known.close()
    for path in known.path.parent.iterdir():
        path.unlink()
    match damage:
        case "junk":
            known.path.write_bytes(b"junk" * 1000)
        case "empty":
            known.path.touch()
        case "folder":
            known.path.mkdir()
        case _:
            with sqlite3.connect(known.path) as connection:
                connection.execute("CREATE TABLE file (other TEXT)")
    assert read_input(folder, known) == right
    assert read_input(folder, known) == right


def test_a_kept_document_of_another_release_is_not_used(
    known: KnownHashes, folder: Path, later: None
) -> None:
    right = read_input(folder, known)
    known.close()
    with sqlite3.connect(known.path) as connection:
        connection.execute("UPDATE tree SET document = ?", (b'{"other": 1}',))
    assert read_input(folder, known) == right
    assert isinstance(right, InputData)


def test_the_oldest_half_goes_when_there_are_too_many(
    known: KnownHashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_hashes, "MOST", 3)

    def facts(number: int) -> Any:
        return SimpleNamespace(st_dev=1, st_ino=number, st_size=1, st_mtime_ns=1, st_ctime_ns=1)

    for number in range(1, 6):
        known.learn(facts(number), f"{number:064}", 1 << 62)
        known.save(number)
    kept = [number for number in range(1, 6) if known.file(facts(number)) == f"{number:064}"]
    assert kept[-1] == 5
    assert len(kept) <= 3
