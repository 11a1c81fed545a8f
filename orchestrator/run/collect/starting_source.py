"""What a job began with: its source, as the entry point copied it into the workspace.

The entry point reports of each file the hash and, when the copy was done, inode and times. The time of the
last change (ctime) cannot be set by a program, so a file that was written since shows it, with the same
bytes, too. Who forges the report says something of its own run only.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from orchestrator.digest import Digest, chunks_of
from orchestrator.run.collect.walk_tree import FoundEntry, open_job_file
from orchestrator.value import Value

MAX_SIZE = 1 << 30  # bytes of a source, and so of one of its files
WORKSPACE_STAMP = "."  # the stamp of the workspace itself, by which inodes of container and host are compared


class Stamp(Value):
    inode: int
    ctime: int  # nanoseconds
    mtime: int  # nanoseconds
    mode: int  # permission bits
    size: int  # bytes

    @classmethod
    def of(cls, facts: os.stat_result) -> Stamp:
        mode = stat.S_IMODE(facts.st_mode)
        return cls(
            inode=facts.st_ino,
            ctime=facts.st_ctime_ns,
            mtime=facts.st_mtime_ns,
            mode=mode,
            size=facts.st_size,
        )


class SourceFate(Enum):
    """What became of a path."""

    NEW = "new"  # it did not come with the source
    UNTOUCHED = "untouched"
    AGAIN = "again"  # written by the job, with the bytes that it had
    CHANGED = "changed"


class StartingSource(Value):
    hashes: Mapping[str, str] = {}  # path -> SHA-256 in hex, of a link its text's
    stamps: Mapping[str, Stamp] = {}  # empty: of a payload that reports none

    def comparable(self, workspace: Path) -> bool:
        """Whether inodes are the same here as in the container. Through a virtual machine they differ."""
        stamp = self.stamps.get(WORKSPACE_STAMP)
        return stamp is not None and stamp.inode == workspace.stat().st_ino

    def fate(self, entry: FoundEntry, comparable: bool) -> SourceFate:
        """`comparable`: what `comparable()` gave. Without stamps, a file with the same bytes is untouched."""
        before = self.hashes.get(entry.raw)
        if before is None:
            return SourceFate.NEW
        stamp = self.stamps.get(entry.raw)
        if entry.facts is not None and entry.fd is None and entry.text is None:  # its name forbids to read it
            same = comparable and stamp is not None and not _written(stamp, entry.facts)
            return SourceFate.UNTOUCHED if same else SourceFate.CHANGED
        # Sizes first: a sparse file claims what would take years to hash.
        if entry.fd is not None and entry.size != (stamp.size if stamp else min(entry.size, MAX_SIZE)):
            return SourceFate.CHANGED
        if entry.sha256() != before:
            return SourceFate.CHANGED
        if not comparable or stamp is None or entry.facts is None or not _written(stamp, entry.facts):
            return SourceFate.UNTOUCHED
        return SourceFate.AGAIN

    def brought(self, workspace: Path, path: str) -> int:
        """How many bytes at a file's beginning came with the source: all where the job never wrote the file,
        else those before what it appended. Raises as `open_job_file`.
        """
        before = self.hashes.get(path)
        if before is None:
            return 0
        fd, size = open_job_file(workspace, path, sys.maxsize)
        entry = FoundEntry(path, os.fstat(fd), fd=fd)
        try:
            if self.fate(entry, self.comparable(workspace)) is SourceFate.UNTOUCHED:
                return size
            stamp = self.stamps.get(path)
            if stamp is None or not 0 < stamp.size < size:
                return 0
            with os.fdopen(fd, "rb", closefd=False) as stream:
                head = Digest.of_chunks(chunks_of(stream, stamp.size))
            return stamp.size if head.hex == before else 0
        finally:
            entry.close()


def _written(stamp: Stamp, facts: os.stat_result) -> bool:
    """Whether bytes were written, as far as the stamps show.

    A new mode or a new hard link changes the ctime, too, and writes nothing: mode and link count show it.
    A file that was only touched looks like a written one and counts as written.
    """
    now = Stamp.of(facts)
    if now.inode != stamp.inode or now.mtime != stamp.mtime:
        return True
    return now.ctime != stamp.ctime and now.mode == stamp.mode and facts.st_nlink == 1


NOTHING = StartingSource()
