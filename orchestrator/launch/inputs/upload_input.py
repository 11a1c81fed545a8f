"""An input of this box into the store: by file, each once, several at once, gone on with after a kill."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Self

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.launch.crash_points import crash_point
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.store.blob_store import OtherBytesError, Uploads
from orchestrator.record.store.input_trees import held_list
from orchestrator.several_at_once import FEW, LARGE, Stop, Turns, each, in_parts
from orchestrator.spec.inputs import InputData, listing, open_input, read_input
from orchestrator.spec.plain_file import open_plain

AT_ONCE = 8  # files
# What becomes durable together: after a kill, so much is sent again at most, and one larger file.
PART_FILES = 4000
PART_BYTES = 1 << 30
SOON = 3600.0  # seconds: no collection takes what is younger, unless a person asks for that


def put_input(
    session: Session, path: Path, watch: Watch, *, data: InputData | None = None, thorough: bool = False
) -> InputData:
    """Put a file or a folder into the store, as far as the store lacks it. Returns its digest and files.

    `data`: as it was read just now. `thorough`: each blob that is there is read and compared, and nothing is
    taken from the record. UsageError: it cannot be an input, or changes while it is read. StoreError.
    """
    if data is None:
        data = read_input(path, session.known_hashes)
    if not thorough and is_kept(session, data):
        return data
    watch.phase("upload", str(path))
    if data.folder:
        _put_folder(session, path, data, watch, thorough=thorough)
    else:
        work = _Upload(session, watch, data.size, thorough=thorough)
        work.put_all(path, [(None, data.digest.hex, data.size)])
    return data


def is_kept(session: Session, data: InputData) -> bool:
    """Whether the store has the input and nothing collects it, because the record names it.

    Its own blob is looked for. The files of a folder come before their list, so they are there, too: unless
    the list came as something else, as a file that a job wrote. Then nothing is known of them.
    """
    rows = session.record.everything
    names = rows.named_as_inputs_only if data.folder else rows.named
    return bool(names([data.digest])) and session.store.has(data.digest)


def _put_folder(session: Session, path: Path, data: InputData, watch: Watch, *, thorough: bool) -> None:
    files = [(file.path, file.digest.hex, file.size) for file in data.files]
    if len(files) != data.count:  # a long list: it is not kept with the rest
        try:
            files = listing(path, session.known_hashes)
        except OSError as error:
            raise UsageError(f"{error.filename or path}: {error.strerror}") from error
    with held_list(files) as whole:
        if whole.digest != data.digest:
            raise _changed(path)
        once = {hex_: (name, hex_, size) for name, hex_, size in files}
        work = _Upload(session, watch, sum(size for _, _, size in once.values()), thorough=thorough)
        began = time.monotonic()
        work.put_all(path, list(once.values()))
        while time.monotonic() - began >= SOON:  # no row names the files yet: a collection can take them
            began = time.monotonic()
            gone = _gone(session, once)
            work.lost(gone)
            work.put_all(path, gone)
        whole.put(session.store)


def _gone(session: Session, files: dict[str, tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    there = each(lambda hex_: session.store.has(Digest(f"sha256:{hex_}")), files, AT_ONCE)
    return [file for file, kept in zip(files.values(), there, strict=True) if not kept]


class _Upload:
    """Files of one input on their way."""

    def __init__(self, session: Session, watch: Watch, total: int, *, thorough: bool) -> None:
        self._store, self._watch, self._thorough = session.store, watch, thorough
        self._lock, self._done, self._total = threading.Lock(), 0, total
        self._stop, self._turns = Stop(), Turns()

    def put_all(self, root: Path, files: Sequence[tuple[str | None, str, int]]) -> None:
        """Files: name below `root`, None for `root` itself; SHA-256 in hex; size in bytes."""
        for part in in_parts(files, itemgetter(2), PART_FILES, PART_BYTES):
            with self._store.uploads() as uploads:
                self._put_part(root, part, uploads)
            crash_point("input stored")

    def lost(self, files: Sequence[tuple[str | None, str, int]]) -> None:
        """These were put, and are gone: they are still to come."""
        self._moved(-sum(size for _, _, size in files))

    def _put_part(self, root: Path, files: Sequence[tuple[str | None, str, int]], uploads: Uploads) -> None:
        few = in_parts(files, itemgetter(2), FEW, LARGE)
        each(lambda some: self._put_few(root, some, uploads), few, AT_ONCE, self._stop)

    def _put_few(self, root: Path, files: Sequence[tuple[str | None, str, int]], uploads: Uploads) -> None:
        with self._turns.turn(size for _, _, size in files), self._stop:
            for name, hex_, size in files:
                self._put(root, name, hex_, size, uploads)

    def _put(self, root: Path, name: str | None, hex_: str, size: int, uploads: Uploads) -> None:
        self._stop.check()
        opened = partial(open_plain, root.resolve()) if name is None else partial(open_input, root, name)
        way = _OnItsWay(root / (name or ""), opened, self._moved)
        try:
            uploads.put(Digest(f"sha256:{hex_}"), size, way.begun, thorough=self._thorough)
        except OtherBytesError:
            raise _changed(root if name is None else root / name) from None
        self._moved(size - way.passed)  # what the store had already

    def _moved(self, count: int) -> None:
        self._stop.check()
        with self._lock:
            self._done += count
            self._watch.moved(self._done, self._total)


class _OnItsWay:
    """A file that tells `moved` of each piece as it is read. UsageError where it cannot be read."""

    def __init__(self, path: Path, opened: Callable[[], BinaryIO], moved: Callable[[int], None]) -> None:
        self._path, self._opened, self._moved = path, opened, moved
        self.passed = 0  # bytes

    def begun(self) -> Self:
        with self._reading():
            self._stream = self._opened()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def read(self, size: int, /) -> bytes:
        with self._reading():
            data = self._stream.read(size)
        self.passed += len(data)
        self._moved(len(data))
        return data

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Entered for what touches this file alone: an error of the store is not the file's fault."""
        try:
            yield
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror or error}") from error


def _changed(path: Path) -> UsageError:
    return UsageError(
        f"{path} was changed after it was hashed: the store did not take it",
        "the same command again, when nobody writes to it",
    )
