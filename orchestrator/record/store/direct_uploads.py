"""Files whose digests are known go into a bucket without a copy on this box's disk.

A large file is hashed while it goes. Its last bytes are held back until its digest is known to be right:
until then the server shows nothing under the name.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.digest import Digest, Hashed, Readable, chunks_of
from orchestrator.errors import StoreError
from orchestrator.record.store.blob_store import Opened, OtherBytesError
from orchestrator.record.store.pending_uploads import YOUNG

if TYPE_CHECKING:
    from orchestrator.record.store.bucket_store import BucketStore


class DirectUploads:
    """Made by BucketStore.unowned_uploads. The source of each file stays, and readers check each blob.

    So a blob is not read back after it was put, as a run's outputs are. Each request carries the SHA-256 of
    its bytes, which the server checks; at the end the server is asked for the blob's size.
    """

    def __init__(self, store: BucketStore) -> None:
        self._store, self._lock = store, threading.Lock()
        self._put: dict[Digest, int] = {}
        self.mended: list[Digest] = []

    def put(self, digest: Digest, size: int, opened: Opened, *, thorough: bool = False) -> bool:
        """As blob_store.Uploads has it."""
        found = self._store.head(digest)
        if found is not None:
            if found[0] != size or (thorough and not self._store.is_whole(digest)):
                with self._lock:
                    self.mended.append(digest)
            elif self._store.now() - found[1] <= YOUNG:
                return False
        with opened() as stream:
            self._store.put_chunks(digest, _checked(stream, digest, size), size)
        self._expect(digest, size)
        with self._lock:
            self._put[digest] = size
        return True

    def commit(self) -> None:
        """Wait for collections that began before. StoreError where one took what was just put."""
        if self._put and self._store.wait_for_removals():
            for digest, size in self._put.items():
                self._expect(digest, size)

    def _expect(self, digest: Digest, size: int) -> None:
        found = self._store.head(digest)
        if found is None or found[0] != size:
            raise StoreError(
                f"{self._store.name}: the server said that it has blob {digest}, and has it not",
                "the same command again puts it there; `reprise doctor` tries the store",
            )


def _checked(stream: Readable, digest: Digest, size: int) -> Iterator[bytes]:
    """A stream's bytes. The last ones come once all are known to have the digest; else OtherBytesError."""
    passing = Hashed(chunks_of(stream, size + 1))
    held = b""
    for chunk in passing:
        if held:
            yield held
        held = chunk
    if passing.digest != digest or passing.size != size:
        raise OtherBytesError(f"the bytes are no longer those of {digest}")
    yield held
