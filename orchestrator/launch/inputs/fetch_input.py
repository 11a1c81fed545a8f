"""An input by its digest: from this box's cache, or out of the store into it: checked, several files at once,
and gone on with after a kill."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from operator import itemgetter
from pathlib import Path
from typing import NoReturn

from orchestrator.digest import Digest, chunks_of
from orchestrator.disk_room import Room, hint_after
from orchestrator.errors import StoreError, UsageError
from orchestrator.launch.crash_points import crash_point
from orchestrator.launch.inputs.cache_room import make_room
from orchestrator.launch.inputs.input_cache import InputCache, entries_in, holds_list
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.store.blob_store import AbsentBlobError, DamagedBlobError
from orchestrator.scratch import scratch_folder
from orchestrator.several_at_once import FEW, LARGE, Stop, Turns, each, in_parts
from orchestrator.spec.folder_list import FileEntry
from orchestrator.spec.input_stamps import READABLE

AT_ONCE = 8  # files that are fetched at the same time
SMALL = 1 << 20  # bytes of a file that is held in memory; of a larger one, what came before a kill is kept
LOOKED_AT = 1 << 30  # bytes: a blob up to this is read to tell whether it or a list is wrong
_SENT_AGAIN = "`submit --rehash` where the data is puts it there again"


class AbsentInputError(UsageError):
    """Neither this box's cache nor the store has the input."""


def materialise(
    session: Session, digest: Digest, watch: Watch, *, run: str | None = None, stop: Stop | None = None
) -> Path:
    """Where the input with this digest lies on this box: a file, or a folder, both read-only and checked.

    `run`: an open run of this box, whose lock the caller has: nothing of the input goes before its end.
    Without one it can go at once, to make room: see `materialised`. Two processes that want one input fetch
    it once. `stop` ends reading and fetching. AbsentInputError: no place has it. StoreError: the store fails,
    or has other bytes, or the disk is full; what came so far is kept for the next try.
    """
    with materialised(session, digest, watch, stop) as path:
        if run is not None:
            with _failing_as_cache(session, digest):
                session.inputs.pin(run, [digest])
        return path


@contextmanager
def materialised(session: Session, digest: Digest, watch: Watch, stop: Stop | None = None) -> Iterator[Path]:
    """As `materialise`. While it is entered, nobody takes the input away; others who want it wait."""
    stop = stop or Stop()
    cache = session.inputs.until(stop)
    with ExitStack() as held:
        with _failing_as_cache(session, digest):
            held.enter_context(cache.holding(digest))
            stop.check()
            path, wrong = cache.find(digest)
            for text in wrong:
                watch.note(f"{text}; it is fetched again")
            if path is None:
                path = _fetched(session, cache, digest, watch, stop)
            cache.used(digest)
        yield path


@contextmanager
def _failing_as_cache(session: Session, digest: Digest) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = hint_after(error, "make room on the disk, or set REPRISE_CACHE_SIZE lower")
        said = f"input {digest} could not be kept in {session.inputs.folder}: {error}"
        raise StoreError(said, hint) from error


def copy_out(session: Session, digest: Digest, target: Path, watch: Watch) -> None:
    """Copy an input to a path that does not exist yet: a file, or a folder, that the caller may write to.

    UsageError: something is there already. Otherwise as `materialise`.
    """
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} is there already", "name a path that does not exist yet")
    with materialised(session, digest, watch) as source:
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(".reprise-get-", target.parent) as above:  # half a copy never has the name
            made = above / "whole"
            _copy_folder(source, made) if source.is_dir() else shutil.copyfile(source, made)
            made.rename(target)
    except OSError as error:
        hint = hint_after(error, "make room on the disk")
        raise StoreError(f"{target} could not be written: {error}", hint) from error


def _copy_folder(source: Path, made: Path) -> None:
    """The first error ends it: `copytree` collects one for each file that a full disk does not take."""
    waiting = [(source, made)]
    for here, there in waiting:
        there.mkdir()
        for path in here.iterdir():
            if path.is_dir():
                waiting.append((path, there / path.name))
            else:
                shutil.copyfile(path, there / path.name)


def _fetched(session: Session, cache: InputCache, digest: Digest, watch: Watch, stop: Stop) -> Path:
    incoming = cache.incoming(digest)
    transfer = _Fetching(session, cache, digest, watch, stop)
    if not cache.has_come(incoming, digest.hex):
        size = _size_in_store(session, digest)
        watch.phase("fetch", digest)
        transfer.fetch([(digest.hex, size)], f"input {digest}")
    if holds_list(incoming / digest.hex):
        transfer.fetch(_lacking(cache, digest, incoming).items(), f"input {digest}")
    return cache.keep(digest)


def _lacking(cache: InputCache, digest: Digest, incoming: Path) -> dict[str, int]:
    """The files of a folder that have not come: hex digits -> bytes. FalseListError."""
    lacking: dict[str, int] = {}
    for entry in entries_in(incoming / digest.hex):
        if entry.hex in lacking:
            _compare(digest, entry, lacking[entry.hex], "the list also says")
        elif cache.has_come(incoming, entry.hex):
            _compare(digest, entry, (incoming / entry.hex).stat().st_size, "that file has")
        else:
            lacking[entry.hex] = entry.size
    return lacking


class FalseListError(StoreError):
    """The list of a folder gives a file another size than the file with that SHA-256 has."""


def _compare(digest: Digest, entry: FileEntry, size: int, by: str) -> None:
    """FalseListError unless the entry of a list has this size in bytes; `by`: who says so."""
    if entry.size != size:
        raise FalseListError(
            f"the list of input {digest} is false: {entry.shown} is to have SHA-256 {entry.hex} and "
            f"{entry.size} bytes, and {by} {size}",
            "no folder has this digest, so no copy of it helps: submit the job anew where its data is, "
            "which gives the input another digest",
        )


def _size_in_store(session: Session, digest: Digest) -> int:
    """Bytes of the input's own blob. AbsentInputError."""
    try:
        with session.store.open(digest) as stream:
            return stream.seek(0, os.SEEK_END)
    except AbsentBlobError:
        if session.settings.shares_store:
            session.store.check_there()
        raise AbsentInputError(
            f"input {digest} is neither in this box's cache nor in the store {session.store.name}",
            "submit the job once where the data is, with REPRISE_STORE set; or bring it: --input NAME=PATH",
        ) from None


class _Fetching:
    """Blobs of one input from the store into its incoming folder."""

    def __init__(self, session: Session, cache: InputCache, digest: Digest, watch: Watch, stop: Stop) -> None:
        self._session, self._cache, self._watch = session, cache, watch
        self._input, self._incoming = digest, cache.incoming(digest)
        self._lock, self._stop, self._turns = threading.Lock(), Stop(stop), Turns()
        self._done = self._total = 0
        self._room: Room | None = None

    def fetch(self, wanted: Iterable[tuple[str, int]], what: str) -> None:
        """Blobs by their hex digits and sizes in bytes, several at once. The first error ends it."""
        files = list(wanted)
        if not files:
            return
        self._done, self._total = 0, sum(size for _, size in files)
        needed = self._total - sum(self._kept(hex_, size) for hex_, size in files if size > SMALL)
        self._room = make_room(self._session.settings, self._cache, needed, what)
        each(self._part, in_parts(files, itemgetter(1), FEW, LARGE), AT_ONCE, self._stop)

    def _part(self, part: list[tuple[str, int]]) -> None:
        with self._turns.turn(size for _, size in part), self._stop:
            for hex_, size in part:
                self._one(hex_, size)
        if len(part) > 1:  # not the list alone
            crash_point("input fetched")

    def _begun(self, hex_: str) -> Path:
        return self._incoming / f"{hex_}.part"

    def _kept(self, hex_: str, size: int) -> int:
        """Bytes of a large blob that came before a kill: the disk has them already."""
        try:
            found = self._begun(hex_).stat().st_size
        except FileNotFoundError:
            return 0
        return found if found <= size else 0

    def _one(self, hex_: str, size: int) -> None:
        """A blob, whole and checked under its name, or not at all. Other bytes: the errors of `_refuse`."""
        self._stop.check()
        digest = Digest(f"sha256:{hex_}")
        if size <= SMALL:
            self._small(digest, size)
            return
        begun = self._begun(hex_)
        kept = begun.exists()
        if kept:
            begun.chmod(0o600)  # if it was whole when the kill came, it is read-only
        right = self._go_on(begun, digest, size)
        if not right and kept:  # perhaps only the part that was kept is wrong: all of it once more
            right = self._go_on(begun, digest, size)
        if not right:
            self._refuse(digest, size)
        begun.chmod(READABLE)  # by the job's user; and nobody writes it
        begun.rename(self._incoming / hex_)

    def _go_on(self, begun: Path, digest: Digest, size: int) -> bool:
        """Write what a file lacks. Whether it is whole then; if not, it is removed."""
        hasher, offset = sha256(), 0
        with begun.open("ab+") as out:
            if 0 < out.tell() <= size:
                out.seek(0)
                for chunk in chunks_of(out):
                    hasher.update(chunk)
                    offset += len(chunk)
                    self._moved(len(chunk))
            else:
                out.truncate(0)
            if offset < size:
                for piece in self._stream(digest, offset, size):
                    part = memoryview(piece)[: size - offset + 1]
                    out.write(part)
                    hasher.update(part)
                    offset += len(part)
                    self._moved(len(part))
                    if offset > size:
                        break
        if hasher.hexdigest() == digest.hex and offset == size:
            return True
        begun.unlink()
        self._moved(-offset)
        return False

    def _small(self, digest: Digest, size: int) -> None:
        """As `_one`, by way of memory: half a file that a kill leaves is found when it is looked at."""
        parts, count = [], 0
        for piece in self._stream(digest, 0, size):
            parts.append(bytes(piece[: size - count + 1]))
            count += len(parts[-1])
            if count > size:
                break
        data = b"".join(parts)
        if sha256(data).hexdigest() != digest.hex or count != size:
            self._refuse(digest, size)
        fd = os.open(
            f"{self._incoming}/{digest.hex}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400
        )
        with os.fdopen(fd, "wb") as out:
            os.fchmod(fd, READABLE)  # by the job's user, from before a kill can leave it with all its bytes
            out.write(data)
        self._moved(size)

    def _stream(self, digest: Digest, offset: int, size: int) -> Iterator[bytes | memoryview]:
        try:
            yield from self._session.store.stream(digest, offset, size)
        except AbsentBlobError:
            if self._session.settings.shares_store:
                self._session.store.check_there()
            said = f"blob {digest} is not in {self._session.store.name}{self._as_file(self._entry(digest))}"
            raise AbsentBlobError(said, _SENT_AGAIN) from None

    def _refuse(self, digest: Digest, size: int) -> NoReturn:
        """Say what is wrong where a blob has not the bytes and the size that were expected.

        FalseListError: the blob is whole, and the list has another size. DamagedBlobError.
        """
        store, entry = self._session.store, self._entry(digest)
        with store.open(digest) as stream:
            found = stream.seek(0, os.SEEK_END)
        if entry is not None and found != size and found <= LOOKED_AT and store.is_whole(digest):
            _compare(self._input, entry, found, f"in {store.name} that file has")
        sizes = "" if found == size else f", with {found} bytes in place of {size}"
        raise DamagedBlobError(
            f"blob {digest} has other bytes{sizes}: it was altered in {store.name}, or is damaged"
            f"{self._as_file(entry)}",
            _SENT_AGAIN,
        )

    def _entry(self, digest: Digest) -> FileEntry | None:
        """The first file of the folder with this digest; None where the blob is the input itself."""
        if digest == self._input:
            return None
        entries = entries_in(self._incoming / self._input.hex)
        return next((entry for entry in entries if entry.hex == digest.hex), None)

    def _as_file(self, entry: FileEntry | None) -> str:
        return "" if entry is None else f"; it is {entry.shown} of input {self._input}"

    def _moved(self, count: int) -> None:
        self._stop.check()
        with self._lock:
            self._done += count
            if self._room is not None and count > 0:
                self._room.wrote(count)
            self._watch.moved(self._done, self._total)
