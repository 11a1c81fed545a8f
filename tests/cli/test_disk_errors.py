"""A disk or a folder that cannot be used is said in words, and is no bug of Reprise."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.disk_errors import disk_error
from orchestrator.durable import temporary_beside


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR])
def test_a_folder_of_the_box_that_cannot_be_used_is_named(home: Path, code: int) -> None:
    found = disk_error(OSError(code, os.strerror(code), str(home / "images" / "blobs")))
    assert found is not None
    assert found.message == f"{home}/images/blobs: {os.strerror(code)}"
    assert found.hint.endswith(f"or name another folder: REPRISE_HOME (now {home})")


def test_of_a_file_that_was_being_written_the_folder_is_named(home: Path) -> None:
    temporary = temporary_beside(home / "images" / "index" / "key.json")
    found = disk_error(OSError(errno.EROFS, os.strerror(errno.EROFS), str(temporary)))
    assert found is not None and found.message == f"{home}/images/index: Read-only file system"


def test_a_place_that_is_not_the_box_s_is_named_without_it(home: Path) -> None:
    found = disk_error(PermissionError(errno.EACCES, "Permission denied", f"{home}-other/x"))
    assert found is not None and "REPRISE_HOME" not in found.hint


def test_a_store_elsewhere_is_called_the_store(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPRISE_STORE", str(tmp_path / "share"))
    found = disk_error(OSError(errno.ESTALE, "Stale file handle", str(tmp_path / "share" / "aa")))
    assert found is not None and "REPRISE_STORE" in found.hint
    assert home.name not in found.hint


def test_what_names_no_place_or_says_that_one_is_missing_may_be_a_bug(home: Path) -> None:
    assert disk_error(PermissionError(errno.EACCES, "Permission denied")) is None
    assert disk_error(FileNotFoundError(errno.ENOENT, "No such file or directory", str(home))) is None
    assert disk_error(BlockingIOError(errno.EAGAIN, "again", str(home))) is None


def test_a_command_over_a_home_that_is_a_file_ends_with_the_message(
    home: Path, tmp_path: Path, reprise: Callable[..., Any]
) -> None:
    home.mkdir()
    (home / "images").write_text("no folder")
    (tmp_path / "main.py").write_text("print(1)\n")
    (tmp_path / "job.yaml").write_text("name: x\nbase: cpu\ncommand: python main.py\n")
    (home / "bases.toml").write_bytes(PINS)
    ran = reprise("build", str(tmp_path / "job.yaml"), "--json")
    assert ran.code == 5
    said = json.loads(ran.err.splitlines()[-1])["error"]
    assert said["kind"] != "Crash", said
    assert str(home / "images") in said["message"]


@pytest.mark.parametrize("words", ["ledger key", "history", "doctor", "store gc"])
def test_a_home_where_no_folder_can_be_made_is_no_bug(
    reprise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("REPRISE_HOME", "/proc/nope")
    ran = reprise(*words.split())
    assert ran.code in (1, 5) and "a bug" not in ran.err, ran
    assert words == "doctor" or "/proc/nope" in ran.err


PINS = b"""["cpu".pin]
"digest" = "sha256:69f790b07b95c85c5ee804712058ac9920c07f33fb5299bf2143f7b4d976dc3f"
"config_digest" = "sha256:61bfc8a1a06e89d028f26a2de39962032886b306809cc13d80c00631ac0cebdb"
"reference" = "reprise-base:69f790b07b95c85c5ee804712058ac9920c07f33fb5299bf2143f7b4d976dc3f"

["cpu".pin.python]
"executable" = "/opt/python/bin/python"
"version" = "3.11.2"
"purelib" = "/opt/python/lib/python3.11/site-packages"
"glibc" = "2.36"
"machine" = "x86_64"

["cpu".pin.python.packages]
"""
