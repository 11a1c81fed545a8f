"""Runs git without letting a repository decide anything.

A repository is data, and so is its configuration: its hooks, file monitors, filters, external diffs,
signature checkers, transports and submodules are never run (`git_folder.py`). The user's own configuration
is kept. Every command has a deadline, and a limit on the output that is read.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Self

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.redaction import bare_remote
from orchestrator.scratch import scratch_folder
from orchestrator.spec.plain_file import read_plain
from orchestrator.spec.source import git_folder
from orchestrator.spec.source.git_folder import GitFolder
from orchestrator.spec.source.git_listing import SUBMODULE, Listing, read_listing
from orchestrator.spec.source.source_tree import GitState

DEADLINE = 300.0  # seconds of one git command; 100,000 files on a cold network disk take some 100
MEMORY = 8 << 30  # bytes of one git command, packs that it maps not counted
MAX_OUTPUT = 64 << 20  # bytes of a listing: 100,000 files with names of 600
MAX_SETTINGS = 1 << 20  # bytes of a repository's configuration
MAX_PATCH = 64 << 20  # bytes; a larger patch is not kept: the changed files are in the image anyway

_SAFE = (
    "--literal-pathspecs",
    "--no-replace-objects",
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.splitIndex=false",
    "-c", "core.quotePath=false",
    "-c", "diff.external=",
    "-c", "diff.orderFile=/dev/null",
)  # fmt: skip
_PASSED = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME")
_ENVIRON = {
    "GIT_ALLOW_PROTOCOL": "none",  # unlike protocol.allow, it overrides every setting of the repository
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
# Fixes all that a configuration could change, so that `git apply` takes the patch anywhere.
_PATCH = (
    "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
    "--no-relative", "--unified=3", "--inter-hunk-context=0",
    "--diff-algorithm=myers", "--submodule=short", "--ignore-submodules=all",
)  # fmt: skip


class Repository:
    """A repository and a folder in it, as git may read them safely; close it after use.

    `prefix` is put before the names in its patches: the path of a submodule in the source.
    """

    def __init__(self, folder: Path, there: GitFolder | None = None, prefix: str = "") -> None:
        found = there or git_folder.find_repository(folder)
        if found is None:
            raise UsageError(f"{folder} is not in a git repository")
        if shutil.which("git") is None:
            raise UsageError(f"{folder} is in a git repository, and git is not installed", "install git")
        git_folder.refuse_special_files(found, folder)
        self.folder, self.there, self.prefix = folder, found, prefix
        self.remote: str | None = None
        self._held = ExitStack()
        self._stand_in = stand_in = self._held.enter_context(scratch_folder("reprise-git-"))
        self._environ = {name: os.environ[name] for name in _PASSED if name in os.environ} | _ENVIRON
        self._environ |= {"GIT_DIR": str(stand_in), "GIT_OBJECT_DIRECTORY": str(found.common / "objects")}
        if found.top is not None:
            self._environ |= {"GIT_WORK_TREE": str(found.top), "GIT_INDEX_FILE": str(found.own / "index")}
        try:
            git_folder.copy(found, stand_in)
            settings = self._read_settings(found.common / "config")
            settings |= self._read_settings(found.own / "config.worktree")
            git_folder.write_settings(found, stand_in, settings)
        except BaseException:
            self.close()
            raise
        url = settings.get("remote.origin.url", "")
        self.remote = bare_remote(url.encode("utf-8", "replace").decode()) or None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):  # else it goes with the next one's
            self._held.close()

    def _read_settings(self, path: Path) -> dict[str, str]:
        """The settings of a file, but not of files that it includes; section and key in lower case."""
        if not path.exists():
            return {}
        return self._parsed(f"reading {path}", read_plain(path.resolve(), MAX_SETTINGS))

    def _parsed(self, what: str, data: bytes) -> dict[str, str]:
        words = ("config", "--file", "-", "--no-includes", "-z", "--list")
        out = self.ask(what, *words, given=data)
        pairs = (os.fsdecode(setting).partition("\n") for setting in out.split(b"\0") if setting)
        return {name: value for name, _, value in pairs}

    def start(self, *words: str, index: Path | None = None, given: bytes = b"") -> GitCommand:
        """Start a git command in the folder; `GitCommand.finish` reads its output.

        Its input and its error output are files: with pipes on both sides, both could fill and wait.
        """
        environ = self._environ | ({"GIT_INDEX_FILE": str(index)} if index is not None else {})
        errors = tempfile.TemporaryFile()  # noqa: SIM115  (GitCommand closes it)
        with tempfile.TemporaryFile() as request:
            request.write(given)
            request.seek(0)
            process = subprocess.Popen(
                ["git", *_SAFE, "-C", str(self.folder), *words],
                stdin=request,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environ,
                start_new_session=True,
            )
        with contextlib.suppress(ProcessLookupError):  # it is done already
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (MEMORY, MEMORY))
        return GitCommand(process, errors)

    def ask(self, what: str, *words: str, index: Path | None = None, given: bytes = b"") -> bytes:
        """A command's output. UsageError where it fails."""
        return self.start(*words, index=index, given=given).finish(what)

    def listing(self) -> Listing:
        out = self.ask("listing files", "ls-files", "-z", "-v", "-s", "-co", "--exclude-standard", "--", ".")
        command = self.start("config", "--type=bool", "--get-regexp", r"^core\.(filemode|symlinks)$")
        lines = command.read("reading its settings", MAX_SETTINGS).split(b"\n")
        said = dict(line.split(b" ", 1) for line in lines if b" " in line)
        links, bits = (said.get(key) != b"false" for key in (b"core.symlinks", b"core.filemode"))
        return read_listing(out, links=links, bits=bits)

    def commit_of(self, text: str) -> str:
        """The full id of a commit that the user names. UsageError: git does not find it."""
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")
        command = self.start(*words)
        out = command.read(f"looking for commit {text!r}")
        if command.code != 0:
            if b"fatal: " in command.stderr and b"single revision" not in command.stderr:
                raise _failure(command.stderr, f"looking for commit {text!r}")
            raise UsageError(f"git knows no commit {text!r} in {self.folder}", "`git log` shows the commits")
        return out.decode().strip()

    def submodule_at(self, commit: str, path: str) -> str | None:
        """The commit of the submodule at a path below the folder, as `commit` has it; None without one."""
        out = self.ask(f"reading commit {commit}", "ls-tree", "-z", commit, "--", path)
        head = out.partition(b"\t")[0].split()
        return head[2].decode() if head[:1] == [SUBMODULE] else None

    def submodule_name(self, commit: str, path: str) -> str:
        """The name of the submodule that `commit` has at a path below the folder; `modules/` uses it, too."""
        command = self.start("cat-file", "blob", f"{commit}:.gitmodules")
        data = command.read("reading .gitmodules", MAX_SETTINGS)
        found = self._parsed("reading .gitmodules", data) if command.code == 0 else {}
        for key, value in found.items():
            name = key.removeprefix("submodule.").removesuffix(".path")
            if key == f"submodule.{name}.path" and value == f"{self._top}{path}":
                path = name
        if not {"..", ".", ""}.isdisjoint(path.split("/")):
            raise UsageError(f"a submodule's name leads elsewhere: {path!r}", "the repository is hostile")
        return path

    def state_of_commit(self, commit: str) -> GitState:
        """The facts of a commit, by its full id. It is clean by definition."""
        out = self.ask(f"reading commit {commit}", "cat-file", "commit", commit)
        head, _, message = out.partition(b"\n\n")
        facts = dict(line.partition(b" ")[::2] for line in reversed(head.split(b"\n")))
        decode = _decoder(facts.get(b"encoding", b"UTF-8"))
        author = re.match(r"(.*<[^>]*>)", decode(facts.get(b"author", b"")))
        committed = re.search(rb"> (-?[0-9]+) [+-][0-9]+\Z", facts.get(b"committer", b""))
        subject = decode(message).strip("\n").partition("\n\n")[0]
        return GitState(
            remote=self.remote,
            commit=commit,
            author=author[1] if author is not None else None,
            committed_at=_moment(committed[1].decode()) if committed is not None else None,
            subject=" ".join(subject.splitlines()).strip(),
        )

    def state(self, listing: Listing, is_source: Callable[[str], bool]) -> GitState | None:
        """How the files of a folder differ from HEAD; None before the first commit.

        Dirty is what differs below the folder: tracked files, and untracked ones that are source.
        """
        index = self._own_index(listing, is_source)
        out = self.ask(
            "asking for changes",
            "status", "--porcelain=v2", "-z", "--branch", "--untracked-files=no", "--no-renames",
            "--ignore-submodules=all", "--", ".", index=index,
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
        unwatched = sorted(name for name in listing.unwatched if not is_source(name))
        if not (changed or untracked or unwatched):
            return clean
        patch = self._patch(index, commit, untracked, unwatched)
        if not (changed or untracked) and patch == b"":
            return clean
        digest = Digest.of(patch) if patch is not None else None
        return clean.model_copy(update={"dirty": True, "patch": patch, "patch_digest": digest})

    def _own_index(self, listing: Listing, is_source: Callable[[str], bool]) -> Path:
        """A copy of the index, without the sizes and times of the source's files.

        git does not read a file whose size and times are those in the index: it takes it for unchanged. So
        whoever wrote an index, or set core.trustCtime, could pass other files off as those of a commit.
        """
        index, original = self._stand_in / "index", self.there.own / "index"
        if original.exists():
            # The copy keeps its time: git compares the bytes of files that changed in the same tick.
            shutil.copy2(original, index)
        known = [f"{head}\t{self._top}{name}" for name, head in listing.entries.items() if is_source(name)]
        self._change_index(index, known, "--index-info")
        return index

    @cached_property
    def _top(self) -> str:
        """The folder as seen from the top of the work tree, with `/` at its end."""
        above = os.path.relpath(self.folder.resolve(), self.there.top or self.folder.resolve())
        return "" if above == "." else f"{above}/"

    def _patch(self, index: Path, commit: str, untracked: Sequence[str], more: Sequence[str]) -> bytes | None:
        """The patch from the commit to the folder, with untracked files; None if it is too long to keep.

        Untracked files are added to a copy of the index, under an id that no content has. So nothing is
        written to the repository, not even an object. `more` are files that git was told not to look at.
        """
        unused_id = "1" * len(commit)
        entries = [f"100644 {unused_id}\t{self._top}{name}" for name in untracked]
        self._change_index(index, entries, "--index-info")
        for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
            self._change_index(index, more, flag, "--stdin")
        return self._diff(index, commit)

    def _change_index(self, index: Path, entries: Sequence[str], *words: str) -> None:
        if not entries:
            return
        given = b"".join(os.fsencode(entry) + b"\0" for entry in entries)
        self.ask("announcing files", "update-index", "-z", *words, index=index, given=given)

    def _diff(self, index: Path, commit: str) -> bytes | None:
        prefixes = (f"--src-prefix=a/{self.prefix}", f"--dst-prefix=b/{self.prefix}")
        command = self.start("diff", *_PATCH, *prefixes, commit, "--", ".", index=index)
        try:
            return command.finish("making a patch", MAX_PATCH)
        except TooMuchOutputError:
            return None


class TooMuchOutputError(UsageError):
    """A command's output is longer than its limit."""


class GitCommand:
    """A running git command."""

    def __init__(self, process: subprocess.Popen[bytes], errors: BinaryIO) -> None:
        self._process, self._errors = process, errors
        self.code: int | None = None
        self.stderr = b""  # its first 64 KiB

    def read(self, what: str, limit: int | None = None) -> bytes:
        """All output, for any exit code. UsageError: more than `limit` bytes, or no end within DEADLINE."""
        most = MAX_OUTPUT if limit is None else limit
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._end()

        timer = threading.Timer(DEADLINE, stop)
        timer.start()
        try:
            with self._process as process, self._errors as errors:
                assert process.stdout is not None  # noqa: S101  (Popen was given a pipe)
                out = process.stdout.read(most + 1)
                if len(out) > most:
                    self._end()
                self.code = process.wait()
                errors.seek(0)
                self.stderr = errors.read(65536)
        except BaseException:
            self._end()
            raise
        finally:
            timer.cancel()
        if late.is_set():
            raise UsageError(
                f"git, {what}: no answer in {DEADLINE:.0f} s",
                "something in the repository or its file system makes git wait: `git status` there shows it",
            )
        if len(out) > most:
            raise TooMuchOutputError(
                f"git, {what}: more than {most:,} bytes", "the repository is hostile, or very large"
            )
        return out

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # also the user's filters that it started

    def finish(self, what: str, limit: int | None = None) -> bytes:
        """The output. UsageError with the first line of the error output if the command failed."""
        out = self.read(what, limit)
        if self.code != 0:
            raise _failure(self.stderr, what)
        return out


def _decoder(encoding: bytes) -> Callable[[bytes], str]:
    """Decodes a commit's text: by the encoding that it names, or as UTF-8 where Python does not know it."""
    try:
        name = codecs.lookup(encoding.decode("ascii")).name
        b"".decode(name)
    except (LookupError, ValueError):
        name = "utf-8"
    return lambda data: data.decode(name, "replace")


def _failure(err: bytes, what: str) -> UsageError:
    lines = err.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
    hint = None
    if "must be run in a work tree" in lines[0]:
        hint = "a bare repository has no files of its own: name a commit in source"
    return UsageError(f"git, {what}: {lines[0]}", hint)


def _moment(seconds: str) -> datetime | None:
    """A commit's time; None for a number outside the calendar: a commit may hold any number."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None
