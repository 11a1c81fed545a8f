"""Content-addressed blobs in a folder: bytes under the name of their digest, whole or not at all.

Order of a batch: data durable, then names, then names durable; only then may a row name a blob. One
`syncfs` serves a batch of many files, where one fsync each would take seconds.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestrator.digest import CHUNK, Digest
from orchestrator.durable import fsync_folder, sync_filesystem
from orchestrator.errors import StoreError

FEW = 16  # files up to which one fsync each is cheaper than flushing the whole file system


class BlobStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: Digest) -> Path:
        return self.folder / "sha256" / digest.hex[:2] / digest.hex

    def has(self, digest: Digest) -> bool:
        return self.path(digest).exists()

    def open(self, digest: Digest) -> BinaryIO:
        """The blob's stream, its bytes not yet checked. StoreError if it is not there."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise StoreError(f"blob {digest} is not in the store {self.folder}") from None
        except OSError as error:
            raise StoreError(f"blob {digest} cannot be read: {error}") from error

    def read(self, digest: Digest) -> bytes:
        """A small blob's bytes, checked. StoreError if they are not the digest's."""
        with self.open(digest) as stream:
            data = stream.read()
        if Digest.of(data) != digest:
            raise StoreError(f"blob {digest} has other bytes: {self.path(digest)} was altered or is damaged")
        return data

    def verify(self, digest: Digest) -> None:
        """StoreError if the blob is absent or its bytes are not its digest's."""
        with self.open(digest) as stream:
            found = Digest.of_stream(stream)
        if found != digest:
            raise StoreError(f"blob {digest} has other bytes: {self.path(digest)} was altered or is damaged")

    def put_bytes(self, data: bytes) -> Digest:
        import io

        with self.batch() as batch:
            return batch.add(io.BytesIO(data), len(data))

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Blobs that become durable together when the block is left; none of them if it raises."""
        try:
            batch = Batch(self)
            try:
                yield batch
                batch.commit()
            finally:
                batch.discard()
        except OSError as error:
            raise StoreError(f"the store {self.folder} cannot be written: {error}") from error


class Batch:
    """Temporaries that wait for their names. Made by BlobStore.batch."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._temporaries = store.folder / "tmp"
        self._temporaries.mkdir(parents=True, exist_ok=True)
        self._waiting: dict[Digest, Path] = {}

    def add(self, stream: BinaryIO, size: int) -> Digest:
        """Read the stream to its end, at most `size` bytes, and keep it under its digest."""
        temporary = self._temporaries / secrets.token_hex(12)
        hasher, left = hashlib.sha256(), size
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            with os.fdopen(fd, "wb", buffering=0) as out:
                while left > 0 and (chunk := stream.read(min(CHUNK, left))):
                    hasher.update(chunk)
                    out.write(chunk)
                    left -= len(chunk)
            digest = Digest("sha256:" + hasher.hexdigest())
            if digest in self._waiting or self._is_whole(digest, size - left):
                temporary.unlink()
            else:
                self._waiting[digest] = temporary
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return digest

    def _is_whole(self, digest: Digest, size: int) -> bool:
        try:
            return self._store.path(digest).stat().st_size == size
        except FileNotFoundError:
            return False

    def commit(self) -> None:
        if not self._waiting:
            return
        if len(self._waiting) <= FEW:
            for temporary in self._waiting.values():
                _fsync(temporary)
        else:
            sync_filesystem(self._temporaries)
        folders = set()
        for digest, temporary in self._waiting.items():
            target = self._store.path(digest)
            if target.parent not in folders:
                target.parent.mkdir(parents=True, exist_ok=True)
                folders.add(target.parent)
            temporary.replace(target)
        self._waiting.clear()
        if len(folders) <= FEW:
            for folder in folders | {self._store.folder / "sha256"}:
                fsync_folder(folder)
        else:
            sync_filesystem(self._store.folder)

    def discard(self) -> None:
        for temporary in self._waiting.values():
            temporary.unlink(missing_ok=True)
        self._waiting.clear()


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
