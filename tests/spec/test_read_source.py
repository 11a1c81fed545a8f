"""The source as values: the same whatever machine, clock or locale, and nothing from outside the folder."""

from __future__ import annotations

import locale
import os
import shutil
from pathlib import Path

import pytest
from support.sources import FILES, LFS_POINTER, committed, fill, git, names, read

from orchestrator.errors import UsageError
from orchestrator.spec.source import read_source as source_module
from orchestrator.spec.source import source_selection as selection_module


def test_a_plain_folder_is_read_in_the_order_of_path_bytes(tmp_path: Path) -> None:
    tree = read(fill(tmp_path))
    assert {file.path: file.data for file in tree.files} == FILES
    assert names(tree) == sorted(FILES, key=str.encode)
    assert tree.git is None


@pytest.mark.parametrize("in_git", [False, True])
def test_umask_locale_times_and_order_of_creation_change_nothing(tmp_path: Path, in_git: bool) -> None:
    first = fill(tmp_path / "first")
    before = os.umask(0o077)
    try:
        second = fill(tmp_path / "second", dict(reversed(FILES.items())))
    finally:
        os.umask(before)
    for path in second.rglob("*"):
        os.utime(path, (1, 1))
    if in_git:
        committed(first)
        committed(second)
    one = read(first)
    was = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
        two = read(second)
    finally:
        locale.setlocale(locale.LC_ALL, was)
    assert one.files == two.files


def test_executables_and_links_are_kept_and_links_are_not_followed(tmp_path: Path) -> None:
    folder = fill(tmp_path / "source")
    (tmp_path / "secret").write_text("secret")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("train.py")
    (folder / "outside").symlink_to(tmp_path / "secret")
    (folder / "folder").symlink_to("lib")
    (folder / "nowhere").symlink_to("gone")
    tree = {file.path: file for file in read(folder).files}
    assert tree["run.sh"].executable
    assert not tree["train.py"].executable
    assert tree["link"].symlink and tree["link"].data == b"train.py"
    assert tree["outside"].data == os.fsencode(tmp_path / "secret")
    assert tree["folder"].data == b"lib" and "folder/a.py" not in tree
    assert tree["nowhere"].symlink
    assert read(committed(folder)).files == tuple(tree.values())


@pytest.mark.parametrize("in_git", [False, True])
def test_a_fifo_is_refused_outside_git_and_where_git_tracks_its_name(tmp_path: Path, in_git: bool) -> None:
    folder = fill(tmp_path)
    if in_git:
        committed(folder)
    (folder / "train.py").unlink()
    os.mkfifo(folder / "train.py")
    with pytest.raises(UsageError, match=r"train\.py is not a plain file"):
        read(folder)


@pytest.mark.parametrize("in_git", [False, True])
def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path, in_git: bool) -> None:
    folder = fill(tmp_path)
    with open(os.fsencode(folder) + b"/\xff.py", "wb"):
        pass
    if in_git:
        committed(folder)
        with pytest.raises(UsageError, match="not UTF-8"):
            read(folder, "HEAD")
    with pytest.raises(UsageError, match="not UTF-8"):
        read(folder)


@pytest.mark.parametrize("how", ["folder", "git", "commit"])
def test_what_is_never_code_and_what_the_folder_names_is_left_out(tmp_path: Path, how: str) -> None:
    more = {
        "__pycache__/a.pyc": b"", "lib/__pycache__/a.py": b"", "a.pyc": b"", ".venv/bin/x": b"",
        "sets/big/one.npy": b"", "lib/scratch.tmp": b"", "deep/er/runs/1": b"", "runs.py": b"",
        ".repriseignore": "\ufeff# data\nsets/big\n*.tmp\nruns/\n\n".encode(),
    }  # fmt: skip
    folder = fill(tmp_path, FILES | more)
    if how != "folder":
        committed(folder)
    tree = read(folder, "HEAD" if how == "commit" else None)
    assert set(names(tree)) == set(FILES) | {".repriseignore", "runs.py"}


def test_inputs_are_not_source(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    left_out = (folder / "data", folder / "train.py", Path("/elsewhere"), folder)
    assert set(names(read(folder, exclude=left_out))) == {"lib/a.py", "lib/a-b.py", "name with space"}


@pytest.mark.parametrize("how", ["folder", "git", "commit"])
def test_a_link_that_is_an_input_is_an_input(tmp_path: Path, how: str) -> None:
    data, file = tmp_path / "outside" / "set", tmp_path / "outside" / "one.csv"
    (data / "train").mkdir(parents=True)
    file.touch()
    folder = fill(tmp_path / "source")
    (folder / "data2").symlink_to("../outside/set")  # the input itself
    (folder / "lib" / "one.csv").symlink_to(file)  # a file, by its whole path
    (folder / "way").symlink_to("../outside")  # a folder on the way to one
    (folder / "kept").symlink_to("lib")
    (folder / "other").symlink_to("../elsewhere")
    if how != "folder":
        committed(folder)
    tree = read(folder, "HEAD" if how == "commit" else None, exclude=(data, file))
    assert set(names(tree)) == set(FILES) | {"kept", "other"}
    assert set(names(read(folder))) == set(FILES) | {"kept", "other", "data2", "lib/one.csv", "way"}


def test_ignored_files_are_left_out_and_untracked_ones_are_not(tmp_path: Path) -> None:
    folder = committed(fill(tmp_path, FILES | {".gitignore": b"*.log\nout/\n"}))
    fill(folder, {"a.log": b"", "out/x": b"", "new.py": b"new"})
    tree = read(folder)
    assert set(names(tree)) == set(FILES) | {".gitignore", "new.py"}
    assert tree.git is not None and tree.git.dirty


def test_before_the_first_commit_git_lists_but_has_no_state(tmp_path: Path) -> None:
    folder = fill(tmp_path, FILES | {".gitignore": b"*.log\n", "a.log": b""})
    git(folder, "init", "-q")
    tree = read(folder)
    assert tree.git is None
    assert set(names(tree)) == set(FILES) | {".gitignore"}


def test_a_folder_that_the_repository_around_it_ignores_is_a_plain_folder(tmp_path: Path) -> None:
    outer = committed(fill(tmp_path, {".gitignore": b"inner/\n", "x": b""}))
    tree = read(fill(outer / "inner"))
    assert set(names(tree)) == set(FILES)
    assert tree.git is None


def test_a_commit_gives_what_its_clean_folder_gives(tmp_path: Path) -> None:
    folder = committed(fill(tmp_path))
    clean = read(folder)
    commit = git(folder, "rev-parse", "HEAD")
    fill(folder, {"train.py": b"changed", "new": b""})
    for name in (commit, commit[:8], "HEAD", "main"):
        tree = read(folder, name)
        assert tree.files == clean.files
        assert tree.git is not None and tree.git.commit == commit and not tree.git.dirty


def test_a_subfolder_is_the_source(tmp_path: Path) -> None:
    folder = committed(fill(tmp_path))
    (folder / "train.py").write_text("changed outside the subfolder")
    for commit in (None, "HEAD"):
        tree = read(folder / "lib", commit)
        assert names(tree) == ["a-b.py", "a.py"]
        assert tree.git is not None and not tree.git.dirty
    (folder / "other").mkdir()
    with pytest.raises(UsageError, match="no files"):
        read(folder / "other", "HEAD")


def test_a_bare_repository_gives_commits_only(tmp_path: Path) -> None:
    folder = committed(fill(tmp_path / "work"))
    git(tmp_path, "clone", "-q", "--bare", str(folder), "bare")
    assert read(tmp_path / "bare", "HEAD").files == read(folder).files
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "bare")
    assert caught.value.hint is not None and "commit" in caught.value.hint


def test_a_deleted_tracked_file_is_gone(tmp_path: Path) -> None:
    folder = committed(fill(tmp_path))
    shutil.rmtree(folder / "lib")
    assert "lib/a.py" not in names(read(folder))


def test_a_tracked_folder_that_became_a_link_is_not_looked_through(tmp_path: Path) -> None:
    folder = committed(fill(tmp_path / "source"))
    fill(tmp_path / "outside", {"a.py": b"secret", "a-b.py": b"secret"})
    shutil.rmtree(folder / "lib")
    (folder / "lib").symlink_to(tmp_path / "outside")
    tree = {file.path: file for file in read(folder).files}
    assert "lib/a.py" not in tree
    assert tree["lib"].symlink
    assert all(b"secret" not in file.data for file in tree.values())


@pytest.mark.parametrize("commits", [0, 1])
def test_a_repository_that_nobody_added_is_refused(tmp_path: Path, commits: int) -> None:
    folder = committed(fill(tmp_path))
    inner = fill(folder / "inner")
    git(inner, "init", "-q")
    if commits:
        committed(inner)
    with pytest.raises(UsageError, match="repository of its own"):
        read(folder)
    (folder / ".repriseignore").write_text("inner\n")
    assert set(names(read(folder))) == set(FILES) | {".repriseignore"}


@pytest.mark.parametrize("commit", [None, "HEAD", "no repository"])
def test_an_lfs_pointer_is_refused(tmp_path: Path, commit: str | None) -> None:
    folder = fill(tmp_path, FILES | {"model.bin": LFS_POINTER})
    if commit == "no repository":
        commit = None
    else:
        committed(folder)
    with pytest.raises(UsageError, match=r"model\.bin is a Git LFS pointer"):
        read(folder, commit)


@pytest.mark.parametrize("commit", [None, "HEAD"])
def test_a_source_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: str | None
) -> None:
    folder = committed(fill(tmp_path))
    monkeypatch.setattr(source_module, "MAX_BYTES", 100)
    with pytest.raises(UsageError, match="larger than"):
        read(folder, commit)
    monkeypatch.setattr(selection_module, "MAX_FILES", 3)
    with pytest.raises(UsageError, match="more than 3"):
        read(folder, commit)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(UsageError, match="larger than 1 GiB"):
        read(tmp_path)


def test_a_folder_that_is_not_there_or_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("gone", "file"):
        with pytest.raises(UsageError, match=name):
            read(tmp_path / name)
    with pytest.raises(UsageError, match="not in a git repository"):
        read(tmp_path, "HEAD")


def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    """Outside git by what lies there; a commit can have names that no file system takes."""
    folder = tmp_path / "source"
    (folder / "/".join("a" * 300)).mkdir(parents=True)
    (folder / "/".join("a" * 300) / "b").touch()
    with pytest.raises(UsageError, match="more than 200 folders in one another"):
        read(folder)
    made = committed(fill(tmp_path / "repository"))
    tree = git(made, "write-tree")
    for _ in range(250):
        tree = git(made, "mktree", given=f"040000 tree {tree}\t{'a' * 20}\n")
    commit = git(made, "commit-tree", "-m", "deep", tree)
    with pytest.raises(UsageError, match="more than 200 folders in one another"):
        read(made, commit)


def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size is what the limit is asked of: more than that is not read, and the file may have no end."""
    folder = fill(tmp_path)

    def shorter(fd: int) -> os.stat_result:
        found = list(fstat(fd))
        found[6] = max(found[6] - 1, 0)
        return os.stat_result(found)

    fstat = os.fstat
    monkeypatch.setattr(source_module.os, "fstat", shorter)
    with pytest.raises(UsageError, match="became longer"):
        read(folder)
