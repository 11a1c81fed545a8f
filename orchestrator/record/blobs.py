"""Content-addressed blobs in a folder: bytes under the name of their digest, whole or not at all.

Order of a batch: data durable, then names, then names durable; only then may a row name a blob. One
`syncfs` serves a batch of many files, where one fsync each would take seconds: 10,000 files of 1 kB are
hashed and written in 1.1 s and durable in 0.7 s.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from orchestrator.digest import CHUNK, Digest
from orchestrator.durable import fsync_file, fsync_folder, make_folder, sync_filesystem
from orchestrator.errors import StoreError
from orchestrator.record.ownfolder import give_up, own_folder, remove_dead
from orchestrator.record.store import Store, Stored, hint_for

_ASIDE = "gone-"
FEW = 16  # files up to which one fsync each is cheaper than flushing the whole file system


class BlobStore(Store):
    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder

    def path(self, digest: Digest) -> Path:
        return self.folder / "sha256" / digest.hex[:2] / digest.hex

    @cached_property
    def shared(self) -> int | None:
        """The mode of a store that others may write to, and so of all that is made in it, without the sticky
        bit: who meets another's blob writes it anew. None for a store of one's own.
        """
        mode = self.folder.stat().st_mode & 0o2777
        return mode if mode & 0o022 else None

    def make(self, folder: Path) -> None:
        """A folder of the store."""
        if folder.is_dir():
            return
        if folder == self.folder:
            make_folder(folder)
            return
        self.make(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir()
            if self.shared is not None:
                folder.chmod(self.shared)

    def has(self, digest: Digest) -> bool:
        return self.path(digest).exists()

    def open(self, digest: Digest) -> BinaryIO:
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise self._absent(digest) from None
        except OSError as error:
            raise StoreError(f"blob {digest} cannot be read: {error}") from error

    @contextmanager
    def file(self, digest: Digest) -> Iterator[Path]:
        if not self.has(digest):
            raise self._absent(digest)
        yield self.path(digest)

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        try:
            batch = Batch(self)
            try:
                yield batch
                batch.commit()
            finally:
                batch.discard()
        except OSError as error:
            raise StoreError(f"storing into {self.folder} failed: {error}", hint_for(error)) from error

    def blobs(self) -> Iterator[Stored]:
        for folder in sorted(_entries(self.folder / "sha256")):
            for path in sorted(_entries(folder)) if folder.is_dir() else [folder]:
                with suppress(FileNotFoundError):  # removed meanwhile
                    found = path.lstat()
                    moment = datetime.fromtimestamp(found.st_mtime, UTC)
                    yield Stored(str(path), _digest_of(path), found.st_size, moment)

    def remove(self, digest: Digest, before: datetime) -> bool:
        """Put aside first: a batch that met the blob a moment ago has made it younger, and it comes back."""
        path, limit = self.path(digest), before.timestamp()
        aside = self.folder / "tmp" / f"{_ASIDE}{secrets.token_hex(8)}"
        try:
            if path.lstat().st_mtime >= limit:
                return False
            self.make(aside.parent)
            path.replace(aside)
            if aside.lstat().st_mtime >= limit:
                self._put_back(aside, digest)
                return False
            aside.unlink()
        except FileNotFoundError:  # another collection's, or put back by it
            return False
        except OSError as error:
            raise StoreError(f"blob {digest} cannot be removed: {error}", hint_for(error)) from error
        return True

    def _put_back(self, aside: Path, digest: Digest) -> None:
        path = self.path(digest)
        self.make(path.parent)
        with suppress(FileExistsError):  # written anew meanwhile
            path.hardlink_to(aside)
        fsync_folder(path.parent)
        aside.unlink()

    def clean(self) -> int:
        """A blob that a killed `remove` left aside may have been met by then: it comes back, and is looked
        at as any other.
        """
        parent = self.folder / "tmp"
        for aside in _entries(parent):
            if aside.name.startswith(_ASIDE):
                # The other collection is alive, or another user's.
                with suppress(FileNotFoundError, PermissionError):
                    with aside.open("rb") as stream:
                        digest = Digest.of_stream(stream)
                    self._put_back(aside, digest)
        return remove_dead(parent)


def _entries(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return ()


def _digest_of(path: Path) -> Digest | None:
    """From where a blob lies: `sha256/ab/abcd…`, a plain file."""
    digest = Digest.parse(f"sha256:{path.name}")
    fits = (
        digest is not None and path.parent.name == path.name[:2] and path.is_file() and not path.is_symlink()
    )
    return digest if fits else None


class Batch:
    """Temporaries that wait for their names. Made by BlobStore.batch."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        store.make(store.folder / "tmp")
        self._temporaries, self._lock = own_folder(store.folder / "tmp")
        self._waiting: dict[Digest, Path] = {}
        self._there: set[Digest] = set()  # stored before, perhaps a moment ago by another process

    def add(self, stream: BinaryIO, size: int) -> Digest:
        """Read the stream to its end, at most `size` bytes, and keep it under its digest."""
        temporary = self._temporaries / secrets.token_hex(12)
        hasher, left = hashlib.sha256(), size
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            # Buffered: an unbuffered write to a full disk takes what fits and says so only in its result.
            with os.fdopen(fd, "wb") as out:
                if self._store.shared is not None:
                    os.fchmod(fd, self._store.shared & 0o444)
                while left > 0 and (chunk := stream.read(min(CHUNK, left))):
                    hasher.update(chunk)
                    out.write(chunk)
                    left -= len(chunk)
            digest = Digest("sha256:" + hasher.hexdigest())
            if digest in self._waiting:
                temporary.unlink()
            elif self._is_whole(digest, size - left):
                temporary.unlink()
                self._there.add(digest)
            else:
                self._waiting[digest] = temporary
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return digest

    def _is_whole(self, digest: Digest, size: int) -> bool:
        """Whether it is there in full length; then it is young again, so that no collection takes it."""
        path = self._store.path(digest)
        try:
            if path.stat().st_size != size:
                return False
            os.utime(path, (moment := time.time(), moment))
        except FileNotFoundError:
            return False
        except PermissionError:  # another user's: written again, under our name
            return False
        return True

    def commit(self) -> None:
        """Data, names, folders. A blob that was there already may lie in a folder not yet durable."""
        if len(self._waiting) <= FEW:
            for temporary in self._waiting.values():
                fsync_file(temporary)
        else:
            sync_filesystem(self._temporaries)
        folders = {self._store.path(digest).parent for digest in self._there}
        for digest, temporary in self._waiting.items():
            target = self._store.path(digest)
            if target.parent not in folders:
                self._store.make(target.parent)
                folders.add(target.parent)
            temporary.replace(target)
        self._waiting.clear()
        if folders:
            self._keep(folders)

    def _keep(self, folders: set[Path]) -> None:
        """Make the entries in the folders durable, and the folders' own entries, up to the store's."""
        if len(folders) > FEW:
            sync_filesystem(self._store.folder)
            return
        root = self._store.folder
        for folder in (*folders, root / "sha256", root, root.parent):
            fsync_folder(folder)

    def discard(self) -> None:
        self._waiting.clear()
        give_up(self._temporaries, self._lock)
