"""What a container wrote, on the box that runs it: one writer, and readers that each go at their own pace.

The spool is files of SEGMENT bytes. Each is named by the bytes written before it, so a reader knows how much
it missed where files between the first and the last ones are gone. A file holds frames of `stream, length,
bytes`, so whoever takes over knows how much of each stream is here. A frame that was cut off is left out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

SEGMENT = 8 << 20  # bytes of output in one file
LATEST = 6  # files that stay beside the first: a reader may be 40 MiB behind
TAIL = 4096  # bytes of a stream by which its end is found again
HEAD = 64  # bytes of a stream by which its beginning is known
OURS = 0  # the stream of what we say ourselves in a log; a container's are 1 and 2
DONE = "whole"  # an empty file: everything is here
LOST = "lost"  # an empty file: an unknown number of bytes is missing

_HEADER = struct.Struct(">BL")
_NAME = re.compile(r"([0-9]{20})-([0-9]{20})-([0-9]{20})\Z")


class Segment(NamedTuple):
    """A file of the spool, by the bytes before it: in all, of standard output, of standard error."""

    start: int
    out: int
    err: int

    @property
    def name(self) -> str:
        return f"{self.start:020}-{self.out:020}-{self.err:020}"


def segments(folder: Path) -> list[Segment]:
    """Oldest first."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    found = (_NAME.match(name) for name in names)
    return sorted(Segment(*map(int, match.groups())) for match in found if match is not None)


def is_done(folder: Path) -> bool:
    return (folder / DONE).exists()


def is_lost(folder: Path) -> bool:
    return (folder / LOST).exists()


def frames(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The whole frames of an open file from its position, which ends behind the last of them."""
    while True:
        place = stream.tell()
        header = stream.read(_HEADER.size)
        if len(header) == _HEADER.size:
            which, length = _HEADER.unpack(header)
            data = stream.read(length)
            if len(data) == length:
                yield which, data
                continue
        stream.seek(place)
        return


class LogSpool:
    """The writer. Only the process that holds the run's lock has one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.counts = [0, 0, 0]  # bytes of each stream
        self.heads = [b"", b"", b""]
        self.tails = [b"", b"", b""]
        self._segments = segments(folder)
        for number, segment in enumerate(self._segments):
            if number == len(self._segments) - 1:
                self.counts = [segment.start - segment.out - segment.err, segment.out, segment.err]
            with (folder / segment.name).open("rb") as stream:
                for which, data in frames(stream):
                    self._count(which % 3, data)
                end = stream.tell()
        if self._segments:
            self._file = (folder / self._segments[-1].name).open("r+b", buffering=0)
            self._file.truncate(end)
            self._file.seek(end)
        else:
            self._open()

    @property
    def size(self) -> int:
        return sum(self.counts)

    def add(self, which: int, data: bytes) -> None:
        if self.size - self._segments[-1].start >= SEGMENT:
            self._open()
        rest = memoryview(_HEADER.pack(which, len(data)) + data)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        self._count(which, data)

    def lose(self, why: str) -> None:
        """Say in the log itself that an unknown amount is missing here."""
        (self.folder / LOST).touch()
        self.add(OURS, f"\n[reprise: {why}]\n".encode())

    def close(self, *, done: bool) -> None:
        self._file.close()
        if done:
            (self.folder / DONE).touch()

    def _open(self) -> None:
        segment = Segment(self.size, self.counts[1], self.counts[2])
        if self._segments:
            self._file.close()
        self._file = (self.folder / segment.name).open("xb", buffering=0)
        self._segments.append(segment)
        while len(self._segments) > LATEST + 1:
            (self.folder / self._segments.pop(1).name).unlink(missing_ok=True)

    def _count(self, which: int, data: bytes) -> None:
        self.counts[which] += len(data)
        self.heads[which] = (self.heads[which] + data[:HEAD])[:HEAD]
        self.tails[which] = (self.tails[which] + data)[-TAIL:] if len(data) < TAIL else data[-TAIL:]


class SpoolReader:
    """A place in a spool that may be written to meanwhile."""

    def __init__(self, folder: Path, start: int = 0) -> None:
        self._folder = folder
        self.place = start  # bytes before the next that is read
        self._segment: Segment | None = None
        self._file: BinaryIO | None = None
        self._at = 0  # bytes before the next frame in the open file

    def more(self) -> Iterator[tuple[int, bytes]]:
        """What is new: pairs of (number of bytes missed before it, bytes)."""
        while self._file is not None or self._next():
            assert self._file is not None and self._segment is not None  # noqa: S101  (_next opened it)
            later = any(segment > self._segment for segment in segments(self._folder))
            for _, data in frames(self._file):
                begin, self._at = self._at, self._at + len(data)
                if self._at > self.place:
                    missed = max(0, begin - self.place)
                    fresh = data[max(0, self.place - begin) :]
                    self.place = self._at
                    yield missed, fresh
            if not later:
                return
            self._file.close()
            self._file = None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self) -> bool:
        """Open the file that holds `place`, or the next; never the one that was read last."""
        found = segments(self._folder)
        before = [segment for segment in found if segment.start <= self.place]
        after = [segment for segment in found if segment.start > self.place]
        for segment in (*before[-1:], *after[:1]):
            if segment == self._segment:
                continue
            try:
                self._file = (self._folder / segment.name).open("rb")
            except FileNotFoundError:  # it was removed meanwhile, as one of the middle files
                continue
            self._segment, self._at = segment, segment.start
            return True
        return False
