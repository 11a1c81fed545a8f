"""FIFOs, devices and endless data in a source or its repository: told at once, never waited for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support.sources import committed, fill, git, names, read

from orchestrator.errors import UsageError
from orchestrator.spec.plain_file import open_plain, read_plain
from orchestrator.spec.source import git as git_module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return committed(fill(tmp_path / "source"))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs after all is ended, and is told by another message than what is looked for here."""
    monkeypatch.setattr(git_module, "DEADLINE", 20)


OF_GIT = (
    ".git/HEAD", ".git/config", ".git/index", ".git/packed-refs", ".git/info/exclude", ".git/info/attributes",
    ".git/refs/heads/main", ".git/objects/info/alternates", ".git/objects/info/commit-graph",
    ".git/objects/pack/x.idx", ".git/commondir", ".git/shallow", ".git/config.worktree",
)  # fmt: skip
OF_TREE = (".gitignore", ".gitattributes", ".gitmodules", ".mailmap", "lib/.gitignore", ".repriseignore")


@pytest.mark.parametrize("commit", [None, "HEAD"])
@pytest.mark.parametrize("kind", ["fifo", "link", "device"])
@pytest.mark.parametrize("name", [*OF_GIT, *OF_TREE])
def test_what_git_would_wait_for_is_told(
    folder: Path, tmp_path: Path, name: str, kind: str, commit: str | None
) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        os.mkfifo(tmp_path / "fifo")
        path.symlink_to(tmp_path / "fifo")
    else:
        path.symlink_to("/dev/zero")
    if name in OF_TREE and (kind != "fifo" or (name == ".repriseignore" and commit)):
        try:  # git does not follow a link of this name in a work tree, and neither do we
            read(folder, commit)
        except UsageError as error:
            assert "not a plain file" in error.message
        return
    with pytest.raises(UsageError) as caught:
        read(folder, commit)
    assert "no answer" not in caught.value.message
    assert path.name in caught.value.message or "not a git repository" in caught.value.message


def test_a_fifo_for_the_git_of_a_work_tree_is_told(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    os.mkfifo(folder / ".git")
    with pytest.raises(UsageError, match=r"\.git"):
        read(folder)


@pytest.mark.parametrize("in_git", [False, True])
def test_devices_and_sockets_are_no_source(tmp_path: Path, in_git: bool) -> None:
    folder = fill(tmp_path / "source")
    if in_git:
        committed(folder)
    (folder / "zero").symlink_to("/dev/zero")
    assert next(file for file in read(folder).files if file.path == "zero").data == b"/dev/zero"
    os.mkfifo(folder / "lib" / "pipe")
    if in_git:  # git lists no FIFO
        assert "lib/pipe" not in names(read(folder))
    else:
        with pytest.raises(UsageError, match="lib/pipe is not a plain file"):
            read(folder)


@pytest.mark.parametrize(
    "name",
    ["core.excludesFile", "core.attributesFile", "mailmap.file", "include.path", "diff.orderFile",
     "core.worktree", "commit.template", "core.hooksPath",
     "gpg.ssh.allowedSignersFile", "blame.ignoreRevsFile"],
)  # fmt: skip
@pytest.mark.parametrize("target", ["fifo", "/dev/zero"])
def test_a_file_that_the_configuration_names_is_not_read(
    folder: Path, tmp_path: Path, name: str, target: str
) -> None:
    clean = read(folder)
    os.mkfifo(tmp_path / "fifo")
    git(folder, "config", name, str(tmp_path / "fifo") if target == "fifo" else target)
    assert read(folder) == clean
    assert read(folder, "HEAD").files == clean.files


def test_a_git_that_does_not_answer_is_ended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nsleep 600 &\nsleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git_module, "DEADLINE", 0.5)
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"no answer in"):
        read(folder)
    assert time.monotonic() - began < 60  # not the 600 s of what it started


def test_a_commit_of_endless_names_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees that hold one tree many times, level upon level: 10**12 files in a kilobyte."""
    entry = git(folder, "hash-object", "-w", "train.py")
    kind, mode = "blob", "100644"
    for _ in range(12):
        lines = "".join(f"{mode} {kind} {entry}\tn{number}\n" for number in range(10))
        entry, kind, mode = git(folder, "mktree", given=lines), "tree", "040000"
    commit = git(folder, "commit-tree", entry, "-m", "bomb")
    monkeypatch.setattr(git_module, "MAX_OUTPUT", 1 << 20)
    with pytest.raises(UsageError, match="more than"):
        read(folder, commit)


@pytest.mark.parametrize("kind", ["fifo", "link", "device", "folder"])
def test_only_a_plain_file_is_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "other")
        (tmp_path / "other").touch()
    with pytest.raises(UsageError, match="not a plain file"):
        open_plain(path)


def test_what_is_read_of_a_file_has_an_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_plain(tmp_path / "file", 5) == b"12345"
    with pytest.raises(UsageError, match="larger than 4 bytes"):
        read_plain(tmp_path / "file", 4)
    with pytest.raises(UsageError, match="cannot read"):
        read_plain(tmp_path / "gone", 4)
