"""A file that a job writes is read while it grows: whole lines, each once, and nothing that is not a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.run.live import growing_file
from orchestrator.run.live.growing_file import GrowingFile


def test_whole_lines_each_once(tmp_path: Path) -> None:
    file = GrowingFile(tmp_path, "a/x.jsonl", 1 << 20, 100)
    assert file.more() == []
    (tmp_path / "a").mkdir()
    with (tmp_path / "a" / "x.jsonl").open("wb", buffering=0) as stream:
        assert file.more() == []
        stream.write(b"one\r\ntw")
        assert file.more() == [b"one\r\n"]
        assert file.more() == []
        stream.write(b"o\n\nthree\nfo")
        assert file.more() == [b"two\n", b"\n", b"three\n"]
        with file.again() as again:
            assert again.read() == b"one\r\ntwo\n\nthree\nfo"
        stream.write(b"ur\n")
        assert file.more() == [b"four\n"]
    assert file.problem == ""
    file.close()
    assert file.more() == []


def test_what_is_put_in_its_place_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one\n")
    file = GrowingFile(tmp_path, "x", 1 << 20, 100)
    assert file.more() == [b"one\n"]
    path.rename(tmp_path / "old")
    path.symlink_to("/etc/passwd")
    assert file.more() == []
    assert file.problem == ""
    file.close()


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "linked folder"])
def test_what_is_no_plain_file_is_a_problem_and_holds_nobody(tmp_path: Path, kind: str) -> None:
    folder, path = tmp_path / "job", tmp_path / "job" / "a" / "x"
    folder.mkdir()
    if kind == "linked folder":
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "x").write_bytes(b"secret\n")
        (folder / "a").symlink_to(tmp_path / "other")
    else:
        path.parent.mkdir()
        if kind == "link":
            path.symlink_to("/etc/passwd")
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.mkdir()
    file = GrowingFile(folder, "a/x", 1 << 20, 100)
    assert file.more() == []
    assert file.problem


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_file, "PIECE", 7)
    path = tmp_path / "x"
    path.write_bytes(b"0123456789\n" * 3)
    file = GrowingFile(tmp_path, "x", 1000, 10)
    assert file.more() == [b"0123456789\n"] * 3
    path.write_bytes(b"short\n")
    assert (file.more(), file.problem) == ([], "it became shorter")
    file = GrowingFile(tmp_path, "x", 1000, 3)
    assert (file.more(), "a line of more than 3 bytes" in file.problem) == ([], True)
    file = GrowingFile(tmp_path, "x", 5, 10)
    assert (file.more(), "more than 5" in file.problem) == ([], True)
