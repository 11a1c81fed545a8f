"""The git state: true, complete as a patch, and asked without running anything of the repository's."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.sources import git, read

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.redaction import bare_remote
from orchestrator.spec.source import git as git_module
from orchestrator.spec.source.source_tree import GitState


def state(folder: Path, commit: str | None = None) -> GitState:
    found = read(folder, commit).git
    assert found is not None
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "train.py").write_text("one\ntwo\nthree\n")
    (folder / "gone.py").write_text("gone\n")
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "weights.bin").write_bytes(bytes(range(256)))
    (folder / "lib").mkdir()
    (folder / "lib" / "a.py").write_text("a\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first: ünï", GIT_COMMITTER_DATE="2026-01-02T03:04:05+09:00")
    return folder


def change(folder: Path) -> None:
    """Every kind of change that a working directory can have."""
    (folder / "train.py").write_text("one\n2\nthree\n\n  trailing  \r\nno end")
    (folder / "gone.py").unlink()
    (folder / "tool.sh").chmod(0o755)
    (folder / "weights.bin").write_bytes(bytes(reversed(range(256))) * 3)
    (folder / "lib" / "a.py").write_text("staged\n")
    git(folder, "add", "lib/a.py")
    (folder / "new folder").mkdir()
    (folder / "new folder" / "ünï\t'.py").write_text("new\n")
    (folder / "new.bin").write_bytes(b"\0\1\2" * 100)
    (folder / "empty").touch()
    (folder / "link").symlink_to("train.py")
    (folder / "new.sh").write_text("new\n")
    (folder / "new.sh").chmod(0o755)


def test_a_clean_repository(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://ada:secret@example.org/code.git")
    assert state(repository) == GitState(
        remote="https://example.org/code.git",
        commit=git(repository, "rev-parse", "HEAD"),
        branch="main",
        author="Ada <ada@example.org>",
        committed_at=datetime(2026, 1, 1, 18, 4, 5, tzinfo=UTC),
        subject="first: ünï",
    )


@pytest.mark.parametrize("settings", [(), ("hostile",)])
def test_the_patch_applied_to_a_clean_clone_gives_the_same_tree(
    repository: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    if settings:
        for pair in (
            "diff.noprefix=true", "color.ui=always", "diff.mnemonicPrefix=true", "diff.renames=copies",
            "core.abbrev=4", "diff.context=0", "diff.relative=true", "core.quotePath=true",
            "diff.orderFile=/dev/gone", "diff.algorithm=patience", "status.short=true", "log.showRoot=true",
            "format.pretty=oneline", "core.splitIndex=true", "diff.submodule=log",
        ):  # fmt: skip
            git(repository, "config", *pair.split("=", 1))
    change(repository)
    tree = read(repository)
    assert tree.git is not None and tree.git.dirty and tree.git.patch is not None
    assert tree.git.patch_digest == Digest.of(tree.git.patch)
    git(tmp_path, "clone", "-q", str(repository), "clone")
    git(tmp_path / "clone", "checkout", "-q", tree.git.commit)
    (tmp_path / "patch").write_bytes(tree.git.patch)
    git(tmp_path / "clone", "apply", "--whitespace=nowarn", str(tmp_path / "patch"))
    assert read(tmp_path / "clone").files == tree.files


def test_a_subfolder_has_its_own_patch(repository: Path, tmp_path: Path) -> None:
    assert not state(repository / "lib").dirty
    (repository / "train.py").write_text("changed outside")
    assert not state(repository / "lib").dirty
    (repository / "lib" / "new.py").write_text("new\n")
    tree = read(repository / "lib")
    assert tree.git is not None and tree.git.patch is not None
    git(tmp_path, "clone", "-q", str(repository), "clone")
    (tmp_path / "patch").write_bytes(tree.git.patch)
    git(tmp_path / "clone", "apply", str(tmp_path / "patch"))
    assert read(tmp_path / "clone" / "lib").files == tree.files


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_repository_is_not_written_to(repository: Path) -> None:
    change(repository)
    before = everything(repository)
    assert state(repository).dirty
    assert everything(repository) == before


def test_the_same_changes_give_the_same_patch(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "copy", symlinks=True)
    change(repository)
    change(tmp_path / "copy")
    assert state(repository).patch == state(tmp_path / "copy").patch


def test_a_file_that_was_only_touched_is_not_a_change(repository: Path) -> None:
    os.utime(repository / "train.py", (1, 1))
    assert not state(repository).dirty


def test_untracked_files_that_are_not_source_are_no_change(repository: Path) -> None:
    (repository / ".repriseignore").write_text("*.npy\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "ignore")
    (repository / "big.npy").write_bytes(b"data")
    assert not state(repository).dirty


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_git_was_told_not_to_see_is_seen(repository: Path, flag: str) -> None:
    git(repository, "update-index", flag, "train.py")
    assert not state(repository).dirty
    (repository / "train.py").write_text("changed\n")
    found = state(repository)
    assert found.dirty and found.patch is not None and b"+changed" in found.patch


def test_a_file_of_the_old_size_and_time_is_read_all_the_same(repository: Path) -> None:
    """Other bytes would be recorded, and attested, as those of a commit."""
    file = repository / "train.py"
    before = file.stat()
    for setting in ("core.trustCtime=false", "core.checkStat=minimal"):
        git(repository, "config", *setting.split("="))
    os.utime(repository / ".git/index", (before.st_mtime + 100, before.st_mtime + 100))
    file.write_text("one\nTWO\nthree\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert git(repository, "status", "--short") == "", "git believes it"
    found = state(repository)
    assert found.dirty and found.patch is not None and b"+TWO" in found.patch


def test_an_index_that_lies_about_a_file_is_not_believed(repository: Path) -> None:
    file, index = repository / "train.py", repository / ".git/index"
    good = git(repository, "rev-parse", ":train.py")
    file.write_text("one\nTWO\nthree\n")
    evil = git(repository, "hash-object", "train.py")
    git(repository, "add", "train.py")
    data = index.read_bytes()[:-20].replace(bytes.fromhex(evil), bytes.fromhex(good))
    index.write_bytes(data + hashlib.sha1(data).digest())
    os.utime(index, (file.stat().st_mtime + 100, file.stat().st_mtime + 100))
    assert git(repository, "status", "--short") == "", "git believes it"
    found = state(repository)
    assert found.dirty and found.patch is not None and b"+TWO" in found.patch


def test_a_patch_that_is_too_long_is_not_kept(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "MAX_PATCH", 100_000)
    (repository / "train.py").write_text("long\n" * 1_000_000)
    found = state(repository)
    assert found.dirty and found.patch is None and found.patch_digest is None


@pytest.mark.parametrize("bits", [True, False])
@pytest.mark.parametrize("links", [True, False])
def test_where_files_have_no_bits_or_links_git_s_index_says_what_they_are(
    repository: Path, tmp_path: Path, bits: bool, links: bool
) -> None:
    """As on FAT, NTFS and CIFS: all files are executable, and links are texts."""
    (repository / "link").symlink_to("train.py")
    (repository / "tool.sh").chmod(0o755)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "second")
    commit = read(repository, "HEAD").files
    git(repository, "config", "core.fileMode", str(bits).lower())
    git(repository, "config", "core.symlinks", str(links).lower())
    if not bits:
        for path in repository.glob("*.*"):
            path.chmod(0o755)
    if not links:
        (repository / "link").unlink()
        (repository / "link").write_text("train.py")
    found = read(repository)
    assert found.files == commit
    assert found.git is not None and not found.git.dirty
    (repository / "new.py").touch(0o755)
    (new,) = (file for file in read(repository).files if file.path == "new.py")
    assert new.executable is bits


@pytest.mark.parametrize("how", ["written", "replaced", "removed"])
def test_a_file_that_changes_between_its_reading_and_the_patch_is_noted(
    repository: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    asked = git_module.Repository.state

    def state(*arguments: Any) -> GitState | None:
        file = repository / "train.py"
        if how == "replaced":
            file.rename(repository.parent / "away")
        if how == "removed":
            file.unlink()
        else:
            file.write_bytes(b"print('other')\n")
        return asked(*arguments)

    assert read(repository).notes == ()
    monkeypatch.setattr(git_module.Repository, "state", state)
    (note,) = read(repository).notes
    assert note.startswith("changed while it was read: train.py; there the recorded patch may differ")


def test_a_detached_head_has_no_branch(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    assert state(repository).branch is None


def test_a_merge_with_conflicts_is_dirty(repository: Path) -> None:
    git(repository, "checkout", "-q", "-b", "other")
    (repository / "train.py").write_text("other\n")
    git(repository, "commit", "-q", "-a", "-m", "other")
    git(repository, "checkout", "-q", "main")
    (repository / "train.py").write_text("main\n")
    git(repository, "commit", "-q", "-a", "-m", "main")
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "other")
    assert state(repository).dirty


@pytest.mark.parametrize(
    "name", ["gone", "--output=/tmp/reprise-hostile", "-1", "HEAD:train.py", "", "main..HEAD", "a\nb"]
)
def test_what_is_not_a_commit_is_refused(repository: Path, name: str) -> None:
    with pytest.raises(UsageError, match="git knows no commit"):
        read(repository, name)
    assert not Path("/tmp/reprise-hostile").exists()


def test_a_commit_with_an_impossible_time_has_none(repository: Path) -> None:
    raw = git(repository, "cat-file", "commit", "HEAD").replace(" +0900", "9999999999 +0900")
    words = ("hash-object", "-t", "commit", "-w", "--literally", "--stdin")
    assert state(repository, git(repository, *words, given=f"{raw}\n")).committed_at is None


def test_replaced_objects_are_not_believed(repository: Path) -> None:
    before = read(repository, "HEAD").files
    blob = git(repository, "rev-parse", "HEAD:train.py")
    git(repository, "replace", blob, git(repository, "rev-parse", "HEAD:gone.py"))
    assert read(repository, "HEAD").files == before


def test_a_missing_object_is_said(repository: Path) -> None:
    blob = git(repository, "rev-parse", "HEAD:train.py")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(UsageError, match=r"train\.py|git"):
        read(repository, "HEAD")


Trap = Callable[[str], str]


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    """A program that leaves a mark when it is run; `marks` of it must stay empty."""
    (tmp_path / "marks").mkdir()

    def make(name: str) -> str:
        path = tmp_path / f"trap-{name}"
        path.write_text(f"#!/bin/sh\ntouch {tmp_path}/marks/{name}\ntimeout 1 cat\n")
        path.chmod(0o755)
        return str(path)

    return make


def poison(folder: Path, trap: Trap) -> None:
    hooks = folder / "hooks"
    hooks.mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman", "pre-commit", "post-checkout"):
        shutil.copy(trap(hook), hooks / hook)
    included = folder / ".git" / "more"
    settings = {
        "core.hooksPath": str(hooks), "core.fsmonitor": trap("fsmonitor"), "core.pager": trap("pager"),
        "diff.external": trap("external"), "diff.evil.command": trap("command"),
        "diff.evil.textconv": trap("textconv"), "filter.evil.clean": trap("clean"),
        "filter.evil.smudge": trap("smudge"), "filter.evil.required": "true",
        "filter.Two.Dots.process": trap("process"), "gpg.program": trap("gpg"), "log.showSignature": "true",
        "core.sshCommand": trap("ssh"), "credential.helper": trap("credential"),
        "core.editor": trap("editor"),
        "protocol.ext.allow": "always", "protocol.file.allow": "always", "protocol.allow": "always",
        "remote.origin.url": f"ext::{trap('ext')}", "remote.origin.promisor": "true",
        "remote.origin.uploadpack": trap("uploadpack"), "extensions.partialClone": "origin",
        "core.repositoryFormatVersion": "1", "include.path": str(included), "core.askPass": trap("askpass"),
        "interactive.diffFilter": trap("interactive"), "trailer.x.command": trap("trailer"),
    }  # fmt: skip
    included.write_text(f'[filter "included"]\n\tclean = {trap("included")}\n')
    attributes = "*.py filter=evil diff=evil\n*.bin filter=included\n*.sh filter=Two.Dots\n"
    (folder / ".git" / "info" / "attributes").write_text(attributes)
    for name, value in settings.items():
        git(folder, "config", name, value)


@pytest.mark.parametrize("missing", [False, True])
def test_nothing_of_the_repositorys_is_run(
    repository: Path, tmp_path: Path, trap: Trap, missing: bool
) -> None:
    blob = git(repository, "rev-parse", "HEAD:train.py")
    signed = git(repository, "cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n -----END PGP SIGNATURE-----\n\n", 1
    )
    made = git(repository, "hash-object", "-t", "commit", "-w", "--stdin", given=f"{signed}\n")
    git(repository, "reset", "-q", "--soft", made)
    change(repository)
    poison(repository, trap)
    if missing:
        (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    for commit in (None, "HEAD"):
        try:
            tree = read(repository, commit)
        except UsageError:
            assert missing
        else:
            assert tree.git is not None and tree.git.dirty == (commit is None)
    assert sorted(path.name for path in (tmp_path / "marks").iterdir()) == []


def test_the_traps_of_these_tests_work(repository: Path, tmp_path: Path, trap: Trap) -> None:
    change(repository)
    poison(repository, trap)
    subprocess.run(["git", "diff"], cwd=repository, capture_output=True, check=False)
    subprocess.run(["git", "add", "-A"], cwd=repository, capture_output=True, check=False)
    marks = {path.name for path in (tmp_path / "marks").iterdir()}
    assert {"clean", "included", "fsmonitor"} <= marks


def test_git_that_is_not_installed_is_said(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="git is not installed") as caught:
        read(repository)
    assert caught.value.hint == "install git"


@pytest.mark.parametrize("commit", [None, "HEAD"])
def test_a_repository_of_somebody_else_is_read(
    repository: Path, commit: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git refuses it for what its configuration could do, which here is nothing."""
    monkeypatch.setitem(git_module._ENVIRON, "GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert not state(repository, commit).dirty


def test_a_git_folder_that_is_no_repository_is_said(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(UsageError, match="not a git repository") as caught:
        read(tmp_path)
    assert caught.value.hint is not None and "remove it" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://example.org/a.git", "https://example.org/a.git"),
        ("https://ada:secret@example.org/a.git", "https://example.org/a.git"),
        ("https://ada:se@cret@example.org/a@b.git", "https://example.org/a@b.git"),
        ("https://example.org/a.git?token=secret", "https://example.org/a.git"),
        ("git@example.org:a.git", "git@example.org:a.git"),
        ("/srv/a.git", "/srv/a.git"),
    ],
)
def test_no_credentials_are_kept(url: str, kept: str) -> None:
    assert bare_remote(url) == kept


def test_an_object_of_gigabytes_takes_no_more_memory_than_git_has(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit of some kilobytes can hold a file of zeros of any size, and git reads it whole for a patch."""
    size = 600 << 20
    packer = zlib.compressobj(1)
    hasher = hashlib.sha1(b"blob %d\0" % size)
    packed = [packer.compress(b"blob %d\0" % size)]
    for _ in range(size >> 20):
        hasher.update(bytes(1 << 20))
        packed.append(packer.compress(bytes(1 << 20)))
    name = hasher.hexdigest()
    path = repository / ".git" / "objects" / name[:2] / name[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join([*packed, packer.flush()]))
    git(repository, "update-index", "--add", "--cacheinfo", f"100644,{name},large")
    git(repository, "commit", "-qm", "large")
    (repository / "large").write_text("small")
    monkeypatch.setattr(git_module, "MEMORY", 256 << 20)
    with pytest.raises(UsageError, match="memory"):
        read(repository)
