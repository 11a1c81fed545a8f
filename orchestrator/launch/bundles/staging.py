"""The folder in which an import collects files until all are there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestrator.digest import Digest, Hashed, chunks_of
from orchestrator.disk_room import hint_after
from orchestrator.durable import locked, make_folder
from orchestrator.errors import StoreError
from orchestrator.launch.bundles.bundle_form import BundleInput, read_listing
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.inputs.input_cache import InputCache, holds_list, link
from orchestrator.settings import Settings

_PIN = "import"  # in place of a run's id, which is hexadecimal


class Staging:
    """A folder of files named by digest. One import at a time has it; it is removed at the end."""

    def __init__(self, settings: Settings, cache: InputCache) -> None:
        self.folder = settings.home / "imports"
        self._cache = cache

    def path(self, digest: Digest) -> Path:
        return self.folder / digest.hex

    def keep(self, stream: BinaryIO, size: int) -> Digest:
        """Keep a stream's bytes under their own digest, which is returned for comparison."""
        passing = Hashed(chunks_of(stream, size))
        unnamed = self.folder / "unnamed"
        with unnamed.open("wb") as out:
            out.writelines(passing)
        digest = passing.digest
        unnamed.chmod(0o444)  # the job's user can read an input, and nobody can write it
        unnamed.replace(self.path(digest))
        return digest

    def has_input(self, item: BundleInput) -> bool:
        """Whether an undamaged copy is in the cache of inputs. Nobody takes it away before the import's end,
        and then it is the last that goes.
        """
        with self._cache.holding(item.digest):
            self._cache.pin(_PIN, [item.digest])
            if self._cache.find(item.digest)[0] is None:
                return False
            self._cache.used(item.digest)
            return True

    def place_input(self, item: BundleInput) -> None:
        """Put kept files into the cache of inputs."""
        with self._cache.holding(item.digest):
            incoming = self._cache.incoming(item.digest)
            names = {item.digest}
            if item.folder:
                names |= {entry.digest for entry in read_listing(self.path(item.digest).read_bytes())}
            for digest in names:
                target = incoming / digest.hex
                target.unlink(missing_ok=True)
                link(self.path(digest), target)
            if holds_list(incoming / item.digest.hex) != item.folder:
                raise StoreError(
                    f"the bundle calls input {item.digest} a file, and its bytes are the list of a folder",
                    "export it again where it came from",
                )
            self._cache.keep(item.digest)


@contextmanager
def _pinning(settings: Settings, cache: InputCache) -> Iterator[None]:
    """While entered, what is pinned in the import's name stays. A killed import's pin goes by itself."""
    while True:
        with run_lock(settings, _PIN) as free:  # for a moment, another process may be looking whether it is
            if free:
                try:
                    yield
                finally:
                    cache.unpin(_PIN)
                return
        time.sleep(0.01)


@contextmanager
def staging(settings: Settings, cache: InputCache) -> Iterator[Staging]:
    """An empty folder under REPRISE_HOME, without what a killed import left. StoreError if the disk fails."""
    made = Staging(settings, cache)
    try:
        make_folder(settings.home)
        with locked(settings.home / "imports.lock"), _pinning(settings, cache):
            shutil.rmtree(made.folder, ignore_errors=True)
            made.folder.mkdir(mode=0o755)
            try:
                yield made
            finally:
                shutil.rmtree(made.folder, ignore_errors=True)
    except OSError as error:
        hint = hint_after(error, f"{settings.home} needs room for all of it")
        raise StoreError(f"the bundle could not be brought in: {error}", hint) from error
