"""Git, asked with its own program and with everything in a repository's power switched off.

A repository is data, and so is its configuration: hooks, file monitors, filters, external diffs, signature
checkers, transports and submodules in it are never run. What the user's own configuration says is kept.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.spec.tree import GitState

MAX_PATCH = 64 << 20  # bytes; a larger patch is not kept: the changed files are in the image anyway

_SAFE = (
    "--literal-pathspecs",
    "--no-replace-objects",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "core.splitIndex=false",
    "-c", "core.quotePath=false",
    "-c", "diff.external=",
    "-c", "diff.orderFile=/dev/null",  # read by status, too, to its end: /dev/zero has none
)  # fmt: skip
_ENVIRON = {
    "GIT_ALLOW_PROTOCOL": "none",  # unlike protocol.allow, no setting of the repository comes before it
    "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
# Every choice that a configuration could make otherwise, so that `git apply` takes the patch anywhere.
_PATCH = (
    "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
    "--no-relative", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--inter-hunk-context=0",
    "--diff-algorithm=myers", "--submodule=short", "--ignore-submodules=dirty",
)  # fmt: skip
_FILTER = re.compile(r"filter\..*\.(clean|smudge|process|required)\Z", re.DOTALL)


@dataclass(frozen=True)
class Listing:
    """Paths below a folder, relative to it: tracked ones, and those neither tracked nor ignored."""

    tracked: frozenset[str]
    untracked: frozenset[str]
    unwatched: frozenset[str]  # tracked, but git was told not to look whether they changed


def find_repository(folder: Path) -> bool:
    """Whether a folder lies in a work tree or is a bare repository; no process is started to tell."""
    if any((above / ".git").exists() for above in (folder, *folder.parents)):
        return True
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


class Repository:
    """The repository that a folder lies in, with the settings that make asking it safe."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("git") is None:
            raise UsageError(f"{folder} is in a git repository, and git is not installed", "install git")
        self.folder = folder
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self._environ |= _ENVIRON
        self._switched_off: tuple[str, ...] = ()
        self.remote: str | None = None
        self._read_settings()

    def _read_settings(self) -> None:
        """The remote's address, and the filters that the repository itself brings: those are emptied."""
        process = self.start("config", "-z", "--show-scope", "--includes", "--list")
        fields = finish(process, f"reading the settings of {self.folder}").split(b"\0")
        for scope, setting in zip(fields[::2], fields[1::2], strict=False):
            name, _, value = os.fsdecode(setting).partition("\n")
            if name == "remote.origin.url":
                self.remote = without_credentials(value.encode("utf-8", "replace").decode()) or None
            elif scope in (b"local", b"worktree") and _FILTER.match(name):
                if "=" in name or "\n" in name:  # `-c` cannot say such a name
                    raise UsageError(f"{self.folder} has a filter with a hostile name: {name!r}")
                driver = name.rpartition(".")[0]
                for key in ("clean", "smudge", "process"):
                    self._switched_off += ("-c", f"{driver}.{key}=")
                self._switched_off += ("-c", f"{driver}.required=false")

    def start(
        self, *words: str, index: Path | None = None, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start a git command in the folder; `finish` reads it."""
        environ = self._environ | ({"GIT_INDEX_FILE": str(index)} if index is not None else {})
        return subprocess.Popen(
            ["git", *_SAFE, *self._switched_off, "-C", str(self.folder), *words],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
        )

    def ask(self, what: str, *words: str, index: Path | None = None, given: bytes = b"") -> bytes:
        """A command's output. What it is given comes from a file: a pipe could fill on both sides."""
        with tempfile.TemporaryFile() as request:
            request.write(given)
            request.seek(0)
            return finish(self.start(*words, index=index, stdin=request.fileno()), what)

    def listing(self) -> Listing:
        out = self.ask("listing files", "ls-files", "-z", "-v", "-co", "--exclude-standard", "--", ".")
        entries = [(entry[:1], os.fsdecode(entry[2:])) for entry in out.split(b"\0") if entry]
        return Listing(
            tracked=frozenset(name for tag, name in entries if tag != b"?"),
            untracked=frozenset(name for tag, name in entries if tag == b"?"),
            unwatched=frozenset(name for tag, name in entries if tag.islower() or tag == b"S"),
        )

    def commit_of(self, text: str) -> str:
        """The full id of a commit that the user names. UsageError if there is none."""
        process = self.start("rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")
        out, err = process.communicate()
        if process.returncode != 0:
            if b"fatal: " in err and b"single revision" not in err:
                raise _failure(err, f"looking for commit {text!r}")
            raise UsageError(f"git knows no commit {text!r} in {self.folder}", "`git log` shows the commits")
        return out.decode().strip()

    def state_of_commit(self, commit: str) -> GitState:
        """A commit's facts by its full id; clean by definition."""
        words = ("--no-show-signature", "--no-patch", "--no-color", "--encoding=UTF-8")
        out = self.ask(
            f"reading commit {commit}", "log", "-1", *words, "--format=%H%n%an <%ae>%n%ct%n%s", commit, "--"
        )
        full, author, seconds, subject = (out.decode("utf-8", "replace").split("\n") + [""] * 4)[:4]
        return GitState(
            remote=self.remote,
            commit=full,
            author=author,
            committed_at=_moment(seconds),
            subject=subject,
        )

    def state(self, listing: Listing, is_source: Callable[[str], bool]) -> GitState | None:
        """Where the files of a folder stand against HEAD; None before the first commit.

        Dirty is what differs below the folder: tracked files, and untracked ones that are source.
        """
        out = self.ask(
            "asking for changes",
            "status", "--porcelain=v2", "-z", "--branch", "--untracked-files=no", "--no-renames",
            "--ignore-submodules=dirty", "--", ".",
        )  # fmt: skip
        entries = [entry for entry in out.split(b"\0") if entry]
        heads = dict(entry[2:].split(b" ", 1) for entry in entries if entry.startswith(b"# branch."))
        commit = heads.get(b"branch.oid", b"(initial)").decode()
        if commit == "(initial)":
            return None
        clean = self.state_of_commit(commit)
        branch = heads.get(b"branch.head", b"(detached)").decode("utf-8", "replace")
        clean = clean.model_copy(update={"branch": None if branch == "(detached)" else branch})
        untracked = sorted(name for name in listing.untracked if is_source(name) and name[-1] != "/")
        changed = any(not entry.startswith(b"# ") for entry in entries)
        if not (changed or untracked or listing.unwatched):
            return clean
        patch = self._patch(commit, untracked, sorted(listing.unwatched))
        dirty = changed or bool(untracked) or patch != b""
        if not dirty:
            return clean
        digest = Digest.of(patch) if patch is not None else None
        return clean.model_copy(update={"dirty": True, "patch": patch, "patch_digest": digest})

    def _patch(self, commit: str, untracked: Sequence[str], unwatched: Sequence[str]) -> bytes | None:
        """What turns the commit into the folder, untracked files included; None if too long to keep.

        Untracked files are announced in a copy of the index, under an id that no bytes have, so the
        repository itself is not written to, not even its objects.
        """
        where = os.fsdecode(self.ask("finding the index", "rev-parse", "--git-path", "index"))
        top = os.fsdecode(self.ask("finding the folder", "rev-parse", "--show-prefix")).removesuffix("\n")
        with tempfile.TemporaryDirectory(prefix="reprise-") as temporary:
            index = Path(temporary) / "index"
            original = self.folder / where.removesuffix("\n")
            if original.exists():
                shutil.copyfile(original, index)
            nobody = "1" * len(commit)
            entries = [f"100644 {nobody}\t{top}{name}" for name in untracked]
            self._change_index(index, "--index-info", entries)
            for flag in ("--no-assume-unchanged", "--no-skip-worktree") if unwatched else ():
                self._change_index(index, flag, unwatched)
            return self._diff(index, commit)

    def _change_index(self, index: Path, how: str, entries: Sequence[str]) -> None:
        if not entries:
            return
        words = ["--index-info"] if how == "--index-info" else [how, "--stdin"]
        given = b"".join(os.fsencode(entry) + b"\0" for entry in entries)
        self.ask("announcing files", "update-index", "-z", *words, index=index, given=given)

    def _diff(self, index: Path, commit: str) -> bytes | None:
        # What git says beside the patch goes to a file: nobody reads a pipe meanwhile.
        diff = self.start("diff", *_PATCH, commit, "--", ".", index=index)
        assert diff.stdout is not None  # noqa: S101  (Popen was given a pipe)
        patch = diff.stdout.read(MAX_PATCH + 1)
        if len(patch) > MAX_PATCH:
            diff.kill()
            diff.communicate()
            return None
        finish(diff, "making a patch")
        return patch


def finish(process: subprocess.Popen[bytes], what: str) -> bytes:
    """A started command's output. UsageError with git's first words if it failed."""
    out, err = process.communicate()
    if process.returncode != 0:
        raise _failure(err, what)
    return out


def _failure(err: bytes, what: str) -> UsageError:
    lines = err.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
    hint = None
    if "dubious ownership" in lines[0]:
        hint = "the repository belongs to another user: git config --global --add safe.directory FOLDER"
    elif "must be run in a work tree" in lines[0]:
        hint = "a bare repository has no files of its own: name a commit in source"
    elif "not a git repository" in lines[0]:
        hint = "there is a .git in or above the folder that is no repository: remove it"
    return UsageError(f"git, {what}: {lines[0]}", hint)


def without_credentials(url: str) -> str:
    """An address without user, password and query, where tokens are put."""
    return re.sub(r"(?<=://)[^/]*@", "", url.strip()).partition("?")[0]


def _moment(seconds: str) -> datetime | None:
    """A commit's time; None for one that no calendar has: anybody can write any number there."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None
