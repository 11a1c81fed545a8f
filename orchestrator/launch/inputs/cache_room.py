"""Room in the cache of inputs: the least recently used go first, and never what an open run uses."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.disk_room import RESERVE, Room, nearest_folder
from orchestrator.durable import locked
from orchestrator.errors import UsageError
from orchestrator.launch.inputs.input_cache import InputCache, names_in
from orchestrator.settings import Settings
from orchestrator.spec.sizes import parse_size

SHARE = 4  # of the disk: by default the cache may have one part in so many


def make_room(settings: Settings, cache: InputCache, needed: int, what: str) -> Room:
    """Remove inputs until `needed` bytes more fit limit and disk. Returns the check for writing them.

    The limit gives way to what open runs use. StoreError where the disk has no room for `needed`.
    """
    limit, place = limit_of(settings), nearest_folder(settings.inputs)
    _clear(cache)
    taken = size_of(cache)
    fits = needed + RESERVE <= taken + shutil.disk_usage(place).free
    for digest in _oldest_first(cache) if fits else ():
        if taken + needed <= limit and needed + RESERVE <= shutil.disk_usage(place).free:
            break
        taken -= remove(cache, digest)
    return Room(what, {settings.inputs: needed})


def limit_of(settings: Settings) -> int:
    """Bytes that the cache may have. UsageError for a setting that is no size."""
    if settings.cache_size is not None:
        try:
            return parse_size(settings.cache_size)
        except ValueError:
            said = f"REPRISE_CACHE_SIZE {settings.cache_size[:100]!r} is no size"
            raise UsageError(said, "such as 200GB") from None
    return shutil.disk_usage(nearest_folder(settings.inputs)).total // SHARE


def size_of(cache: InputCache) -> int:
    """Bytes of all files in the cache. 100,000 of them take 0.3 s."""
    whole = sum(found.st_size for _, found in _stored(cache))
    return whole + sum(_incoming(cache, one.name) for one in names_in(cache.folder / "incoming"))


def _incoming(cache: InputCache, hex_: str) -> int:
    """Bytes that came of an input, beside those that the cache has."""
    came = 0
    for path in names_in(cache.folder / "incoming" / hex_):
        with suppress(FileNotFoundError):  # whoever fetches it gives it its name just now
            found = path.lstat()
            came += found.st_size if found.st_nlink == 1 else 0
    return came


def remove(cache: InputCache, digest: Digest) -> int:
    """Remove an input, and its files that no other input uses: the number of bytes that became free.

    Nothing is removed while another process holds the input, or an open run uses it.
    """
    with _try_to_hold(cache, digest) as held, locked(cache.folder / "lock"):
        if not held or digest.hex in cache.pinned():
            return 0
        known: set[str] = set()
        with suppress(OSError, ValueError):  # its list is damaged: files that nothing links go all the same
            known = {entry.hex for entry in cache.files(digest) if _stamp_holds(cache, entry.hex)}
        cache.use_of(digest).unlink(missing_ok=True)
        cache.remove_tree(digest)
        cache.relearn(known)
        began = _incoming(cache, digest.hex)
        shutil.rmtree(cache.folder / "incoming" / digest.hex, ignore_errors=True)
        return _remove_unlinked(cache) + began


def _clear(cache: InputCache) -> None:
    """Remove what commands that were killed had put aside: its links kept files that nothing else names."""
    left = names_in(cache.folder / "gone")
    for path in left:
        with suppress(OSError):  # whoever put it aside may be removing it
            path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path)
    if left:
        with locked(cache.folder / "lock"):
            _remove_unlinked(cache)


def _remove_unlinked(cache: InputCache) -> int:
    """Remove files that no folder links to and that are no input themselves: the number of their bytes."""
    freed = 0
    for path, found in _stored(cache):
        if found.st_nlink == 1 and not (cache.folder / "uses" / path.name).exists():
            path.unlink(missing_ok=True)
            freed += found.st_size
    return freed


def _stamp_holds(cache: InputCache, hex_: str) -> bool:
    try:
        return cache.is_known(hex_, cache.file(hex_).stat())
    except FileNotFoundError:
        return False


def _stored(cache: InputCache) -> Iterator[tuple[Path, os.stat_result]]:
    with suppress(FileNotFoundError):
        for folder in sorted((cache.folder / "files").iterdir()):
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # another process removes, too
                        yield Path(entry.path), entry.stat(follow_symlinks=False)


def _oldest_first(cache: InputCache) -> list[Digest]:
    """Inputs by their last use; first of all, folders that a killed command had begun to remove."""
    uses: dict[Digest, int] = {}
    for name in ("trees", "incoming", "uses"):
        for path in names_in(cache.folder / name):
            digest = Digest.parse(f"sha256:{path.name}")
            if digest is not None:
                with suppress(FileNotFoundError):  # another process removes, too
                    uses[digest] = 0 if name == "trees" else path.lstat().st_mtime_ns
    return sorted(uses, key=lambda digest: (uses[digest], digest))


@contextmanager
def _try_to_hold(cache: InputCache, digest: Digest) -> Iterator[bool]:
    """Hold the input as `InputCache.holding` does; False, at once, where another process holds it."""
    path = cache.folder / "locks" / digest.hex
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(fd)
