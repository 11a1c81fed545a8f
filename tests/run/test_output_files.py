from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.digest import Digest
from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.run.collect.output_files import collect_outputs
from orchestrator.run.collect.starting_source import StartingSource
from orchestrator.run.collect.walk_tree import MAX_DEPTH, TooManyOutputsError, read_small, shown_name
from orchestrator.spec.shown_names import is_plain

LIMIT = 1 << 30


def collected(
    folder: Path, sink: Any, globs: tuple[str, ...] = ("**",), limit: int = LIMIT
) -> dict[str, Output]:
    return {output.path: output for output in collect_outputs(folder, globs, limit, sink).outputs}


def test_plain_files_are_kept_by_content(tmp_path: Path, sink: Any) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.txt").write_bytes(b"one")
    (tmp_path / "empty").touch()
    outputs = collected(tmp_path, sink)
    assert list(outputs) == ["a/x.txt", "empty"]
    kept = outputs["a/x.txt"]
    assert (kept.status, kept.size) == (OutputStatus.KEPT, 3)
    assert kept.digest is not None
    assert sink.blobs[kept.digest] == b"one"


def test_what_is_not_a_plain_file_is_listed_and_never_read(tmp_path: Path, sink: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host")
    work = tmp_path / "work"
    work.mkdir()
    (work / "link").symlink_to(secret)
    (work / "folder-link").symlink_to(tmp_path)
    (work / "dangling").symlink_to("nowhere")
    os.mkfifo(work / "fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(work / "socket"))
        outputs = collected(work, sink)
    assert {path: output.reason for path, output in outputs.items()} == {
        "dangling": "symlink",
        "fifo": "fifo",
        "folder-link": "symlink",
        "link": "symlink",
        "socket": "socket",
    }
    assert sink.blobs == {}


@pytest.mark.parametrize(
    ("name", "shown", "reason"),
    [
        (b"bad-\xff", "bad-\\xff", "name is not UTF-8"),
        (b"esc-\x1b[31m", "esc-\\x1b[31m", "control character in name"),
        (b"line\nbreak", "line\\x0abreak", "control character in name"),
        ("bidi-\u202e".encode(), "bidi-\\xe2\\x80\\xae", "control character in name"),
    ],
)
def test_names_that_cannot_be_trusted(
    tmp_path: Path, sink: Any, name: bytes, shown: str, reason: str
) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).write_text("x")
    (output,) = collected(tmp_path, sink).values()
    assert (output.path, output.status, output.reason) == (shown, OutputStatus.REJECTED, reason)
    assert sink.blobs == {}


def test_too_deep_is_listed(tmp_path: Path, sink: Any) -> None:
    deep = tmp_path.joinpath(*["d"] * (MAX_DEPTH + 2))
    deep.mkdir(parents=True)
    (deep / "x").touch()
    (output,) = collected(tmp_path, sink).values()
    assert output.reason is not None
    assert output.reason.startswith("deeper")


def test_a_sparse_file_counts_as_what_it_claims(tmp_path: Path, sink: Any) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(15 << 30)
    with pytest.raises(TooManyOutputsError, match="output_size"):
        collected(tmp_path, sink)
    assert sink.blobs == {}


def test_what_the_job_began_with_and_left_alone_is_no_output(tmp_path: Path, sink: Any) -> None:
    (tmp_path / "same.py").write_bytes(b"same")
    (tmp_path / "changed.py").write_bytes(b"new")
    (tmp_path / "link").symlink_to("same.py")
    (tmp_path / "moved-link").symlink_to("changed.py")
    hashes = {"same.py": b"same", "changed.py": b"old", "link": b"same.py", "moved-link": b"same.py"}
    source = {path: Digest.of(data).hex for path, data in hashes.items()}
    outputs = collect_outputs(tmp_path, ("**",), LIMIT, sink, StartingSource(hashes=source)).outputs
    assert [output.path for output in outputs] == ["changed.py", "moved-link"]
    assert list(sink.blobs.values()) == [b"new"]


def test_files_outside_the_globs_count_for_nothing(tmp_path: Path, sink: Any) -> None:
    (tmp_path / "big.bin").write_bytes(b"x" * 1000)
    (tmp_path / "m.json").write_text("{}")
    assert list(collected(tmp_path, sink, ("*.json",), limit=100)) == ["m.json"]


def test_a_folder_that_turns_into_a_link_while_it_is_walked_leaks_nothing(tmp_path: Path, sink: Any) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "x").write_text("host secret")
    work = tmp_path / "work"
    (work / "d").mkdir(parents=True)
    (work / "d/x").write_text("job")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (work / "d").rename(tmp_path / "aside")
            (work / "d").symlink_to(host)
            (work / "d").unlink()
            (tmp_path / "aside").rename(work / "d")
            time.sleep(0.0002)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = {"job": 0, "link": 0}
        deadline = time.monotonic() + 120
        while min(seen.values()) < 100 and time.monotonic() < deadline:
            for output in collected(work, sink).values():
                seen["job" if output.status is OutputStatus.KEPT else "link"] += 1
    finally:
        stop.set()
        swapper.join()
    assert b"host secret" not in sink.blobs.values()
    assert min(seen.values()) >= 100, f"the race did not happen, so nothing is proved: {seen}"


@given(st.binary(min_size=1, max_size=60))
def test_an_escaped_name_can_always_be_shown(data: bytes) -> None:
    shown = shown_name(os.fsdecode(data))
    assert is_plain(shown)
    shown.encode("utf-8")


def test_reading_small_files_follows_nothing(tmp_path: Path) -> None:
    (tmp_path / "host").write_text("secret")
    work = tmp_path / "work"
    (work / "in").mkdir(parents=True)
    (work / "in/m.json").write_text("{}")
    (work / "link").symlink_to(tmp_path / "host")
    (work / "out").symlink_to(tmp_path)
    os.mkfifo(work / "fifo")
    assert read_small(work, "in/m.json", 10) == b"{}"
    assert read_small(work, "absent", 10) is None
    for name in ("link", "out/host", "fifo", "in"):
        with pytest.raises(ValueError, match=name.partition("/")[0]):
            read_small(work, name, 10)
    (work / "big").write_bytes(b"x" * 11)
    with pytest.raises(ValueError, match="more than 10"):
        read_small(work, "big", 10)


def test_folders_count_as_much_as_files(tmp_path: Path, sink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.run.collect.walk_tree.MAX_FILES", 10)
    for number in range(11):
        (tmp_path / str(number)).mkdir()
    with pytest.raises(TooManyOutputsError, match="more than 10"):
        collected(tmp_path, sink)


def test_no_glob_hides_a_folder_that_was_not_entered(tmp_path: Path, sink: Any) -> None:
    (tmp_path / "bad\x1b").mkdir()
    (tmp_path / "bad\x1b/m.pt").write_text("x")
    (tmp_path / "other\x1b.txt").write_text("x")
    (output,) = collected(tmp_path, sink, ("**/*.pt",)).values()
    assert (output.path, output.reason) == ("bad\\x1b", "control character in name")
