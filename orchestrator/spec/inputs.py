"""Inputs: data that a job reads, named by digest so that a rerun reads the same bytes."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError

from orchestrator.digest import CHUNK, Digest
from orchestrator.errors import UsageError
from orchestrator.several_at_once import Stop, each
from orchestrator.spec.folder_list import is_list, list_chunks, may_be_list
from orchestrator.spec.input_stamps import Look, look_at
from orchestrator.spec.jobfile.job_spec import InputSpec
from orchestrator.spec.lfs_pointer import refuse_pointers
from orchestrator.spec.open_below import Below
from orchestrator.spec.plain_file import open_plain
from orchestrator.value import Value

if TYPE_CHECKING:  # it imports sqlite3, which an audit of an export does without
    from orchestrator.spec.known_hashes import KnownHashes

MOST = 1_000_000  # names reached through links: n folders can lead to each other in 2**n ways
LISTED = 10_000  # files of a folder whose list is recorded, in some 50 ms; a longer list is not kept
_THREADS = min(8, os.cpu_count() or 1)  # threads that hash files
_FEW = 64  # files that a thread hashes before it takes more
_SMALL = 1 << 20  # bytes of a file that is read at once
_LINKS = 40  # on one path; Linux has the same limit
_HINT = "an input holds plain files, and relative links to what lies in it"


class InputFile(Value):
    """One file of an input that is a folder; `path` is below the folder, with `/`."""

    path: str
    digest: Digest
    size: int  # bytes


class InputData(Value):
    """An input as it was read: its digest, and the files of a folder, sorted by path."""

    digest: Digest
    folder: bool
    count: int  # of files
    size: int  # bytes of all files
    files: tuple[InputFile, ...] = ()  # of a folder with at most LISTED files


def read_inputs(
    inputs: Mapping[str, InputSpec],
    known: KnownHashes | None = None,
    looks: Mapping[str, Look] | None = None,
) -> dict[str, InputData]:
    """Every input, hashed. UsageError names each one that is absent, not fetched by Git LFS, or has another
    digest than the spec.

    `known`: what was hashed before; `looks`: at inputs, from just now.
    """
    read: dict[str, InputData] = {}
    problems: list[str] = []
    for name, item in sorted(inputs.items()):
        try:
            refuse_pointers(Path(item.path))
            data = read_input(Path(item.path), known, (looks or {}).get(name))
        except UsageError as error:
            problems.append(f"input {name}: {error.message}")
            continue
        if item.sha256 is not None and item.sha256 != data.digest:
            problems.append(f"input {name}: {item.path} is {data.digest}, not {item.sha256}")
        read[name] = data
    if problems:
        raise UsageError("\n".join(problems), "the bytes of an input are part of what is run")
    return read


def digest_of(path: Path, known: KnownHashes | None = None) -> Digest:
    """The digest of a file or folder; `listing` says how links count."""
    return read_input(path, known).digest


def read_input(
    path: Path, known: KnownHashes | None = None, look: Look | None = None, stop: Stop | None = None
) -> InputData:
    """A file or folder with its digest.

    A file's digest is that of its bytes. A folder's is that of the canonical JSON list of its files,
    sorted: [path, sha256, size]; names, not times or modes, are part of it.

    With `known`, what did not change since it was read is not read again. `stop` ends the reading.
    """
    stop = stop or Stop()
    if known is None:
        return _read(path, None, stop)
    moment, look = known.moment(), look or look_at(path)
    kept = known.tree(look.stamp) if look.stamp else None
    if kept is not None:
        with suppress(ValidationError):  # of another release
            return InputData.model_validate_json(kept)
    data = _read(path, known, stop)
    known.save(moment)
    if look_at(path) == look:
        known.learn_tree(look.stamp, look.newest, data.model_dump_json().encode(), moment)
    return data


def _read(path: Path, known: KnownHashes | None, stop: Stop) -> InputData:
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            with open_plain(path.resolve()) as stream:
                digest, size = _known_or_hashed(stream, path, known, stop)
                _refuse_list(stream, path, size)
            return InputData(digest=digest, folder=False, count=1, size=size)
        if stat.S_ISDIR(found.st_mode):
            return folder_input(listing(path, known, stop))
    except OSError as error:
        raise UsageError(f"{error.filename or path}: {error.strerror}") from error
    except UnicodeEncodeError:
        raise UsageError(f"{path} holds a name that is not UTF-8", "rename the file") from None
    raise UsageError(f"{path} is neither a file nor a folder")


def _refuse_list(stream: BinaryIO, path: Path, size: int) -> None:
    """UsageError for a file that has the digest of a folder: the digest could not tell which one is meant."""
    stream.seek(0)
    start = stream.read(3) or b""
    stream.seek(0)
    if may_be_list(start, size) and is_list(stream):
        raise UsageError(
            f"{path} holds exactly the list of a folder's files, and so has the digest of that folder",
            "add a line break at its end, or name the folder itself",
        )


def folder_digest(entries: Iterable[tuple[str, str, int]]) -> Digest:
    """The digest of a folder with these files: [path, SHA-256 in hex, size], sorted by the paths' bytes."""
    return Digest.of_chunks(list_chunks(entries))


def folder_input(entries: list[tuple[str, str, int]]) -> InputData:
    """A folder with these files, as `folder_digest` takes them; of many, their list is left out."""
    kept = entries if len(entries) <= LISTED else ()
    return InputData(
        digest=folder_digest(entries),
        folder=True,
        count=len(entries),
        size=sum(size for _, _, size in entries),
        files=tuple(
            InputFile(path=path, digest=Digest(f"sha256:{hex_}"), size=size) for path, hex_, size in kept
        ),
    )


def listing(
    folder: Path, known: KnownHashes | None = None, stop: Stop | None = None
) -> list[tuple[str, str, int]]:
    """Path, SHA-256 in hex, and size in bytes of every file below a folder, sorted by path.

    A relative link that stays inside counts as what it leads to, as the job sees it. UsageError for other
    links and for special files, OSError for what cannot be read.
    """
    shown, files = _walk(folder)
    seen = known.files(files) if known is not None else {}
    hashed = {path: (hex_, files[path].st_size) for path, hex_ in seen.items()}
    hashed |= _hash_files(folder, [path for path in files if path not in seen], known, Stop(stop))
    entries = [(name, *hashed[path]) for name, path in shown]
    return sorted(entries, key=lambda entry: entry[0].encode("utf-8", "surrogateescape"))


def _walk(folder: Path) -> tuple[list[tuple[str, str]], dict[str, os.stat_result]]:
    """Each path as the job sees it, with the path of its file when links are followed; and these files."""
    shown_paths: list[tuple[str, str]] = []
    files: dict[str, os.stat_result] = {}  # several links may lead to one file
    through_links = 0  # names
    with Below(folder) as below:
        # For each folder: its path as the job sees it, its path without links, the folders that lead to it.
        waiting: list[tuple[str, str, tuple[str, ...]]] = [("", "", ())]
        for shown, here, way in waiting:
            if here in way:
                raise UsageError(f"{folder / shown} leads back to a folder that it lies in", _HINT)
            names = below.entries(here.removesuffix("/"))
            through_links += len(names) + 1 if shown != here else 0
            if through_links > MOST:
                raise UsageError(f"links in {folder} show more than {MOST:,} files", _HINT)
            for name, seen in names:
                path, found = f"{here}{name}", seen
                if stat.S_ISLNK(found.st_mode):
                    path = _resolved(below, folder, path)
                    found = below.look(path) if path else folder.stat()
                if stat.S_ISDIR(found.st_mode):
                    waiting.append((f"{shown}{name}/", f"{path}/" if path else "", (*way, here)))
                    continue
                if not stat.S_ISREG(found.st_mode):  # not opened at all, because opening a device can act
                    raise _not_plain(folder / path)
                files.setdefault(path, found)
                shown_paths.append((shown + name, path))
    return shown_paths, files


def _hash_files(
    folder: Path, paths: list[str], known: KnownHashes | None, stop: Stop
) -> dict[str, tuple[str, int]]:
    """Files below a folder, by their paths without links: SHA-256 in hex, and size. Several at once."""
    moment = known.moment() if known is not None else 0

    def work(part: Sequence[str]) -> list[tuple[str, tuple[str, int]]]:
        with Below(folder) as below:
            return [(path, _hash_file(below, folder, path, known, moment, stop)) for path in part]

    size = max(1, min(_FEW, len(paths) // _THREADS))
    parts = [paths[start : start + size] for start in range(0, len(paths), size)]
    return dict(pair for done in each(work, parts, _THREADS, stop) for pair in done)


def open_input(folder: Path, name: str) -> BinaryIO:
    """A file of an input, by its path in `listing`. UsageError and OSError as there."""
    with Below(folder) as below:
        return below.open(_resolved(below, folder, name))


def _resolved(below: Below, folder: Path, name: str) -> str:
    """A path with its links followed. UsageError where it leads out of the folder."""
    done: list[str] = []
    left = name.split("/")[::-1]
    links = 0
    while left:
        part = left.pop()
        if part == ".." and done:
            done.pop()
        elif part == "..":
            raise _not_plain(folder / name)
        elif part not in ("", "."):
            path = "/".join([*done, part])
            if not stat.S_ISLNK(_look(below, folder, name, path)):
                done.append(part)
                continue
            links += 1
            target = below.target(path)
            if links > _LINKS or target.startswith("/"):
                raise _not_plain(folder / name)
            left += target.split("/")[::-1]
    return "/".join(done)


def _look(below: Below, folder: Path, name: str, path: str) -> int:
    try:
        return below.look(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise _not_plain(folder / name) from None


def _hash_file(
    below: Below, folder: Path, name: str, known: KnownHashes | None, moment: int, stop: Stop
) -> tuple[str, int]:
    path = folder / name
    try:
        with below.open(name) as stream:
            before = os.fstat(stream.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise _not_plain(path)
            hex_, size = _hash(stream, path, stop)
            _learn(stream, before, hex_, known, moment)
            return hex_, size
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_plain(path) from error
        raise OSError(error.errno, error.strerror, str(path)) from error


def _known_or_hashed(
    stream: BinaryIO, path: Path, known: KnownHashes | None, stop: Stop
) -> tuple[Digest, int]:
    before = os.fstat(stream.fileno())
    if known is None:
        hex_, size = _hash(stream, path, stop)
        return Digest(f"sha256:{hex_}"), size
    seen, moment = known.file(before), known.moment()
    if seen is not None:
        return Digest(f"sha256:{seen}"), before.st_size
    hex_, size = _hash(stream, path, stop)
    _learn(stream, before, hex_, known, moment)
    return Digest(f"sha256:{hex_}"), size


def _learn(
    stream: BinaryIO, before: os.stat_result, hex_: str, known: KnownHashes | None, moment: int
) -> None:
    """Keep the hash of a file that nobody wrote to while it was read."""
    if known is not None:
        after = os.fstat(stream.fileno())
        if (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns):
            known.learn(after, hex_, moment)


def _hash_small(stream: BinaryIO, size: int) -> str | None:
    """SHA-256 in hex by one read, which is faster; None where that does not give the whole file."""
    if 0 < size <= _SMALL:
        data = os.read(stream.fileno(), size + 1)
        if len(data) == size and not os.read(stream.fileno(), 1):
            return hashlib.sha256(data).hexdigest()
        stream.seek(0)
    return None


def _hash(stream: BinaryIO, path: Path, stop: Stop) -> tuple[str, int]:
    """SHA-256 in hex, and size. UsageError for more or fewer bytes than that, or where reading would wait.

    Then somebody writes to the file, or the kernel generates its bytes, perhaps without end.
    """
    stop.check()
    size, read = os.fstat(stream.fileno()).st_size, 0
    if (small := _hash_small(stream, size)) is not None:
        return small, size

    def chunks() -> Iterator[bytes]:
        nonlocal read
        while read <= size and (chunk := stream.read(min(CHUNK, size - read + 1))) != b"":
            if chunk is None:  # reading would wait
                read = -1
                return
            read += len(chunk)
            stop.check()
            yield chunk

    digest = Digest.of_chunks(chunks())
    if read != size:
        raise UsageError(
            f"{path} does not have the {size} bytes of its size: somebody writes to it, or no disk holds it"
        )
    return digest.hex, size


def _not_plain(path: Path) -> UsageError:
    return UsageError(f"{path} is a special file, or a link that leads out of the input, or nowhere", _HINT)
