"""Whole or not at all, and in an order that survives a crash."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from orchestrator import durable
from orchestrator.durable import sync_filesystem, write_bytes, writing

fork = multiprocessing.get_context("fork")


def test_bytes_are_written_and_replaced_with_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_bytes(path, b"one")
    write_bytes(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"before")
    with pytest.raises(ZeroDivisionError), writing(path) as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_data_is_durable_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(fd: int) -> None:
        events.append("fsync " + Path(f"/proc/self/fd/{fd}").readlink().name.split(".")[-1])
        real_fsync(fd)

    def replace(self: Path, target: Path) -> Path:
        events.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_bytes(tmp_path / "new" / "file", b"x")
    assert events == [f"fsync {tmp_path.name}", "fsync tmp", "rename", "fsync new"]


def _write_limited(path: Path, found: multiprocessing.Queue[str]) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        write_bytes(path, b"x" * 1_000_000)
    except OSError as error:
        found.put(type(error).__name__)
    else:
        found.put("written")


def test_a_write_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    found: multiprocessing.Queue[str] = fork.Queue()
    process = fork.Process(target=_write_limited, args=(tmp_path / "file", found))
    process.start()
    assert found.get(timeout=120) == "OSError"
    process.join()
    assert list(tmp_path.iterdir()) == []


def _write_for_ever(path: Path) -> None:
    while True:
        for byte in b"ab":
            write_bytes(path, bytes([byte]) * 300_000)


def test_a_kill_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"a" * 300_000)
    for wait in (0.01, 0.03, 0.05):
        process = fork.Process(target=_write_for_ever, args=(path,))
        process.start()
        process.join(wait)
        process.kill()
        process.join()
        assert path.read_bytes() in (b"a" * 300_000, b"b" * 300_000)
    assert all(other.name.startswith(".") for other in tmp_path.iterdir() if other != path)


def test_a_file_system_is_flushed_or_the_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_filesystem(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_filesystem(tmp_path / "gone")

    class Libc:
        def syncfs(self, fd: int) -> int:
            return -1

    monkeypatch.setattr(durable.ctypes, "CDLL", lambda *_, **__: Libc())
    with pytest.raises(OSError):
        sync_filesystem(tmp_path)
