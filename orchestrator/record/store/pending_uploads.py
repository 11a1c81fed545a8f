"""Blobs of a batch that wait as files on this box until they are put into a bucket together."""

from __future__ import annotations

import secrets
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.several_at_once import each

if TYPE_CHECKING:
    from orchestrator.record.store.bucket_store import BucketStore

AT_ONCE = 8  # uploads
TRIES = 3  # of one blob that the server took and does not have
PAUSE = 0.3  # seconds between them
YOUNG = timedelta(hours=1)  # a blob met again after that is put again, so that no collection takes it


class BucketBatch:
    """Blobs wait as closed files: a batch may hold 10,000 outputs. Made by BucketStore.unowned_batch."""

    def __init__(self, store: BucketStore, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._waiting: dict[Digest, Path] = {}
        self.mended: list[Digest] = []

    def add(self, stream: BinaryIO, size: int) -> Digest:
        path = self._folder / secrets.token_hex(12)
        digest = self._store.written(path, stream, size)
        if self._waiting.setdefault(digest, path) != path:
            with self._store.storing:
                path.unlink()
        return digest

    def commit(self) -> None:
        """Put what is missing, or so old that a collection may be removing it.

        A server's success is not believed: each blob is read back, and put again where it is not there.
        """
        # A server that is away is waited for once, not once per blob: the first error ends it.
        digests = list(self._waiting)
        done = each(self._ensure, digests, AT_ONCE)
        put = [digest for digest, new in zip(digests, done, strict=True) if new]
        if put and self._store.wait_for_removals():
            each(self._ensure, put, AT_ONCE)

    def _ensure(self, digest: Digest) -> bool:
        """Whether it had to be put. StoreError where the server does not keep it."""
        path, found = self._waiting[digest], self._store.head(digest)
        size = path.stat().st_size
        if found is not None:
            if found[0] != size or not self._store.is_whole(digest):
                self.mended.append(digest)
            elif self._store.now() - found[1] <= YOUNG:
                return False
        for left in reversed(range(TRIES)):
            with path.open("rb") as stream:
                self._store.put(digest, stream, size)
            if self._store.is_whole(digest):
                return True
            time.sleep(PAUSE if left else 0)
        raise StoreError(
            f"{self._store.name}: the server said {TRIES} times that it has blob {digest}, and has it not, "
            "or has other bytes",
            "look at the server: its disk, what stands between, its log; `reprise doctor` tries the store",
        )
