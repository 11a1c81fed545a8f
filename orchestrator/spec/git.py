"""Git, asked with its own program and with everything in a repository's power switched off.

A repository is data: its hooks, file monitors, external helpers and submodules are never run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.spec.tree import GitState, SourceFile

MAX_PATCH = 64 << 20  # bytes; a larger patch is not kept: the changed files are in the image anyway

_SAFE = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "core.pager=cat",
    "-c", "core.quotePath=false",
    "-c", "protocol.allow=never",
    "-c", "diff.external=",
    "-c", "status.showUntrackedFiles=all",
)  # fmt: skip


def find_repository(folder: Path) -> bool:
    """Whether a folder lies in a work tree or is a bare repository; no process is started to tell."""
    if any((above / ".git").exists() for above in (folder, *folder.parents)):
        return True
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def start(
    folder: Path, *words: str, index: str | None = None, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a git command in a folder; `finish` reads it."""
    if shutil.which("git") is None:
        raise UsageError(f"{folder} is in a git repository, and git is not installed", "install git")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C",
    }
    if index is not None:
        environ["GIT_INDEX_FILE"] = index
    return subprocess.Popen(
        ["git", *_SAFE, "-C", str(folder), *words],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
    )


def finish(process: subprocess.Popen[bytes], what: str) -> bytes:
    """A started command's output. UsageError with git's first words if it failed."""
    out, err = process.communicate()
    if process.returncode != 0:
        lines = err.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        hint = None
        if "dubious ownership" in lines[0]:
            hint = "the repository belongs to another user: git config --global --add safe.directory FOLDER"
        raise UsageError(f"git, {what}: {lines[0]}", hint)
    return out


def listed_files(folder: Path) -> list[str]:
    """Tracked files, and those neither tracked nor ignored, relative to `folder`, sorted."""
    out = finish(start(folder, "ls-files", "-z", "-co", "--exclude-standard", "--", "."), "listing files")
    return sorted({os.fsdecode(name) for name in out.split(b"\0") if name}, key=os.fsencode)


def read_state(folder: Path, commit: str | None = None) -> GitState | None:
    """Where the code in `folder` stands; None before the first commit.

    With `commit` the state is that commit's and clean by definition; without, it is HEAD's, and dirty if
    anything below `folder` differs from it. The commands run side by side: each costs 3 to 5 ms.
    """
    log = start(folder, "log", "-1", "--format=%H%n%an <%ae>%n%cI%n%s", commit or "HEAD", "--")
    remote = start(folder, "config", "--get", "remote.origin.url")
    status = None
    if commit is None:
        status = start(folder, "status", "--porcelain=v2", "-z", "--branch", "--", ".")
    url = remote.communicate()[0].decode("utf-8", "replace").strip()
    out, err = log.communicate()
    entries = finish(status, "asking for changes").split(b"\0") if status else []
    if log.returncode != 0:
        if commit is None and b"HEAD" in err:
            return None
        raise UsageError(f"git knows no commit {commit!r} in {folder}", "`git log` shows the commits")
    full, author, date, subject = (out.decode("utf-8", "replace").split("\n") + [""] * 4)[:4]
    heads = [
        entry[14:].decode("utf-8", "replace") for entry in entries if entry.startswith(b"# branch.head ")
    ]
    dirty = any(entry and not entry.startswith(b"# ") for entry in entries)
    patch = _patch(folder) if dirty else None
    return GitState(
        remote=_without_credentials(url) or None,
        commit=full,
        branch=heads[0] if heads and heads[0] != "(detached)" else None,
        author=author,
        committed_at=datetime.fromisoformat(date).astimezone(UTC),
        subject=subject,
        dirty=dirty,
        patch=patch,
        patch_digest=Digest.of(patch) if patch is not None else None,
    )


def _patch(folder: Path) -> bytes | None:
    """`git diff --binary HEAD` below a folder with untracked files in it; None if it is too long to keep.

    Untracked files are announced in a copy of the index, so the repository itself is not touched.
    """
    where = finish(start(folder, "rev-parse", "--git-path", "index"), "finding the index").decode().strip()
    with tempfile.TemporaryDirectory(prefix="reprise-") as temporary:
        index = Path(temporary) / "index"
        original = folder / where
        if original.exists():
            shutil.copyfile(original, index)
        finish(start(folder, "add", "-A", "-N", "--", ".", index=str(index)), "announcing new files")
        diff = start(
            folder, "diff", "--binary", "--no-ext-diff", "--no-textconv", "HEAD", "--", ".", index=str(index)
        )
        assert diff.stdout is not None and diff.stderr is not None  # noqa: S101  (Popen was given pipes)
        patch = diff.stdout.read(MAX_PATCH + 1)
        if len(patch) > MAX_PATCH:
            diff.kill()
            diff.communicate()
            return None
        finish(diff, "making a patch")
    return patch


def _without_credentials(url: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "", url)


def read_commit(folder: Path, commit: str) -> list[SourceFile]:
    """The files of a commit below `folder`, from git's objects: the working directory is not looked at."""
    out = finish(start(folder, "ls-tree", "-r", "-z", commit, "--", "."), f"reading commit {commit}")
    entries = [_tree_entry(line) for line in out.split(b"\0") if line]
    blobs = _blobs(folder, [identity for _, identity, _ in entries])
    files = []
    for (mode, _, path), data in zip(entries, blobs, strict=True):
        if data.startswith(b"version ") and b"git-lfs" in data[:60]:
            raise UsageError(
                f"{path} is a Git LFS pointer in commit {commit}, not a file",
                "give large files as `inputs`, or submit the folder with `git lfs pull` done",
            )
        files.append(
            SourceFile(path=path, data=data, executable=mode == b"100755", symlink=mode == b"120000")
        )
    return files


def _tree_entry(line: bytes) -> tuple[bytes, bytes, str]:
    head, _, name = line.partition(b"\t")
    mode, _, identity = head.split(b" ")
    path = os.fsdecode(name)
    if mode == b"160000":
        raise UsageError(
            f"{path!r} is a submodule; its files are not in this repository",
            "copy them in, or submit a folder with the submodule checked out",
        )
    return mode, identity, path


def _blobs(folder: Path, identities: list[bytes]) -> list[bytes]:
    """The contents of blobs, from one process. The ids come from a file: a pipe could fill on both sides."""
    with tempfile.TemporaryFile() as request:
        request.write(b"".join(identity + b"\n" for identity in identities))
        request.seek(0)
        out = finish(start(folder, "cat-file", "--batch", stdin=request.fileno()), "reading files")
    blobs = []
    offset = 0
    for _ in identities:
        line = out.index(b"\n", offset)
        size = int(out[offset:line].rsplit(b" ", 1)[1])
        blobs.append(out[line + 1 : line + 1 + size])
        offset = line + size + 2
    return blobs
