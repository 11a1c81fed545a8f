"""The tar of a bundle: written whole or not at all, and read by comparison, never unpacked."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from orchestrator.digest import Digest, checked_chunks
from orchestrator.disk_room import FULL, UNREADABLE
from orchestrator.durable import writing
from orchestrator.errors import StoreError, UsageError
from orchestrator.image.assembly import tar
from orchestrator.image.assembly.load_archive import blob_name
from orchestrator.launch.bundles.bundle_form import DOCUMENT, END, MAX_DOCUMENT, Bundle, read_bundle
from orchestrator.launch.watch import Watch

_AGAIN = "carry the file over again, or export it again; nothing was recorded"


@dataclass(frozen=True)
class Piece:
    """A blob to write: where its bytes come from, and what messages call it."""

    size: int  # bytes
    open: Callable[[], BinaryIO]
    what: str

    @classmethod
    def of(cls, data: bytes, what: str) -> Piece:
        return cls(len(data), lambda: io.BytesIO(data), what)


def write_archive(
    path: Path, bundle: Bundle, files: Mapping[str, bytes], pieces: Mapping[Digest, Piece], watch: Watch
) -> int:
    """Write the archive; its size in bytes. StoreError for a blob with other bytes; then no file is left.

    UsageError: no file can be made there.
    """
    document = bundle.to_bytes()
    total, done = sum(size for _, size in bundle.blobs), 0
    try:
        with writing(path) as out:
            _write_bytes(out, DOCUMENT, document)
            for number, (digest, size) in enumerate(bundle.blobs):
                if number == len(bundle.first):
                    for name, data in files.items():
                        _write_bytes(out, name, data)
                out.write(tar.header(tar.Member(blob_name(digest), tar.Span(-1, 0, size))))
                for chunk in _checked(digest, size, pieces[digest]):
                    out.write(chunk)
                    done += len(chunk)
                    watch.moved(done, total)
                out.write(bytes(-size % tar.BLOCK))
            if len(bundle.blobs) == len(bundle.first):
                for name, data in files.items():
                    _write_bytes(out, name, data)
            out.write(END)
            return out.tell()
    except OSError as error:
        message = f"{path} could not be written: {error.strerror}"
        if error.errno in FULL:
            hint = f"it takes {total} bytes; name a file on another disk, or leave the base out with --thin"
            raise StoreError(message, hint) from error
        raise UsageError(message, "name a file in a folder that you may write") from error


def _write_bytes(out: BinaryIO, name: str, data: bytes) -> None:
    out.write(tar.header(tar.Member(name, data)))
    out.write(data + bytes(-len(data) % tar.BLOCK))


def _checked(digest: Digest, size: int, piece: Piece) -> Iterator[bytes]:
    try:
        with piece.open() as stream:
            yield from checked_chunks(stream, digest, size)
    except OSError as error:
        said = f"{piece.what} ({digest}) cannot be read: {error.strerror}"
        raise StoreError(said, UNREADABLE) from error
    except ValueError:
        raise StoreError(f"{piece.what} ({digest}) has other bytes: it was altered or is damaged") from None


class BundleArchive:
    """A bundle that is read from its beginning to its end, member by member."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path = path
        self._stream = stream
        self._at = 0  # bytes read
        self.on_read: Callable[[int], None] = lambda _: None  # gets the number of bytes of each read
        self.document = self._read_document()
        try:
            self.bundle = read_bundle(self.document)
        except ValueError as error:
            raise self.wrong(f"{DOCUMENT}: {error}") from None

    def wrong(self, what: str) -> StoreError:
        return StoreError(f"{self.path} is no bundle, or damaged: {what}", _AGAIN)

    def read_bytes(self, digest: Digest, size: int, what: str, limit: int) -> bytes:
        """A small blob, checked."""
        if size > limit:
            raise self.wrong(f"{what} has {size} bytes, more than {limit}")
        with self.blob(digest, size) as stream:
            data = stream.read()
        if Digest.of(data) != digest:
            raise self.other(digest)
        return data

    @contextmanager
    def blob(self, digest: Digest, size: int) -> Iterator[BinaryIO]:
        """The next member's bytes, to be read to their end and hashed by whoever reads them."""
        name = blob_name(digest)
        self._expect(tar.header(tar.Member(name, tar.Span(-1, 0, size))), f"the beginning of {name}")
        yield cast(BinaryIO, _MemberStream(self, size, name))
        self._expect(bytes(-size % tar.BLOCK), f"the end of {name}")

    def other(self, digest: Digest) -> StoreError:
        return self.wrong(f"blob {digest} has other bytes")

    def expect_files(self, files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            self._expect(tar.header(tar.Member(name, data)) + data + bytes(-len(data) % tar.BLOCK), name)

    def expect_rest(self, sizes: list[int]) -> None:
        """StoreError where the file is not as long as members of these sizes make it."""
        found = os.fstat(self._stream.fileno()).st_size
        heads = sum(len(tar.header(tar.Member("x", tar.Span(-1, 0, size)))) for size in sizes)
        wanted = self._at + heads + sum(size + -size % tar.BLOCK for size in sizes) + len(END)
        if found != wanted:
            raise self.wrong(f"it has {found} bytes, not {wanted}")

    def expect_end(self) -> None:
        self._expect(END, "the end")
        if self._stream.read(1):
            raise self.wrong(f"more follows after its end, from byte {self._at} on")

    def read(self, size: int, what: str) -> bytes:
        try:
            data = self._stream.read(size)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror}", _AGAIN) from error
        if len(data) != size:
            raise self.wrong(f"it ends within {what}, after {self._at + len(data)} bytes")
        self._at += size
        self.on_read(size)
        return data

    def _expect(self, data: bytes, what: str) -> None:
        at = self._at
        found = self.read(len(data), what)
        if found != data:
            first = next(
                index for index, pair in enumerate(zip(found, data, strict=True)) if len(set(pair)) > 1
            )
            raise self.wrong(f"byte {at + first} is not as expected, in {what}")

    def _read_document(self) -> bytes:
        head = self._stream.read(tar.BLOCK)
        self._at = len(head)
        if head[:2] in (b"\x1f\x8b", b"BZ") or head[:4] in (b"\x28\xb5\x2f\xfd", b"\xfd7zX"):
            raise UsageError(
                f"{self.path} is compressed", "unpack it first: what `reprise export` writes is a tar"
            )
        try:
            info = tarfile.TarInfo.frombuf(head, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError):
            info = None
        if info is None or info.name != DOCUMENT:
            raise UsageError(
                f"{self.path} is no bundle: it does not begin with {DOCUMENT}",
                "`reprise export` writes bundles; an image alone is loaded with `docker load`",
            )
        if not 0 <= info.size <= MAX_DOCUMENT or head != tar.header(
            tar.Member(DOCUMENT, tar.Span(-1, 0, info.size))
        ):
            raise self.wrong(f"the beginning of {DOCUMENT} is not as expected")
        data = self.read(info.size, DOCUMENT)
        self._expect(bytes(-info.size % tar.BLOCK), f"the end of {DOCUMENT}")
        return data


class _MemberStream(io.RawIOBase):
    """The bytes of one member; it ends where the member does."""

    def __init__(self, archive: BundleArchive, size: int, name: str) -> None:
        self._archive, self._left, self._name = archive, size, name

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        count = self._left if size is None or size < 0 else min(size, self._left)
        self._left -= count
        return self._archive.read(count, self._name)


@contextmanager
def open_archive(path: Path) -> Iterator[BundleArchive]:
    """UsageError where the file is not a bundle, StoreError where it is damaged."""
    hint = "name the file that `reprise export` wrote"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would hold us up for ever
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)  # `fdopen` raises for a folder and leaves it open
        raise UsageError(f"{path} is not a plain file", hint)
    with os.fdopen(fd, "rb") as stream:
        yield BundleArchive(path, stream)
