"""What a job began with: its source, as the entry point copied it into the workspace.

The entry point reports the hash of each file and, once it is copied, its inode and times. No program can set
the time of the last change (ctime), so it shows that a file was written since, even with the same bytes.
A job that forges the report lies about its own run only.
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
        inode, ctime, mtime = facts.st_ino, facts.st_ctime_ns, facts.st_mtime_ns
        mode = stat.S_IMODE(facts.st_mode)
        return cls(inode=inode, ctime=ctime, mtime=mtime, mode=mode, size=facts.st_size)


class SourceFate(Enum):
    """What became of a path."""

    NEW = "new"  # it did not come with the source
    UNTOUCHED = "untouched"
    AGAIN = "again"  # written by the job, with the bytes that it had
    CHANGED = "changed"


class StartingSource(Value):
    hashes: Mapping[str, str] = {}  # path -> SHA-256 in hex, of the file's bytes or of the link's target
    stamps: Mapping[str, Stamp] = {}  # empty where the payload reports none

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
        if entry.facts is not None and entry.fd is None and entry.text is None:  # not read, for its name
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
