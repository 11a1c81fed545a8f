"""Inputs by digest: the bytes and the names, nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sources import LFS_POINTER

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.several_at_once import Stop
from orchestrator.spec import inputs as module
from orchestrator.spec.inputs import _hash, digest_of, listing, open_input, read_input, read_inputs
from orchestrator.spec.jobfile.job_spec import InputSpec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    (folder / "b").mkdir(parents=True)
    (folder / "a").write_bytes(b"A")
    (folder / "b" / "ü").write_bytes(b"BB")
    return folder


def test_a_files_digest_is_that_of_its_bytes(folder: Path) -> None:
    assert digest_of(folder / "a") == "sha256:" + hashlib.sha256(b"A").hexdigest()


def test_a_folders_digest_is_that_of_its_listing(folder: Path) -> None:
    listing = (
        f'[["a","{hashlib.sha256(b"A").hexdigest()}",1],["b/ü","{hashlib.sha256(b"BB").hexdigest()}",2]]'
    )
    assert digest_of(folder) == Digest.of(listing.encode())


def test_times_and_modes_change_nothing_and_names_and_bytes_do(folder: Path, tmp_path: Path) -> None:
    before = digest_of(folder)
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "a").chmod(0o700)
    os.utime(tmp_path / "copy" / "a", (1, 1))
    assert digest_of(tmp_path / "copy") == before
    (tmp_path / "copy" / "a").rename(tmp_path / "copy" / "c")
    assert digest_of(tmp_path / "copy") != before
    (folder / "a").write_bytes(b"B")
    assert digest_of(folder) != before


@pytest.mark.parametrize("named", ["a", "link", "."])
def test_a_pointer_of_git_lfs_is_not_taken_for_the_data(folder: Path, named: str) -> None:
    """To compare digests such a file is like any other: a run's output may be one."""
    (folder / "a").write_bytes(LFS_POINTER)
    (folder / "link").symlink_to("a")
    with pytest.raises(UsageError, match=r"input x: .*/a is a Git LFS pointer, not the file itself"):
        read_inputs({"x": InputSpec(path=str(folder / named))})
    assert digest_of(folder / "a") == Digest.of(LFS_POINTER)
    (folder / "a").write_bytes(LFS_POINTER * 10)
    assert read_inputs({"x": InputSpec(path=str(folder / named))})


@pytest.mark.parametrize(
    "fault",
    ["/abs", "../outside", "nowhere", "b/../../outside", "x", "..", "fifo", "device", "through", "name"],
)
def test_what_cannot_be_an_input_is_refused(folder: Path, tmp_path: Path, fault: str) -> None:
    (tmp_path / "outside").write_text("secret")
    match fault:
        case "/abs":
            (folder / "x").symlink_to(folder / "a")
        case "fifo":
            os.mkfifo(folder / "x")
        case "device":
            (folder / "x").symlink_to("/dev/zero")
        case "through":
            (folder / "out").symlink_to("..")
            (folder / "x").symlink_to("out/outside")
        case "name":
            with open(os.fsencode(folder) + b"/\xff", "wb"):
                pass
        case _:
            (folder / "x").symlink_to(fault)
    with pytest.raises(UsageError):
        digest_of(folder)


def test_links_that_stay_inside_count_as_what_they_lead_to(folder: Path, tmp_path: Path) -> None:
    """A cache as model hubs lay it out: files by their content, and folders of links to them."""
    cache = tmp_path / "cache"
    for name, target in {"snapshots/v1/a": "../../blobs/1", "snapshots/v1/b/c": "../../../blobs/2"}.items():
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(target)
    (cache / "blobs").mkdir()
    (cache / "blobs" / "1").write_bytes(b"A")
    (cache / "blobs" / "2").write_bytes(b"C")
    (cache / "latest").symlink_to("snapshots/v1")
    (cache / "again").symlink_to("./latest/../v1/a")
    shutil.copytree(cache, tmp_path / "copy")  # follows links
    assert digest_of(cache) == digest_of(tmp_path / "copy")
    assert [name for name, _, _ in listing(cache)] == [
        "again", "blobs/1", "blobs/2", "latest/a", "latest/b/c", "snapshots/v1/a", "snapshots/v1/b/c"
    ]  # fmt: skip
    for name, digest, size in listing(cache):
        with open_input(cache, name) as stream:
            data = stream.read()
        assert (Digest.of(data).hex, len(data)) == (digest, size)


@pytest.mark.parametrize(
    "links", [{"x": "."}, {"b/x": "../b"}, {"b/x": ".."}, {"b/x": "../d", "d/x": "../b"}]
)
def test_folders_that_lead_back_to_themselves_are_refused(folder: Path, links: dict[str, str]) -> None:
    (folder / "d").mkdir()
    for name, target in links.items():
        (folder / name).symlink_to(target)
    with pytest.raises(UsageError, match="leads back"):
        digest_of(folder)


def test_folders_that_are_seen_too_often_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty folders, each with two links to the next: a million files out of one."""
    monkeypatch.setattr(module, "MOST", 1000)
    for number in range(20):
        (folder / f"d{number}").mkdir()
        for side in ("l", "r"):
            (folder / f"d{number}" / side).symlink_to(f"../d{number + 1}")
    (folder / "d20").mkdir()
    (folder / "d20" / "file").touch()
    with pytest.raises(UsageError, match="show more than 1,000 files"):
        digest_of(folder)


parts = st.sampled_from(["..", ".", "a", "b", "l", "m", "secret"])


@given(
    st.dictionaries(
        st.sampled_from(["l", "m", "b/l", "b/m"]), st.lists(parts, min_size=1, max_size=4), max_size=4
    )
)
def test_any_links_are_refused_or_read_as_the_system_reads_them(links: dict[str, list[str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "input"
        (folder / "b").mkdir(parents=True)
        (folder / "a").write_text("A")
        (folder / "b" / "a").write_text("BA")
        (Path(name) / "secret").write_text("secret")
        for link, target in links.items():
            (folder / link).symlink_to("/".join(target))
        try:
            entries = listing(folder)
        except UsageError:
            return
        for path, digest, _ in entries:
            assert digest == Digest.of((folder / path).read_bytes()).hex
            assert (folder / path).resolve().is_relative_to(folder.resolve())


def test_a_fifo_itself_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        digest_of(tmp_path / "fifo")


def test_all_problems_are_told_at_once(folder: Path, tmp_path: Path) -> None:
    other = Digest.of(b"other")
    with pytest.raises(UsageError) as caught:
        read_inputs(
            {
                "good": InputSpec(path=str(folder)),
                "absent": InputSpec(path=str(tmp_path / "gone")),
                "changed": InputSpec(path=str(folder / "a"), sha256=other),
            }
        )
    lines = caught.value.message.splitlines()
    assert [line.split(":")[0] for line in lines] == ["input absent", "input changed"]
    assert other in lines[1]


def test_demanded_digests_that_fit_pass(folder: Path) -> None:
    digest = digest_of(folder)
    assert read_inputs({"set": InputSpec(path=str(folder), sha256=digest)})["set"].digest == digest


@pytest.mark.parametrize("path", ["/proc/self/pagemap", "/proc/self/status", "/proc/kmsg"])
def test_a_file_that_the_kernel_makes_up_is_no_input(path: str) -> None:
    """Some of them never end, and some have their reader wait; whoever writes a row could name them."""
    with pytest.raises(
        UsageError, match=r"no disk holds it|Permission denied|Operation not permitted|No such"
    ):
        read_input(Path(path))


def test_a_file_that_grows_while_it_is_read_is_no_input(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"begins")
    with path.open("rb") as stream:
        stream.peek()
        os.truncate(path, 3)
        with pytest.raises(UsageError, match="writes to it"):
            _hash(stream, path, Stop())
