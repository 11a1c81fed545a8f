"""Reads a file that a job is writing, line by line as it grows, without believing anything about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from orchestrator.run.collect.job_files import reason
from orchestrator.run.collect.walk_tree import open_job_file

PIECE = 4 << 20  # bytes that are read at a time
AT_ONCE = 64 << 20  # bytes that one look reads at most; the next look goes on


class GrowingFile:
    """One file below a folder that a job can write to. No link is followed; a FIFO does not hold us.

    The file that was found first is the one that is read, whatever is put in its place. `problem` says why
    nothing more is read: it is no plain file, became shorter, or has more than `most` bytes, or a line of
    more than `longest`.
    """

    def __init__(self, folder: Path, name: str, most: int, longest: int) -> None:
        self.name = name
        self.problem = ""
        self._folder, self._most, self._longest = folder, most, longest
        self._fd = -1
        self._at = 0  # bytes read
        self._rest = b""  # of a line that is not whole yet

    def more(self) -> list[bytes]:
        """The whole lines that came since the last call, each with its line feed. Never raises."""
        if self.problem:
            return []
        try:
            if self._fd < 0:
                self._fd, _ = open_job_file(self._folder, self.name, self._most)
            return self._read()
        except FileNotFoundError:
            return []
        except (OSError, ValueError, MemoryError) as error:
            self.problem = reason(error)
            return []

    def _read(self) -> list[bytes]:
        size = os.fstat(self._fd).st_size
        if size < self._at or size > self._most:
            raise ValueError(
                "it became shorter" if size < self._at else f"it has more than {self._most} bytes"
            )
        found: list[bytes] = []
        end = self._at + AT_ONCE
        while self._at < end and (data := os.pread(self._fd, PIECE, self._at)):
            self._at += len(data)
            whole, feed, rest = data.rpartition(b"\n")
            if feed:
                found += [line + b"\n" for line in (self._rest + whole).split(b"\n")]
                self._rest = rest
            else:
                self._rest += data
            if len(self._rest) > self._longest or len(max(found, key=len, default=b"")) > self._longest + 1:
                raise ValueError(f"it has a line of more than {self._longest} bytes")
        return found

    def again(self) -> BinaryIO:
        """The same file from its beginning, for a caller who closes it."""
        stream = os.fdopen(os.dup(self._fd), "rb")
        stream.seek(0)
        return stream

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.problem = self.problem or "it was closed"
