"""Input data on this box, by digest: fetched once, checked, read-only, linked into place.

    inputs/files/ab/<hex>   the bytes of one file, or the list of a folder, by their digest
    inputs/trees/<hex>/     a folder as a job sees it: links to such files
    inputs/incoming/<hex>/  what an input that is being fetched has so far, each file by its digest
    inputs/uses/<hex>       an input; its time is that of its last use
    inputs/pins/RUN         the inputs that an open run of this box uses, or an import
    inputs/locks/<hex>      held while an input is fetched, checked or removed

A file's hash is believed as long as its stamp is the one that it got when it was checked (known_hashes.py). A
link more to it, or less, changes its stamp; whoever makes one keeps the new stamp.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path

from orchestrator.digest import CHUNK, Digest, chunks_of
from orchestrator.durable import locked, make_folder, sync_filesystem, write_bytes
from orchestrator.errors import StoreError, UsageError
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.settings import Settings
from orchestrator.several_at_once import Stop
from orchestrator.spec.folder_list import FileEntry, is_list, may_be_list, read_list
from orchestrator.spec.input_stamps import READABLE, look_at
from orchestrator.spec.inputs import read_input
from orchestrator.spec.known_hashes import KnownHashes

_MOST_PIN = 1 << 20  # bytes
_TREE = "tree"
_ALWAYS = 1 << 62  # a moment later than any: our own files need no margin, as nobody else writes them


class InputCache:
    """`find` and `keep` are for a caller that holds the input (`holding`)."""

    def __init__(self, settings: Settings, known: KnownHashes, stop: Stop | None = None) -> None:
        """`stop` ends the reading of files."""
        self.folder = settings.inputs
        self._files = self.folder / "files"
        self._settings, self._known, self._stop = settings, known, stop or Stop()

    def until(self, stop: Stop) -> InputCache:
        """The same cache, for work that `stop` ends."""
        return InputCache(self._settings, self._known, stop)

    def file(self, digest: str) -> Path:
        """Where the file with this digest, or its hex digits, lies."""
        return Path(self._place(digest.removeprefix("sha256:")))

    def _place(self, hex_: str) -> str:
        """As `file`. A path of each of 100,000 files costs seconds as an object."""
        return f"{self._files}/{hex_[:2]}/{hex_}"

    def tree(self, digest: Digest) -> Path:
        return self.folder / "trees" / digest.hex

    def use_of(self, digest: Digest) -> Path:
        return self.folder / "uses" / digest.hex

    @contextmanager
    def holding(self, digest: Digest) -> Iterator[None]:
        """Wait until no other process fetches, checks or removes this input; then they wait for us."""
        make_folder(self.folder / "locks")
        with locked(self.folder / "locks" / digest.hex):
            yield

    def has(self, digest: Digest) -> bool:
        """Whether it was put here; nothing is checked."""
        return self.use_of(digest).exists()

    def find(self, digest: Digest) -> tuple[Path | None, list[str]]:
        """Where the input is, checked, and what was wrong with it. What has other bytes is removed."""
        if not self.has(digest):
            return None, []
        if not self.is_whole(digest.hex):
            self._drop(digest)
            return None, [f"the copy of {digest} in {self.folder} had other bytes"]
        if not self.is_folder(digest):
            self._known.save(self._known.moment())
            return self.file(digest), []
        tree = self.tree(digest)
        if self._holds(tree, digest):
            return tree, []
        bad = [entry.path for entry in self.files(digest) if not self.is_whole(entry.hex)]
        self._drop(digest)
        return None, [f"{path} of {digest} in {self.folder} had other bytes" for path in bad[:3]] or [
            f"the copy of {digest} in {self.folder} was altered"
        ]

    def _holds(self, tree: Path, digest: Digest) -> bool:
        """Whether the tree has the input's files, readable. False where it is gone, or has a link in it."""
        try:
            look = look_at(tree)
            return look.readable and read_input(tree, self._known, look, self._stop).digest == digest
        except UsageError:
            return False

    def is_folder(self, digest: Digest) -> bool:
        """Whether the cached bytes, which were checked, are the list of a folder."""
        return holds_list(self.file(digest))

    def files(self, digest: Digest) -> Iterator[FileEntry]:
        """The files of a folder whose list is here and was checked."""
        return entries_in(self.file(digest))

    def is_whole(self, hex_: str) -> bool:
        """Whether the file is here with its digest's bytes; one that has others is removed."""
        return self.checked(self.file(hex_), hex_)

    def checked(self, path: Path, hex_: str) -> bool:
        """Whether a file of the cache has these bytes; one that has others is removed.

        What a list says of its size is not asked: a list that lies must not remove a good file. A kill can
        have left a file before the job's user could read it.
        """
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                path.rename(self._aside())
                return False
            if found.st_mode & READABLE != READABLE:
                path.chmod(READABLE)
                found = path.lstat()
            if self._known.file(found) == hex_:
                return True
            with path.open("rb") as stream:
                right = Digest.of_chunks(self._stop.passing(chunks_of(stream))).hex == hex_
        except FileNotFoundError:
            return False
        if not right:
            path.unlink(missing_ok=True)
            return False
        self._known.learn(found, hex_, _ALWAYS)
        return True

    def incoming(self, digest: Digest) -> Path:
        """The folder in which the files of an input are gathered; a killed command's is gone on with."""
        folder = self.folder / "incoming" / digest.hex
        make_folder(folder)
        shutil.rmtree(folder / _TREE, ignore_errors=True)
        return folder

    def has_come(self, folder: Path, hex_: str) -> bool:
        """Whether a file is in an incoming folder, checked; it is linked there from the cache."""
        if not os.path.lexists(f"{folder}/{hex_}") and not os.path.lexists(self._place(hex_)):
            return False
        path = folder / hex_
        if self.checked(path, hex_):
            return True
        try:
            link(self.file(hex_), path)  # then nobody takes it away
        except FileNotFoundError:
            return False
        if self.checked(path, hex_):
            return True
        self.file(hex_).unlink(missing_ok=True)
        return False

    def keep(self, digest: Digest) -> Path:
        """Make an input of the files in its incoming folder, which are all there and were checked.

        Returns where it is.
        """
        incoming = self.incoming(digest)
        folder = holds_list(incoming / digest.hex)
        path = self.tree(digest) if folder else self.file(digest)
        with locked(self.folder / "lock"):  # nobody takes a file away before it has its link
            self._share(incoming)
            if folder:
                _link_tree(incoming, digest)
                self.remove_tree(digest)
                make_folder(path.parent)
                (incoming / _TREE).rename(path)
            self._move_in(incoming)
            self.used(digest)
        sync_filesystem(self.folder)  # before a stamp says that the bytes are good
        shutil.rmtree(incoming)
        self._learn(digest, path)
        return path

    def _move_in(self, incoming: Path) -> None:
        """Give the files that the cache lacks their places in it, not yet durably."""
        make_folder(self._files)
        mode = self._files.stat().st_mode & 0o777
        names = sorted(path.name for path in incoming.iterdir())
        for prefix, some in groupby(filter(_is_hex, names), key=lambda name: name[:2]):
            (self._files / prefix).mkdir(mode=mode, exist_ok=True)
            for name in some:
                if not os.access(self._place(name), os.F_OK):
                    Path(f"{incoming}/{name}").rename(self._place(name))

    def _share(self, incoming: Path) -> None:
        """Take, for each incoming file, the one that another input brought into the cache meanwhile.

        That one has its bytes read first: this input is kept under its name, and nobody checked it for that.
        """
        with os.scandir(incoming) as entries:
            ours = [entry for entry in entries if _is_hex(entry.name)]
        for entry in ours:
            try:
                other = os.lstat(self._place(entry.name)).st_ino != entry.inode()
            except FileNotFoundError:
                continue
            there = self.file(entry.name)
            if other and self.checked(there, entry.name):
                Path(entry.path).unlink()
                link(there, entry.path)

    def _learn(self, digest: Digest, path: Path) -> None:
        """Keep the stamps of files that were checked, so that they are not read again."""
        self._known.learn(self.file(digest).stat(), digest.hex, _ALWAYS)
        if path != self.file(digest):
            for entry in self.files(digest):
                self._known.learn(os.lstat(f"{path}/{entry.path}"), entry.hex, _ALWAYS)
        self._known.save(self._known.moment())
        look = look_at(path)
        data = read_input(path, self._known, stop=self._stop)
        if data.digest != digest:
            raise StoreError(f"{path} has other bytes than were put there", "is its disk in order?")
        self._known.learn_tree(look.stamp, 0, data.model_dump_json().encode(), self._known.moment())

    def relearn(self, hexes: Iterable[str]) -> None:
        """Keep the new stamps of files that have a link less than before."""
        for hex_ in hexes:
            with suppress(FileNotFoundError):
                self._known.learn(self.file(hex_).stat(), hex_, _ALWAYS)
        self._known.save(self._known.moment())

    def is_known(self, hex_: str, found: os.stat_result) -> bool:
        return self._known.file(found) == hex_

    def used(self, digest: Digest) -> None:
        make_folder(self.folder / "uses")
        self.use_of(digest).touch()

    def pin(self, run: str, digests: Iterable[Digest]) -> None:
        """Nothing of these goes while the run is open. For a caller that has the run's lock (`run_lock`)."""
        pin = self.folder / "pins" / run
        make_folder(pin.parent)
        write_bytes(pin, json.dumps(sorted(_pinned(pin) | {digest.hex for digest in digests})).encode())

    def unpin(self, run: str) -> None:
        (self.folder / "pins" / run).unlink(missing_ok=True)

    def pinned(self) -> set[str]:
        """Hex digits of inputs that open runs of this box use. Pins of runs that are over are removed."""
        found: set[str] = set()
        for pin in names_in(self.folder / "pins"):
            if pin.name.startswith("."):  # of a command that was killed, or is writing
                continue
            self._remove_old(pin)
            found |= _pinned(pin)
        return found

    def _remove_old(self, pin: Path) -> None:
        """Remove a pin if no process of this box is at its run, and none of the run's folders is left.

        While we have the run's lock nobody begins it again, and pins anew.
        """
        if not self._has_attempts(pin.name):
            with run_lock(self._settings, pin.name) as free:
                if free and not self._has_attempts(pin.name):
                    pin.unlink(missing_ok=True)

    def _has_attempts(self, run: str) -> bool:
        return any(self._settings.attempts.glob(f"{run}-*"))

    def remove_tree(self, digest: Digest) -> None:
        """Remove a folder's links. First its name goes: half a tree is never taken for one."""
        with suppress(FileNotFoundError):
            aside = self._aside()
            self.tree(digest).rename(aside)
            shutil.rmtree(aside)

    def _drop(self, digest: Digest) -> None:
        self.use_of(digest).unlink(missing_ok=True)
        self.remove_tree(digest)

    def _aside(self) -> Path:
        make_folder(self.folder / "gone")
        return self.folder / "gone" / secrets.token_hex(8)


def _is_hex(name: str) -> bool:
    return Digest.parse(f"sha256:{name}") is not None


def _pinned(pin: Path) -> set[str]:
    try:
        with pin.open("rb") as stream:
            return set(map(str, json.loads(stream.read(_MOST_PIN))))
    except (FileNotFoundError, ValueError, TypeError):
        return set()


def holds_list(path: Path) -> bool:
    """Whether the bytes of a file are the list of a folder."""
    with path.open("rb") as stream:
        if not may_be_list(stream.read(3), os.fstat(stream.fileno()).st_size):
            return False
        stream.seek(0)
        return is_list(stream)


def entries_in(path: Path) -> Iterator[FileEntry]:
    """The files that a list names. ValueError where these bytes are not such a list."""
    with path.open("rb") as stream:
        yield from read_list(stream)


def _link_tree(incoming: Path, digest: Digest) -> None:
    made, above = incoming / _TREE, ""
    made.mkdir()
    for entry in entries_in(incoming / digest.hex):
        parent = entry.path.rpartition("/")[0]
        if parent != above:
            (made / parent).mkdir(parents=True, exist_ok=True)
            above = parent
        link(f"{incoming}/{entry.hex}", f"{made}/{entry.path}")
    for folder, _, _ in os.walk(made):
        Path(folder).chmod(0o755)  # whatever the umask is: the job's user is another one


def link(source: str | Path, target: str | Path) -> None:
    """A link, or a copy where the file system takes no further link to one file."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.EPERM, errno.ENOTSUP):
            raise
        with Path(source).open("rb") as stream, Path(target).open("xb") as out:
            shutil.copyfileobj(stream, out, CHUNK)
            os.fchmod(out.fileno(), READABLE)


def names_in(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
