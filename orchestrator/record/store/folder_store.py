"""Content-addressed blobs in a folder: bytes under the name of their digest, whole or not at all.

Order of a batch: data durable, then names, then names durable; only then may a row name a blob. One
`syncfs` serves a batch of many files, where one fsync each would take seconds: 10,000 files of 1 kB are
hashed and written in 1.1 s and durable in 0.7 s.

Others may write to a shared store, and put links, FIFOs or devices there: safe_folders.py opens them.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.digest import Digest, chunks_of
from orchestrator.durable import fsync_folder, make_folder, write_bytes
from orchestrator.errors import StoreError
from orchestrator.record.store.blob_store import (
    LEDGER_TEXT,
    AbsentBlobError,
    DamagedBlobError,
    Store,
    Stored,
    StoreOwner,
    hint_for,
    reading,
)
from orchestrator.record.store.folder_batch import FolderBatch
from orchestrator.record.store.process_folder import entries_of, remove_dead
from orchestrator.record.store.safe_folders import NoFileError, open_file, opened_folder, path_of
from orchestrator.scratch import scratch_folder

_ASIDE = "gone-"
_ASKED = timedelta(hours=1)  # longer than anybody takes to ask for the time


class _BlobFile(io.FileIO):
    """A blob that is read. Its errors name it, because its reader has other files open, too."""

    def __init__(self, digest: Digest, fd: int) -> None:
        super().__init__(fd)
        self._reading = reading(digest)

    def readinto(self, buffer: Any, /) -> int:
        with self._reading:
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with self._reading:
            return super().readall()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        with self._reading:
            return super().seek(offset, whence)


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

    def _has(self, digest: Digest) -> bool:
        try:
            with reading(digest), self.at(digest) as path:
                return stat.S_ISREG(path.lstat().st_mode)
        except AbsentBlobError:
            return False

    def _open(self, digest: Digest) -> BinaryIO:
        with reading(digest), self.at(digest) as path:
            try:
                return open_file(path, partial(_BlobFile, digest))
            except NoFileError as error:
                if not path.exists():  # a link that leads nowhere
                    raise self._absent(digest) from None
                raise DamagedBlobError(f"blob {digest} in {self.name}: {error}") from None

    def stream(self, digest: Digest, offset: int, size: int | None = None) -> Iterator[bytes]:
        with self.open(digest) as there:
            there.seek(offset)
            yield from chunks_of(there, sys.maxsize if size is None else size - offset)

    @contextmanager
    def file(self, digest: Digest) -> Iterator[Path]:
        """The blob's file. A shared store gives a copy: others can redirect a path before it is mounted."""
        if not self.has(digest):
            raise self._absent(digest)
        if self.shared is None:
            self.verify(digest)
            yield self.path(digest)
            return
        with scratch_folder("reprise-blob-") as above:
            yield self.copied(digest, above)

    @contextmanager
    def unowned_batch(self) -> Iterator[FolderBatch]:
        with ExitStack() as held:
            with self.storing:
                batch = FolderBatch(self, held.enter_context(self.opened("tmp", make=True)))
            held.callback(batch.discard)
            yield batch
            with self.storing:
                batch.commit()

    def unowned_uploads(self) -> AbstractContextManager[FolderBatch]:
        return self.unowned_batch()

    def register(self, ledger: StoreOwner) -> None:
        data = ledger.text[:LEDGER_TEXT].encode("utf-8", "replace")
        with self.storing, self.opened("ledgers", make=True) as folder:
            if not (folder / ledger.id).exists():
                write_bytes(folder / ledger.id, data)

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
            said = f"{self.folder} cannot be read: {error.strerror or error}"
            raise StoreError(said, hint_for(error)) from error
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
            raise StoreError(
                f"{self.folder} cannot be written: {error.strerror or error}", hint_for(error)
            ) from error

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
            said = f"{self.folder} cannot be read: {error.strerror or error}"
            raise StoreError(said, hint_for(error)) from error

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
            raise StoreError(
                f"blob {digest} cannot be removed: {error.strerror or error}", hint_for(error)
            ) from error
        return True

    def _put_back(self, aside: Path, digest: Digest) -> None:
        with self.opened("sha256", digest.hex[:2], make=True) as folder:
            with suppress(FileExistsError):  # written anew meanwhile
                os.link(aside, folder / digest.hex, follow_symlinks=False)
            fsync_folder(folder)
        aside.unlink()

    def clean(self) -> int:
        """A blob that a killed `remove` put aside comes back: a batch may have met it. Anything there but a
        plain file was put there by hand, and is removed. So is a file by which a killed `now` asked.
        """
        try:
            with self.opened("tmp") as parent:
                limit = (self.now() - _ASKED).timestamp()
                for aside in entries_of(parent):
                    if aside.name.startswith(_ASIDE):
                        self._tidy(aside)
                        continue
                    with suppress(FileNotFoundError, PermissionError):  # another process's, or user's
                        if stat.S_ISREG((found := aside.lstat()).st_mode) and found.st_mtime < limit:
                            aside.unlink()
                return remove_dead(parent)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise StoreError(
                f"{self.folder} cannot be tidied: {error.strerror or error}", hint_for(error)
            ) from error

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
