"""Reads the files of a git commit from git's objects, never from the working directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.errors import UsageError
from orchestrator.spec.source.git import Repository
from orchestrator.spec.source.gitignore import MAX_FILE


@dataclass(frozen=True)
class TreeEntry:
    path: str
    mode: bytes
    object_id: bytes  # hex
    size: int  # bytes; 0 for a submodule and where the object is missing


def list_commit(repository: Repository, commit: str) -> list[TreeEntry]:
    """All entries of a commit below the repository's folder; names are relative to it."""
    out = repository.ask(f"reading commit {commit}", "ls-tree", "-r", "-l", "-z", commit, "--", ".")
    return [_entry(line) for line in out.split(b"\0") if line]


def _entry(line: bytes) -> TreeEntry:
    head, _, name = line.partition(b"\t")
    mode, _, object_id, size = head.split()
    # The size is `-` for a submodule and BAD for a missing object, which is reported when it is read.
    return TreeEntry(os.fsdecode(name), mode, object_id, int(size) if size.isdigit() else 0)


def blob_at(repository: Repository, entry: TreeEntry) -> bytes:
    """The content of a small file. UsageError for a large one."""
    if entry.size > MAX_FILE:
        raise UsageError(f"{entry.path} is larger than {MAX_FILE >> 20} MiB")
    return read_blobs(repository, [entry])[0]


def read_blobs(repository: Repository, entries: Sequence[TreeEntry]) -> list[bytes]:
    """The contents of blobs, from one git process. The caller has checked their sizes."""
    given = b"".join(entry.object_id + b"\n" for entry in entries)
    most = sum(entry.size + 1000 for entry in entries)
    out = repository.start("cat-file", "--batch", given=given).finish("reading files", most)
    blobs = []
    offset = 0
    for entry in entries:
        line = out.index(b"\n", offset)
        size = out[offset:line].rsplit(b" ", 1)[1]
        if not size.isdigit():
            raise UsageError(
                f"git has no content for {entry.path}: {entry.object_id.decode()} {size.decode()}",
                "the clone is partial or damaged: `git fsck` says more",
            )
        blobs.append(out[line + 1 : line + 1 + int(size)])
        offset = line + int(size) + 2
    return blobs
