"""Content-addressed blobs, wherever they lie: a folder (folder_store.py) or a bucket (bucket_store.py)."""

from __future__ import annotations

import errno
import io
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from orchestrator.digest import Digest, Hashed, Readable, chunks_of
from orchestrator.errors import StoreError, UsageError
from orchestrator.record.store.answer_limit import AnswerLimit
from orchestrator.run.collect.output_files import BlobSink

_FAILING = {
    errno.EIO: "the store's disk fails: `dmesg` says more",
    errno.ESTALE: "the store's server has forgotten it: mount it again",
}
_HINTS = {
    errno.ENOSPC: "make room on the disk, or put the store elsewhere (REPRISE_STORE)",
    errno.EDQUOT: "make room within your quota, or put the store elsewhere (REPRISE_STORE)",
    errno.EACCES: "make the folder writable for you, or put the store elsewhere (REPRISE_STORE)",
    errno.EROFS: "put the store on a file system that can be written (REPRISE_STORE)",
    **_FAILING,
}

SMALL = 256 << 20  # bytes of a blob that is read into memory
LEDGER_TEXT = 1024  # characters of what a ledger says of itself


class AbsentBlobError(StoreError):
    """The store answers, and has no such blob."""


class AlteredStoreError(StoreError):
    """What lies in the store is not what was put there."""


class DamagedBlobError(AlteredStoreError):
    """The store has other bytes under the name."""


def hint_for(error: OSError) -> str | None:
    return _HINTS.get(error.errno) if error.errno is not None else None


class Stored(NamedTuple):
    """One blob as the store lists it. `digest` is None for what does not belong there."""

    name: str
    digest: Digest | None
    size: int  # bytes
    modified: datetime  # when it was written, or last met again


class StoreOwner(NamedTuple):
    """A record that uses a store."""

    id: str
    text: str  # where it is, for people


class Batch(BlobSink, Protocol):
    """Blobs that become durable together."""

    mended: list[Digest]  # those that lay there with other bytes; known after the commit


class OtherBytesError(UsageError):
    """What was to be stored has other bytes than its digest says: it was changed meanwhile."""


Opened = Callable[[], AbstractContextManager[Readable]]  # opens the file that is to be stored


class Uploads(Protocol):
    """Blobs whose digests are known before, and that become durable together. From any thread."""

    mended: list[Digest]

    def put(self, digest: Digest, size: int, opened: Opened, *, thorough: bool = False) -> bool:
        """Store what `opened` gives; whether its bytes went. OtherBytesError: they are not the digest's.

        A blob of this size that is there is left, and made young, so that none collects it; `thorough`: only
        where its bytes are the digest's, too.
        """


class AsStoreError:
    """Around what a store itself does with a disk: StoreError where the disk refuses.

    What a caller does meanwhile stays outside, as the reading of what is to be stored: a file that cannot be
    read is not the store's fault, nor a full store the file's.
    """

    def __init__(self, trouble: str, hints: Mapping[int, str]) -> None:
        self._trouble, self._hints = trouble, hints

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            said = f"{self._trouble}: {error.strerror or error}"
            raise StoreError(said, self._hints.get(error.errno or 0)) from error


def reading(digest: Digest) -> AsStoreError:
    """Around what a store reads of a blob."""
    return AsStoreError(f"blob {digest} cannot be read", _FAILING)


class Store(ABC):
    """Bytes under the name of their digest, whole or not at all. StoreError where it fails."""

    shortest = timedelta(0)  # the grace under which a blob that a batch has met could go all the same

    def __init__(self, name: str, spool: Path | None = None) -> None:
        """`spool`: where what is stored waits on this box."""
        self.name = name  # what messages call it
        place = name if spool is None else f"{name} by way of {spool}"
        self.storing = AsStoreError(f"storing into {place} failed", _HINTS)
        self.owner: Callable[[], StoreOwner] | None = None  # the record whose rows name what is stored
        self.on_mended: Callable[[list[Digest]], None] = lambda _: None
        self.limit: AnswerLimit | None = None  # of who only looks, and does not wait for ever
        self._registered = False

    def check_there(self) -> None:  # noqa: B027  (a server says so itself)
        """StoreError where the whole store is away: then a blob that is not there tells nothing."""

    def has(self, digest: Digest) -> bool:
        return self._has(digest) if self.limit is None else self.limit(partial(self._has, digest))

    def open(self, digest: Digest) -> BinaryIO:
        """The blob's stream, which can seek; its bytes are not yet checked.

        StoreError if it is not there, and from the stream where the store then fails.
        """
        return self._open(digest) if self.limit is None else self.limit.opened(partial(self._open, digest))

    @abstractmethod
    def _has(self, digest: Digest) -> bool: ...

    @abstractmethod
    def _open(self, digest: Digest) -> BinaryIO: ...

    @abstractmethod
    def stream(self, digest: Digest, offset: int, size: int | None = None) -> Iterator[bytes | memoryview]:
        """The blob's bytes from `offset` on, not checked. AbsentBlobError, StoreError.

        `size`: bytes of the whole blob, where they are known: then a large one comes faster. A blob of
        another size ends early, or is cut.
        """

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Blobs that become durable together when the block is left. Name none of them if it raises.

        What is there already is compared with the bytes in hand, and mended from them. StoreError is of the
        store alone: what the block itself raises goes through.
        """
        self._register_owner()
        with self.unowned_batch() as batch:
            yield batch
        if batch.mended:
            self.on_mended(batch.mended)

    @contextmanager
    def uploads(self) -> Iterator[Uploads]:
        """Known blobs that become durable together when the block is left."""
        self._register_owner()
        with self.unowned_uploads() as uploads:
            yield uploads
        if uploads.mended:
            self.on_mended(uploads.mended)

    def written(self, path: Path, stream: Readable, size: int) -> Digest:
        """At most `size` bytes of a stream in a new file of the store, and their digest.

        No file where that fails. StoreError is of the file alone, not of the stream.
        """
        passing = Hashed(chunks_of(stream, size))
        try:
            with self.storing:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
                # Buffered: an unbuffered write to a full disk takes what fits and says so only in its result.
                out = os.fdopen(fd, "wb")
            try:
                for chunk in passing:
                    with self.storing:
                        out.write(chunk)
            finally:
                with self.storing:
                    out.close()
        except BaseException:
            with suppress(OSError):  # else it goes with its batch, which says why it failed
                path.unlink()
            raise
        return passing.digest

    def _register_owner(self) -> None:
        if self.owner is not None and not self._registered:
            self.register(self.owner())
            self._registered = True

    @abstractmethod
    def unowned_uploads(self) -> AbstractContextManager[Uploads]: ...

    @abstractmethod
    def unowned_batch(self) -> AbstractContextManager[Batch]:
        """As `batch`, for no record: a trial."""

    @abstractmethod
    def register(self, ledger: StoreOwner) -> None:
        """Write down that a record uses the store: a collection for another one takes nothing from it."""

    @abstractmethod
    def ledgers(self) -> dict[str, str]:
        """Records that use the store: id -> what they said of themselves."""

    @abstractmethod
    def now(self) -> datetime:
        """The time of the clock that dates blobs: clients' clocks may be days off."""

    @abstractmethod
    def file(self, digest: Digest) -> AbstractContextManager[Path]:
        """The blob as a file on this box, for a container; only to be read."""

    def copied(self, digest: Digest, folder: Path) -> Path:
        """A checked copy in a folder of this process. StoreError."""
        path = folder / digest.hex
        with path.open("wb") as out:
            out.writelines(self.chunks_of(digest))
        path.chmod(0o444)  # for a container's user, by the mount; no user of this box reaches it
        return path

    @abstractmethod
    def blobs(self) -> Iterator[Stored]:
        """Everything in the store, by name."""

    @abstractmethod
    def remove(self, digest: Digest, before: datetime) -> bool:
        """Remove a blob, unless a batch met it again since `before`: whether it went."""

    def removing(self) -> AbstractContextManager[None]:
        """Around the removals of one page of blobs, on as many threads as one likes."""
        return nullcontext()

    @abstractmethod
    def clean(self) -> int:
        """Tidy up after killed batches and removals: bytes of temporaries that went."""

    def read(self, digest: Digest) -> bytes:
        """A small blob's bytes, checked. StoreError if they are not the digest's."""
        data, more = self.beginning(digest, SMALL)
        if more:
            raise StoreError(f"blob {digest} in {self.name} has more than {SMALL >> 20} MiB")
        return data

    def beginning(self, digest: Digest, most: int) -> tuple[bytes, bool]:
        """A blob's first bytes, and whether it has more. Checked where it has no more: StoreError."""
        with self.open(digest) as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            return data[:most], True
        if Digest.of(data) != digest:
            raise self._damaged(digest)
        return data, False

    def chunks_of(
        self, digest: Digest, size: int | None = None, between: Callable[[], None] = lambda: None
    ) -> Iterator[bytes]:
        """A blob's bytes, all of them checked before the first is given. StoreError.

        `size`: bytes, where they are known: of another size nothing is read. `between` is called after each
        piece that is checked, and what it raises ends that.
        """
        with self.open(digest) as stream:
            self._check(stream, digest, size, between)
            stream.seek(0)
            passing = Hashed(chunks_of(stream))
            yield from passing
            if passing.digest != digest:  # changed between the two looks
                raise self._damaged(digest)

    def verify(self, digest: Digest, size: int | None = None) -> None:
        """AbsentBlobError, DamagedBlobError: the bytes are not there, or not the digest's. StoreError.

        `size`: bytes, where they are known: of another size nothing is read, and so no hole of terabytes.
        """
        with self.open(digest) as stream:
            self._check(stream, digest, size)

    def _check(
        self, stream: BinaryIO, digest: Digest, size: int | None, between: Callable[[], None] = lambda: None
    ) -> None:
        if size is not None and stream.seek(0, io.SEEK_END) != size:
            raise self._damaged(digest)
        stream.seek(0)
        passing = Hashed(chunks_of(stream))
        for _ in passing:
            between()
        if passing.digest != digest:
            raise self._damaged(digest)

    def is_whole(self, digest: Digest) -> bool:
        """Whether the blob is there with its digest's bytes. StoreError where the store is away."""
        try:
            self.verify(digest)
        except (AbsentBlobError, DamagedBlobError):
            return False
        return True

    def try_out(self) -> None:
        """Store, read and remove random bytes. StoreError or UsageError where one of these fails.

        Done before work whose results the store is to take.
        """
        data = secrets.token_bytes(32)
        with self.unowned_batch() as batch:
            digest = batch.add(io.BytesIO(data), len(data))
        if self.read(digest) != data:
            raise self._damaged(digest)
        self.remove(digest, self.now() + timedelta(days=1))

    def put_bytes(self, data: bytes) -> Digest:
        with self.batch() as batch:
            return batch.add(io.BytesIO(data), len(data))

    def _damaged(self, digest: Digest) -> StoreError:
        return DamagedBlobError(
            f"blob {digest} has other bytes: it was altered in {self.name}, or is damaged"
        )

    def _absent(self, digest: Digest) -> StoreError:
        return AbsentBlobError(f"blob {digest} is not in the store {self.name}")
