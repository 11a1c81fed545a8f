"""Content-addressed blobs, wherever they lie: a folder (`blobs.py`) or a bucket (`bucket.py`)."""

from __future__ import annotations

import errno
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.settings import Settings

_HINTS = {
    errno.ENOSPC: "make room on the disk, or put the store elsewhere (REPRISE_STORE)",
    errno.EDQUOT: "make room within your quota, or put the store elsewhere (REPRISE_STORE)",
    errno.EACCES: "make the folder writable for you, or put the store elsewhere (REPRISE_STORE)",
    errno.EROFS: "put the store on a file system that can be written (REPRISE_STORE)",
}


TRIAL = b"Reprise tries whether this store takes bytes.\n"


def hint_for(error: OSError) -> str | None:
    return _HINTS.get(error.errno) if error.errno is not None else None


class Stored(NamedTuple):
    """One blob as the store lists it. `digest` is None for what does not belong there."""

    name: str
    digest: Digest | None
    size: int  # bytes
    modified: datetime  # when it was written, or last met again


class Batch(Protocol):
    """Blobs that become durable together."""

    def add(self, stream: BinaryIO, size: int) -> Digest:
        """Read the stream to its end, at most `size` bytes, and keep it under its digest."""


class Store(ABC):
    """Bytes under the name of their digest, whole or not at all. StoreError where it fails."""

    shortest = timedelta(0)  # the grace under which a blob that a batch has met could go all the same

    def __init__(self, name: str) -> None:
        self.name = name  # what messages call it

    @abstractmethod
    def has(self, digest: Digest) -> bool: ...

    @abstractmethod
    def open(self, digest: Digest) -> BinaryIO:
        """The blob's stream, which can seek; its bytes are not yet checked. StoreError if it is not there."""

    @abstractmethod
    def batch(self) -> AbstractContextManager[Batch]:
        """Blobs that become durable together when the block is left; none is named by us if it raises."""

    @abstractmethod
    def file(self, digest: Digest) -> AbstractContextManager[Path]:
        """The blob as a file on this box, for a container; only to be read."""

    @abstractmethod
    def blobs(self) -> Iterator[Stored]:
        """All of it, by name."""

    @abstractmethod
    def remove(self, digest: Digest, before: datetime) -> bool:
        """Take a blob out, unless it was met again since `before`. Whether it went."""

    def removing(self) -> AbstractContextManager[None]:
        """Around the removals of one page of blobs, on as many threads as one likes."""
        return nullcontext()

    @abstractmethod
    def clean(self) -> int:
        """Bring what killed batches and removals left in order: bytes of temporaries that went."""

    def read(self, digest: Digest) -> bytes:
        """A small blob's bytes, checked. StoreError if they are not the digest's."""
        with self.open(digest) as stream:
            data = stream.read()
        if Digest.of(data) != digest:
            raise self._damaged(digest)
        return data

    def verify(self, digest: Digest) -> None:
        """StoreError if the blob is absent or its bytes are not its digest's."""
        with self.open(digest) as stream:
            found = Digest.of_stream(stream)
        if found != digest:
            raise self._damaged(digest)

    def try_out(self) -> None:
        """StoreError where bytes do not go in and come out again. One small blob, the same every time."""
        self.read(self.put_bytes(TRIAL))

    def put_bytes(self, data: bytes) -> Digest:
        with self.batch() as batch:
            return batch.add(io.BytesIO(data), len(data))

    def _damaged(self, digest: Digest) -> StoreError:
        return StoreError(f"blob {digest} has other bytes: it was altered in {self.name}, or is damaged")

    def _absent(self, digest: Digest) -> StoreError:
        return StoreError(f"blob {digest} is not in the store {self.name}")


def open_store(settings: Settings) -> Store:
    """The store that REPRISE_STORE names. UsageError for an address that is none."""
    if settings.bucket is not None:
        from orchestrator.record.bucket import BucketStore

        return BucketStore(settings.bucket, settings.home / "spool")
    from orchestrator.record.blobs import BlobStore

    return BlobStore(settings.store)
