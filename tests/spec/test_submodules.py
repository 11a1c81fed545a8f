"""Submodules are source: their files, their commits, their changes, wherever git keeps them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.sources import FILES, committed, fill, git, names, read

from orchestrator.errors import UsageError
from orchestrator.spec.source.source_tree import SourceTree

ALLOWED = ("-c", "protocol.file.allow=always")


def add(folder: Path, inner: Path, path: str) -> None:
    git(folder, *ALLOWED, "submodule", "add", "-q", str(inner), path)
    git(folder, "commit", "-q", "-m", f"submodule {path}")


@pytest.fixture
def outer(tmp_path: Path) -> Path:
    """A repository with a submodule `third/lib`, which has one of its own, `deep`."""
    deep = committed(fill(tmp_path / "deep", {"d.py": b"d"}))
    inner = committed(fill(tmp_path / "inner", {"i.py": b"i", ".gitignore": b"*.log\n"}))
    add(inner, deep, "deep")
    folder = committed(fill(tmp_path / "outer"))
    add(folder, inner, "third/lib")
    git(folder, *ALLOWED, "submodule", "update", "-q", "--init", "--recursive")
    return folder


EXPECTED = {*FILES, ".gitmodules", "third/lib/.gitmodules", "third/lib/.gitignore", "third/lib/i.py"}
EXPECTED |= {"third/lib/deep/d.py"}


def heads(folder: Path) -> dict[str, str]:
    return {path: git(folder / path, "rev-parse", "HEAD") for path in ("third/lib", "third/lib/deep")}


@pytest.mark.parametrize("commit", [None, "HEAD"])
def test_files_and_commits_of_submodules_in_submodules(outer: Path, commit: str | None) -> None:
    tree = read(outer, commit)
    assert set(names(tree)) == EXPECTED
    assert tree.git is not None and tree.git.submodules == heads(outer) and not tree.git.dirty
    assert names(tree) == sorted(names(tree), key=str.encode)


@pytest.mark.parametrize("commit", [None, "HEAD"])
def test_a_worktree_has_submodules_too(outer: Path, tmp_path: Path, commit: str | None) -> None:
    whole = read(outer, commit)
    git(outer, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    with pytest.raises(UsageError, match="third/lib is a submodule that is not checked out") as caught:
        read(tmp_path / "tree")
    assert "git submodule update --init" in (caught.value.hint or "")
    git(tmp_path / "tree", *ALLOWED, "submodule", "update", "-q", "--init", "--recursive")
    assert read(tmp_path / "tree", commit).files == whole.files


def test_a_commit_needs_no_submodule_to_be_checked_out(outer: Path) -> None:
    whole = read(outer, "HEAD")
    git(outer, "submodule", "deinit", "-q", "-f", "--all")
    assert read(outer, "HEAD").files == whole.files


def test_submodules_that_were_never_fetched_are_said(outer: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(outer), "clone")
    for commit in (None, "HEAD"):
        with pytest.raises(UsageError, match="third/lib is a submodule") as caught:
            read(tmp_path / "clone", commit)
        assert "git submodule update --init" in (caught.value.hint or "")
    (tmp_path / "clone" / ".repriseignore").write_text("/third\n")
    assert "train.py" in names(read(tmp_path / "clone"))


def restored(tree: SourceTree, outer: Path, folder: Path) -> SourceTree:
    """What the recorded commits and the patch give on another machine."""
    assert tree.git is not None and tree.git.patch is not None
    git(folder.parent, *ALLOWED, "clone", "-q", "--recurse-submodules", str(outer), str(folder))
    for path, commit in sorted(tree.git.submodules.items()):
        git(folder / path, "fetch", "-q", str(outer / path), commit)
        git(folder / path, "checkout", "-q", commit)
    (folder.parent / "patch").write_bytes(tree.git.patch)
    git(folder, "apply", "--whitespace=nowarn", str(folder.parent / "patch"))
    return read(folder)


def test_changes_in_submodules_are_in_the_patch(outer: Path, tmp_path: Path) -> None:
    fill(outer, {"train.py": b"changed\n"})
    fill(outer / "third" / "lib", {"i.py": b"changed\n", "new.py": b"new\n", "x.log": b"ignored"})
    fill(outer / "third" / "lib" / "deep", {"d.py": b"changed\n"})
    tree = read(outer)
    assert tree.git is not None and tree.git.dirty and tree.git.submodules == heads(outer)
    assert set(names(tree)) == EXPECTED | {"third/lib/new.py"}
    assert restored(tree, outer, tmp_path / "there").files == tree.files


def test_another_commit_than_the_one_that_is_named_is_a_change(outer: Path, tmp_path: Path) -> None:
    lib = outer / "third" / "lib"
    fill(lib, {"i.py": b"second"})
    git(lib, "commit", "-q", "-a", "-m", "second")
    tree = read(outer)
    assert tree.git is not None and tree.git.dirty and tree.git.patch is not None
    assert f"+Subproject commit {heads(outer)['third/lib']}".encode() in tree.git.patch
    assert restored(tree, outer, tmp_path / "there").files == tree.files
    git(outer, "add", "third/lib")
    assert read(outer).git == tree.git  # staged, and still not what the commit names


def test_a_subfolder_with_a_submodule_is_the_source(outer: Path) -> None:
    fill(outer / "third", {"lib/i.py": b"changed\n"})
    for commit in (None, "HEAD"):
        tree = read(outer / "third", commit)
        assert {"lib/i.py", "lib/deep/d.py"} <= set(names(tree))
        assert tree.git is not None and tree.git.submodules.keys() == {"lib", "lib/deep"}
    patch = read(outer / "third").git.patch  # type: ignore[union-attr]
    assert patch is not None and b"--- a/third/lib/i.py\n" in patch


def test_a_submodule_itself_is_a_source(outer: Path) -> None:
    tree = read(outer / "third" / "lib")
    assert set(names(tree)) == {".gitmodules", ".gitignore", "i.py", "deep/d.py"}
    assert tree.git is not None and tree.git.commit == heads(outer)["third/lib"]


def test_before_the_first_commit_the_submodules_commits_are_told(tmp_path: Path) -> None:
    inner = committed(fill(tmp_path / "inner", {"i.py": b"i"}))
    folder = fill(tmp_path / "outer", {"train.py": b""})
    git(folder, "init", "-q")
    git(folder, *ALLOWED, "submodule", "add", "-q", str(inner), "sub")
    tree = read(folder)
    assert set(names(tree)) == {"train.py", ".gitmodules", "sub/i.py"} and tree.git is None
    commit = git(inner, "rev-parse", "HEAD")
    assert tree.notes == (f"the submodule sub is at commit {commit}, and the repository has none yet",)


def test_patterns_and_ignored_folders_hold_in_submodules(outer: Path) -> None:
    fill(outer, {".repriseignore": b"d.py\n"})
    fill(outer / "third" / "lib", {"__pycache__/i.pyc": b"", ".repriseignore": b"/i.py\n"})
    assert set(names(read(outer))) == (EXPECTED - {"third/lib/deep/d.py", "third/lib/i.py"}) | {
        ".repriseignore", "third/lib/.repriseignore"
    }  # fmt: skip


@pytest.mark.parametrize("commit", [None, "HEAD"])
@pytest.mark.parametrize("how", ["file", "link"])
def test_a_submodule_that_leads_to_somebody_elses_repository_is_refused(
    outer: Path, tmp_path: Path, commit: str | None, how: str
) -> None:
    private = committed(fill(tmp_path / "private", {"secret": b"secret"}))
    lib = outer / "third" / "lib"
    (lib / ".git").unlink()
    if how == "file":
        (lib / ".git").write_text(f"gitdir: {private}/.git\n")
    else:
        (lib / ".git").symlink_to(private / ".git")
    with pytest.raises(UsageError, match="keeps its repository elsewhere"):
        read(outer, commit)


@pytest.mark.parametrize("name", ["../../../private/.git", "..", "a/../../x"])
def test_a_submodules_name_that_leads_elsewhere_is_refused(outer: Path, tmp_path: Path, name: str) -> None:
    committed(fill(tmp_path / "private", {"secret": b"secret"}))
    shutil.rmtree(outer / "third")
    (outer / ".gitmodules").write_text(f'[submodule "{name}"]\n\tpath = third/lib\n\turl = x\n')
    git(outer, "add", ".gitmodules")
    git(outer, "commit", "-q", "-m", "hostile")
    with pytest.raises(UsageError, match="leads elsewhere"):
        read(outer, "HEAD")
