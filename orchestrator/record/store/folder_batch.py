"""Blobs of a batch that wait as temporaries of a folder store until they get their names together."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.digest import CHUNK, Digest, Readable
from orchestrator.durable import fsync_file, fsync_folder, sync_filesystem
from orchestrator.record.store.blob_store import Opened, OtherBytesError
from orchestrator.record.store.process_folder import give_up, own_folder
from orchestrator.record.store.safe_folders import NoFileError, open_file, path_of

if TYPE_CHECKING:
    from orchestrator.record.store.folder_store import BlobStore

FEW = 16  # files up to which one fsync each is cheaper than flushing the whole file system


class FolderBatch:
    """Temporaries that wait for their names. Made by BlobStore.unowned_batch."""

    def __init__(self, store: BlobStore, parent: Path) -> None:
        """`parent` is the store's folder of temporaries, opened."""
        self._store = store
        folder, self._lock = own_folder(parent)
        self._own = folder
        self._temporaries = path_of(self._lock)
        self._waiting: dict[Digest, Path] = {}
        self._there: set[Digest] = set()  # stored before, perhaps a moment ago by another process
        self.mended: list[Digest] = []

    def add(self, stream: BinaryIO, size: int) -> Digest:
        temporary, digest = self._written(stream, size)

        def is_same(there: BinaryIO) -> bool:
            with temporary.open("rb") as good:
                return _same(there, good)

        with self._store.storing:
            if digest in self._waiting:
                temporary.unlink()
            elif self._renewed(digest, is_same):
                temporary.unlink()
                self._there.add(digest)
            else:
                self._waiting[digest] = temporary
        return digest

    def _written(self, stream: Readable, size: int) -> tuple[Path, Digest]:
        """As Store.written, in a file that all who share the store may read."""
        temporary = self._temporaries / secrets.token_hex(12)
        digest = self._store.written(temporary, stream, size)
        with self._store.storing:
            if self._store.shared is not None:
                temporary.chmod(self._store.shared & 0o444)
        return temporary, digest

    def put(self, digest: Digest, size: int, opened: Opened, *, thorough: bool = False) -> bool:
        """As blob_store.Uploads has it."""

        def is_same(there: BinaryIO) -> bool:
            right = os.fstat(there.fileno()).st_size == size
            return right and (not thorough or Digest.of_stream(there) == digest)

        with self._store.storing:
            there = self._renewed(digest, is_same)
        if there:
            self._there.add(digest)
        if there or digest in self._waiting:
            return False
        with opened() as stream:
            temporary, found = self._written(stream, size + 1)
        if found != digest:
            with self._store.storing:
                temporary.unlink()
            raise OtherBytesError(f"the bytes are no longer those of {digest}")
        self._waiting[digest] = temporary
        return True

    def _renewed(self, digest: Digest, is_same: Callable[[BinaryIO], bool]) -> bool:
        """Whether the blob is there with the right bytes; then it is made young, so that none collects it.

        A collection puts a blob aside and then looks at its age. So this makes it young and then looks at
        its name: one of the two sees the other.
        """
        if not os.path.lexists(self._store.path(digest)):
            return False  # most of an upload: found out by one call, in place of three folders opened
        try:
            with self._store.opened("sha256", digest.hex[:2]) as folder:
                path = folder / digest.hex
                try:
                    there = open_file(path)
                except NoFileError:
                    if path.exists():  # else a link that leads nowhere, and nothing was lost
                        self.mended.append(digest)
                    return False
                with there:
                    same = is_same(there)
                    if same:
                        os.utime(there.fileno())  # by the file system's clock
                        if not os.path.samestat(path.lstat(), os.fstat(there.fileno())):
                            return False
        except FileNotFoundError:
            return False
        except PermissionError:  # another user's: written again, under our name
            return False
        if not same:
            self.mended.append(digest)
        return same

    def commit(self) -> None:
        """Data, names, folders. A blob that was there already may lie in a folder not yet durable."""
        if len(self._waiting) <= FEW:
            for temporary in self._waiting.values():
                fsync_file(temporary)
        else:
            sync_filesystem(self._temporaries)
        folders: dict[str, list[Digest]] = {digest.hex[:2]: [] for digest in self._there}
        for digest in self._waiting:
            folders.setdefault(digest.hex[:2], []).append(digest)
        for name, digests in folders.items():
            with self._store.opened("sha256", name, make=True) as folder:
                for digest in digests:
                    self._place(self._waiting[digest], folder / digest.hex)
        self._waiting.clear()
        if folders:
            self._keep(list(folders))

    def _place(self, temporary: Path, target: Path) -> None:
        try:
            temporary.replace(target)
        except IsADirectoryError:  # put there by hand; it goes with our temporaries
            target.replace(self._temporaries / secrets.token_hex(12))
            temporary.replace(target)

    def _keep(self, names: list[str]) -> None:
        """Make the entries in the folders durable, and the folders' own entries, up to the store's."""
        root = self._store.folder
        if len(names) > FEW:
            sync_filesystem(root)
            return
        for name in names:
            with self._store.opened("sha256", name) as folder:
                fsync_folder(folder)
        with self._store.opened("sha256") as folder:
            fsync_folder(folder)
        fsync_folder(root)
        fsync_folder(root.parent)

    def discard(self) -> None:
        self._waiting.clear()
        give_up(self._own, self._lock)


def _same(one: BinaryIO, other: BinaryIO) -> bool:
    while True:
        left, right = one.read(CHUNK), other.read(CHUNK)
        if left != right:
            return False
        if not left:
            return True
