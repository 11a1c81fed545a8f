"""Whole or not at all, and in an order that survives a crash."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import multiprocessing
import os
import resource
import signal
import stat
import time
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator import durable
from orchestrator.durable import new_file, sync_filesystem, write_bytes, writing

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
        found.put(str(error))
    else:
        found.put("written")


def test_a_write_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    found: multiprocessing.Queue[str] = fork.Queue()
    process = fork.Process(target=_write_limited, args=(tmp_path / "file", found))
    process.start()
    assert str(tmp_path) in found.get(timeout=120)
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


def _write_half(path: Path, begun: multiprocessing.Queue[bool]) -> None:
    with writing(path) as stream:
        stream.write(b"half" * 100_000)
        begun.put(True)
        signal.pause()


def _write_once(path: Path) -> None:
    write_bytes(path, b"whole")


def test_what_a_killed_process_left_goes_with_the_next_write_into_its_folder(tmp_path: Path) -> None:
    """Nobody else ever looks for it, and a layer of an image has gigabytes."""
    begun: multiprocessing.Queue[bool] = fork.Queue()
    killed, living = (
        fork.Process(target=_write_half, args=(tmp_path / name, begun)) for name in ("killed", "living")
    )
    for process in (killed, living):
        process.start()
        assert begun.get(timeout=120)
    killed.kill()
    killed.join()
    others = [tmp_path / ".file.0123456789ab.tmp", tmp_path / "file.0123456789ab.reprise.tmp"]
    for other in others:
        other.write_bytes(b"not ours")
    (tmp_path / ".a.0123456789ab.reprise.tmp").symlink_to(others[0])
    next_one = fork.Process(target=_write_once, args=(tmp_path / "next",))
    next_one.start()
    next_one.join()
    names = {path.name.split(".")[1] for path in tmp_path.iterdir() if path.name.endswith(".reprise.tmp")}
    assert names == {"a", "living", "0123456789ab"}
    assert (tmp_path / "next").read_bytes() == b"whole"
    assert all(other.read_bytes() == b"not ours" for other in others)
    living.kill()
    living.join()


def test_where_locks_of_other_machines_may_be_unseen_a_file_stays_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (ctypes.c_long * 32)()
    assert ctypes.CDLL(None).statfs(os.fsencode(tmp_path), said) == 0
    left = tmp_path / ".a.0123456789ab.reprise.tmp"
    left.write_bytes(b"half")
    monkeypatch.setattr(durable, "_SHARED_TYPES", {said[0] & 0xFFFFFFFF})
    for name, stays in (("just written", True), ("long ago", False)):
        monkeypatch.setattr(durable, "_looked_through", set())
        if not stays:
            os.utime(left, (time.time() - 3600,) * 2)
        write_bytes(tmp_path / name, b"whole")
        assert left.exists() is stays


def test_a_file_that_somebody_takes_for_a_left_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its first moment and its lock another process may find it, and remove it."""
    taken: list[Path] = []
    lock = fcntl.flock

    def removed_first(file: int, how: int) -> None:
        if not taken:
            taken.append(Path(f"/proc/self/fd/{file}").readlink())
            taken[0].unlink()
        lock(file, how)

    monkeypatch.setattr(durable.fcntl, "flock", removed_first)
    write_bytes(tmp_path / "file", b"whole")
    assert taken
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_file_system_without_locks_takes_files_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(durable.fcntl, "flock", refused)
    write_bytes(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_of_two_that_make_a_file_the_first_one_s_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"first", b"second"):
        with suppress(FileExistsError), new_file(path) as made:
            made.stream.write(data)
            made.keep(path, replace=False)
    assert path.read_bytes() == b"first"
    assert path.stat().st_nlink == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fails_is_told_by_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does not say it: a file that is open has no name any more."""

    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match=str(tmp_path)):
        write_bytes(tmp_path / "file", b"x")
    assert list(tmp_path.iterdir()) == []


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
