"""Content-addressed blobs in a folder: bytes under the name of their digest, whole or not at all.

Order of a batch: data durable, then names, then names durable; only then may a row name a blob. One
`syncfs` serves a batch of many files, where one fsync each would take seconds: 10,000 files of 1 kB are
hashed and written in 1.1 s and durable in 0.7 s.

Others may write to a shared store, and put links, FIFOs or devices there: safe_folders.py opens them.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from orchestrator.digest import CHUNK, Digest, Hashed, chunks_of
from orchestrator.durable import fsync_file, fsync_folder, make_folder, sync_filesystem, write_bytes
from orchestrator.errors import StoreError
from orchestrator.record.store.blob_store import (
    LEDGER_TEXT,
    AbsentBlobError,
    DamagedBlobError,
    Store,
    Stored,
    StoreOwner,
    hint_for,
)
from orchestrator.record.store.process_folder import entries_of, give_up, own_folder, remove_dead
from orchestrator.record.store.safe_folders import NoFileError, open_file, opened_folder, path_of

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
        """The mode of a store that others may write to, and of all that is made in it; None for one's own.

        It has no sticky bit, so that whoever meets another's blob can replace it.
        """
        mode = self.folder.stat().st_mode & 0o2777
        return mode if mode & 0o022 else None

    @contextmanager
    def opened(self, *names: str, make: bool = False) -> Iterator[Path]:
        """A folder of the store, as a path that nobody can redirect. FileNotFoundError without one."""
        if make:
            make_folder(self.folder)
        mode = self.shared if make else None
        with opened_folder(self.folder, *names, make=make, mode=mode) as folder:
            yield path_of(folder)

    def check_there(self) -> None:
        if not self.folder.is_dir():
            raise StoreError(
                f"the store {self.folder} is not there", "is its disk mounted, and is REPRISE_STORE right?"
            )

    @contextmanager
    def at(self, digest: Digest) -> Iterator[Path]:
        """Where a blob lies. AbsentBlobError where its folder is not there."""
        try:
            with self.opened("sha256", digest.hex[:2]) as folder:
                yield folder / digest.hex
        except FileNotFoundError:
            raise self._absent(digest) from None

    def has(self, digest: Digest) -> bool:
        try:
            with self.at(digest) as path:
                return stat.S_ISREG(path.lstat().st_mode)
        except AbsentBlobError:
            return False

    def open(self, digest: Digest) -> BinaryIO:
        try:
            with self.at(digest) as path:
                try:
                    return open_file(path)
                except NoFileError as error:
                    if not path.exists():  # a link that leads nowhere
                        raise self._absent(digest) from None
                    raise DamagedBlobError(f"blob {digest} in {self.name}: {error}") from None
        except OSError as error:
            raise StoreError(f"blob {digest} cannot be read: {error.strerror}") from error

    @contextmanager
    def file(self, digest: Digest) -> Iterator[Path]:
        """The blob's file. A shared store gives a copy: others can redirect a path before it is mounted."""
        if not self.has(digest):
            raise self._absent(digest)
        if self.shared is None:
            self.verify(digest)
            yield self.path(digest)
            return
        with tempfile.TemporaryDirectory(prefix="reprise-") as above:
            path = Path(above, digest.hex)
            with path.open("wb") as out:
                out.writelines(self.chunks_of(digest))
            path.chmod(0o444)  # for a container's user, by the mount; no user of this box reaches it
            yield path

    @contextmanager
    def unowned_batch(self) -> Iterator[FolderBatch]:
        try:
            with self.opened("tmp", make=True) as parent:
                batch = FolderBatch(self, parent)
                try:
                    yield batch
                    batch.commit()
                finally:
                    batch.discard()
        except OSError as error:
            raise StoreError(f"storing into {self.folder} failed: {error}", hint_for(error)) from error

    def register(self, ledger: StoreOwner) -> None:
        data = ledger.text[:LEDGER_TEXT].encode("utf-8", "replace")
        try:
            with self.opened("ledgers", make=True) as folder:
                if not (folder / ledger.id).exists():
                    write_bytes(folder / ledger.id, data)
        except OSError as error:
            raise StoreError(f"storing into {self.folder} failed: {error}", hint_for(error)) from error

    def ledgers(self) -> dict[str, str]:
        found = {}
        try:
            with self.opened("ledgers") as folder:
                for path in entries_of(folder):
                    with suppress(NoFileError, PermissionError), open_file(path) as stream:
                        found[path.name] = stream.read(LEDGER_TEXT).decode("utf-8", "replace")
                    found.setdefault(path.name, "what it says cannot be read")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be read: {error}") from error
        return {name: text for name, text in found.items() if not name.endswith(".tmp")}

    def now(self) -> datetime:
        """The file system's own clock: a server's, where it is mounted from one."""
        try:
            with self.opened("tmp", make=True) as parent:
                path = parent / secrets.token_hex(8)
                path.touch(exist_ok=False)
                try:
                    return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
                finally:
                    path.unlink()
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error}", hint_for(error)) from error

    def blobs(self) -> Iterator[Stored]:
        try:
            for name in self._names("sha256"):
                try:
                    below = self._names("sha256", name)
                except (NotADirectoryError, StoreError):
                    yield from self._stored("sha256", name)
                    continue
                for blob in below:
                    yield from self._stored("sha256", name, blob)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be read: {error}") from error

    def _names(self, *folders: str) -> list[str]:
        try:
            with self.opened(*folders) as folder:
                return sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []

    def _stored(self, *names: str) -> Iterator[Stored]:
        *folders, name = names
        with suppress(FileNotFoundError), self.opened(*folders) as folder:  # removed meanwhile
            found = (folder / name).lstat()
            digest = Digest.parse(f"sha256:{name}") if folders[1:] == [name[:2]] else None
            moment = datetime.fromtimestamp(found.st_mtime, UTC)
            plain = digest if stat.S_ISREG(found.st_mode) else None
            yield Stored(str(self.folder.joinpath(*names)), plain, found.st_size, moment)

    def remove(self, digest: Digest, before: datetime) -> bool:
        """Put aside first, and back where a batch that met the blob meanwhile has made it younger."""
        limit, name = before.timestamp(), f"{_ASIDE}{secrets.token_hex(8)}"
        try:
            with self.at(digest) as path:
                found = path.lstat()
                if found.st_mtime >= limit or not stat.S_ISREG(found.st_mode):
                    return False
                with self.opened("tmp", make=True) as parent:
                    aside = parent / name
                    path.replace(aside)
                    if aside.lstat().st_mtime >= limit:
                        self._put_back(aside, digest)
                        return False
                    aside.unlink()
        except (FileNotFoundError, AbsentBlobError):  # another collection's, or put back by it
            return False
        except OSError as error:
            raise StoreError(f"blob {digest} cannot be removed: {error}", hint_for(error)) from error
        return True

    def _put_back(self, aside: Path, digest: Digest) -> None:
        with self.opened("sha256", digest.hex[:2], make=True) as folder:
            with suppress(FileExistsError):  # written anew meanwhile
                os.link(aside, folder / digest.hex, follow_symlinks=False)
            fsync_folder(folder)
        aside.unlink()

    def clean(self) -> int:
        """A blob that a killed `remove` put aside comes back: a batch may have met it. Anything there but a
        plain file was put there by hand, and is removed.
        """
        try:
            with self.opened("tmp") as parent:
                for aside in entries_of(parent):
                    if aside.name.startswith(_ASIDE):
                        self._tidy(aside)
                return remove_dead(parent)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be tidied: {error}", hint_for(error)) from error

    def _tidy(self, aside: Path) -> None:
        # Another living collection's file may go meanwhile. Another user's, and a folder, stay.
        with suppress(FileNotFoundError, PermissionError, IsADirectoryError):
            try:
                with open_file(aside) as stream:
                    digest = Digest.of_stream(stream)
            except NoFileError:
                aside.unlink()
                return
            self._put_back(aside, digest)


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
        temporary = self._temporaries / secrets.token_hex(12)
        passing = Hashed(chunks_of(stream, size))
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            # Buffered: an unbuffered write to a full disk takes what fits and says so only in its result.
            with os.fdopen(fd, "wb") as out:
                if self._store.shared is not None:
                    os.fchmod(fd, self._store.shared & 0o444)
                out.writelines(passing)
            digest = passing.digest
            if digest in self._waiting:
                temporary.unlink()
            elif self._renewed(digest, temporary):
                temporary.unlink()
                self._there.add(digest)
            else:
                self._waiting[digest] = temporary
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return digest

    def _renewed(self, digest: Digest, good: Path) -> bool:
        """Whether the blob is there with the same bytes; then it is made young, so that none collects it."""
        try:
            with self._store.open(digest) as there, good.open("rb") as stream:
                same = _same(there, stream)
                if same:
                    os.utime(there.fileno())  # by the file system's clock
        except AbsentBlobError:
            return False
        except DamagedBlobError:
            same = False
        except PermissionError:  # another user's: written again, under our name
            return False
        except StoreError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
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
