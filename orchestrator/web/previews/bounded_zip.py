"""A zip from a stranger: its list of members and some of their bytes, read up to bounds, unpacked nowhere."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from orchestrator.web.previews.pickle_reading import UnreadFileError

LONGEST_READ = 2 << 20  # bytes at once: the list of members takes some 80 bytes for each tensor
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MALFORMED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, ValueError, OverflowError),
    *(NotImplementedError, RuntimeError, EOFError),
)


class BoundedZip:
    """`members` as the zip lists them; a name may be there twice."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.members = archive.infolist()
        self._archive = archive
        self._size = size

    def size_of(self, member: zipfile.ZipInfo) -> int:
        """Bytes, as the zip lists them; for a member that is not packed at most the whole zip's."""
        stored = member.compress_type == zipfile.ZIP_STORED
        return min(member.file_size, self._size) if stored else member.file_size

    def head(self, member: zipfile.ZipInfo, most: int) -> bytes:
        """A member's first bytes, at most so many, however many it says that it has. UnreadFileError."""
        if member.compress_type not in _METHODS:
            raise UnreadFileError("a part of it is packed in a way that is not read")
        found = bytearray()
        with _told(), self._archive.open(member) as stream:
            while len(found) < most and (part := stream.read(min(most - len(found), LONGEST_READ))):
                found += part
        return bytes(found)


@contextmanager
def opened_zip(stream: BinaryIO) -> Iterator[BoundedZip]:
    """UnreadFileError for what is no zip, and for one with too many members. OSError of the stream passes."""
    bounded = _BoundedFile(stream)
    with _told():
        archive = zipfile.ZipFile(bounded)
    with archive:
        yield BoundedZip(archive, bounded.size)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except UnreadFileError:
        raise
    except _MALFORMED as error:
        raise UnreadFileError(f"its zip cannot be read: {str(error)[:100] or type(error).__name__}") from None


class _BoundedFile:
    """What zipfile asks of a file. It reads as many bytes as a zip says, and seeks to where it says."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = stream.seek(0, os.SEEK_END)

    def read(self, size: int = -1) -> bytes:
        left = self.size - self._stream.tell()
        wanted = left if size < 0 else min(size, left)
        if wanted > LONGEST_READ:
            raise UnreadFileError(f"the list of its parts has more than {LONGEST_READ >> 20} MiB")
        return self._stream.read(wanted)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._stream.tell(), os.SEEK_END: self.size}[whence]
        if not 0 <= start + offset <= self.size:
            raise zipfile.BadZipFile("a part lies outside of the file")
        return self._stream.seek(start + offset)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True
