"""The folder in which an import collects files until all are there, and the folder of imported inputs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestrator.digest import Digest, Hashed, chunks_of
from orchestrator.durable import fsync_folder, locked, make_folder, sync_filesystem
from orchestrator.errors import StoreError, UsageError
from orchestrator.launch.bundles.bundle_form import BundleInput, read_listing
from orchestrator.settings import Settings
from orchestrator.spec.inputs import digest_of


class Staging:
    """A folder of files named by digest. One import at a time has it; it is removed at the end."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home / "imports"
        self._inputs = settings.inputs

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
        """Whether an undamaged copy is here from an earlier import."""
        path = self._inputs / item.digest.hex
        try:
            return path.exists() and path.is_dir() == item.folder and digest_of(path) == item.digest
        except UsageError:  # somebody put a link into it: it is imported again
            return False

    def place_input(self, item: BundleInput) -> None:
        """Move kept files to their place as an input."""
        made = self.folder / f"made-{item.digest.hex}"
        if item.folder:
            made.mkdir(mode=0o755)
            for name, digest, _ in read_listing(self.path(item.digest).read_bytes()):
                target = made / name
                target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                os.link(self.path(digest), target)
        else:
            os.link(self.path(item.digest), made)
        sync_filesystem(self.folder)
        make_folder(self._inputs)
        target = self._inputs / item.digest.hex
        if target.exists() or target.is_symlink():  # damaged: `has_input` said so
            target.rename(self.folder / f"damaged-{item.digest.hex}")
        made.rename(target)
        fsync_folder(self._inputs)


@contextmanager
def staging(settings: Settings) -> Iterator[Staging]:
    """An empty folder under REPRISE_HOME, without what a killed import left. StoreError if the disk fails."""
    made = Staging(settings)
    try:
        make_folder(settings.home)
        with locked(settings.home / "imports.lock"):
            shutil.rmtree(made.folder, ignore_errors=True)
            made.folder.mkdir(mode=0o755)
            try:
                yield made
            finally:
                shutil.rmtree(made.folder, ignore_errors=True)
    except OSError as error:
        raise StoreError(
            f"the bundle could not be brought in: {error}", f"{settings.home} needs room for all of it"
        ) from error
