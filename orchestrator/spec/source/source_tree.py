"""SourceTree: the code of a job as plain values, from a folder or from git."""

from __future__ import annotations

from datetime import datetime

from orchestrator.digest import Digest
from orchestrator.value import Value


class SourceFile(Value):
    """One file or symlink. `path` is relative, with `/`, already checked and normalised."""

    path: str
    data: bytes  # the content; for a symlink, its target
    executable: bool = False
    symlink: bool = False


class GitState(Value):
    """The state of the code in git; kept in the record, never in the image."""

    remote: str | None = None  # with credentials removed
    commit: str
    branch: str | None = None
    author: str | None = None
    committed_at: datetime | None = None
    subject: str = ""
    dirty: bool = False
    patch: bytes | None = None  # `git diff --binary HEAD` plus untracked files, when dirty
    patch_digest: Digest | None = None
    submodules: dict[str, str] = {}  # path below the source -> commit that is checked out


class SourceTree(Value):
    """Files sorted by the UTF-8 bytes of their paths, and the git state if they are in a repository."""

    files: tuple[SourceFile, ...]
    git: GitState | None = None
    notes: tuple[str, ...] = ()  # for the person who submits, and for the record
