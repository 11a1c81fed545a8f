"""Inputs by digest: the bytes and the names, nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.launch.inputs import located_inputs
from orchestrator.spec.inputs import digest_of, hash_inputs
from orchestrator.spec.model import InputSpec


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


@pytest.mark.parametrize("fault", ["file link", "folder link", "broken link", "fifo", "name"])
def test_what_cannot_be_an_input_is_refused(folder: Path, fault: str) -> None:
    match fault:
        case "file link":
            (folder / "b" / "x").symlink_to(folder / "a")
        case "folder link":
            (folder / "x").symlink_to(folder / "b")
        case "broken link":
            (folder / "x").symlink_to("nowhere")
        case "fifo":
            os.mkfifo(folder / "x")
        case "name":
            with open(os.fsencode(folder) + b"/\xff", "wb"):
                pass
    with pytest.raises(UsageError):
        digest_of(folder)


def test_a_fifo_itself_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        digest_of(tmp_path / "fifo")


def test_all_problems_are_told_at_once(folder: Path, tmp_path: Path) -> None:
    other = Digest.of(b"other")
    with pytest.raises(UsageError) as caught:
        hash_inputs(
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
    assert hash_inputs({"set": InputSpec(path=str(folder), sha256=digest)}) == {"set": digest}


def test_inputs_of_a_rerun_are_found_by_name_and_checked(folder: Path) -> None:
    wanted = {"set": digest_of(folder)}
    assert located_inputs(wanted, {"set": str(folder), "more": "/elsewhere"}) == {"set": folder}
    with pytest.raises(UsageError, match="does not know where") as caught:
        located_inputs(wanted, {})
    assert caught.value.hint == "--input set=PATH"
    (folder / "a").write_bytes(b"changed")
    with pytest.raises(UsageError, match="input set"):
        located_inputs(wanted, {"set": str(folder)})
