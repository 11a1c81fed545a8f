"""Inputs: data that a job reads, named by digest so that a rerun reads the same bytes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import UsageError
from orchestrator.spec.below import Below
from orchestrator.spec.model import InputSpec
from orchestrator.value import Value

LISTED = 10_000  # files of one folder that are kept in mind, and recorded in some 50 ms; of more, none is


class InputFile(Value):
    """One file of an input that is a folder; `path` is below the folder, with `/`."""

    path: str
    digest: Digest
    size: int  # bytes


class InputData(Value):
    """An input as its bytes were read: its digest, and of a folder its files, sorted by path."""

    digest: Digest
    folder: bool
    count: int  # of files
    size: int  # bytes of all files
    files: tuple[InputFile, ...] = ()  # of a folder with LISTED files at most


def read_inputs(inputs: Mapping[str, InputSpec]) -> dict[str, InputData]:
    """Each input as it lies. UsageError, with all of them at once, for absent or unexpected bytes."""
    read: dict[str, InputData] = {}
    problems: list[str] = []
    for name, item in sorted(inputs.items()):
        try:
            data = read_input(Path(item.path))
        except UsageError as error:
            problems.append(f"input {name}: {error.message}")
            continue
        if item.sha256 is not None and item.sha256 != data.digest:
            problems.append(f"input {name}: {item.path} is {data.digest}, not {item.sha256}")
        read[name] = data
    if problems:
        raise UsageError("\n".join(problems), "the bytes of an input are part of what is run")
    return read


def hash_inputs(inputs: Mapping[str, InputSpec]) -> dict[str, Digest]:
    """The digest of each input; UsageError as of `read_inputs`."""
    return {name: data.digest for name, data in read_inputs(inputs).items()}


def digest_of(path: Path) -> Digest:
    """The digest of a file or folder. Links and special files inside a folder are refused."""
    return read_input(path).digest


def read_input(path: Path) -> InputData:
    """A file or folder with its digest.

    A file's digest is that of its bytes. A folder's is that of the canonical JSON list of its files,
    sorted: [path, sha256, size]; names, not times or modes, are part of it.
    """
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            return InputData(digest=Digest.of_file(path), folder=False, count=1, size=found.st_size)
        if stat.S_ISDIR(found.st_mode):
            return _folder(listing(path))
    except OSError as error:
        raise UsageError(f"{error.filename or path}: {error.strerror}") from error
    except UnicodeEncodeError:
        raise UsageError(f"{path} holds a name that is not UTF-8", "rename the file") from None
    raise UsageError(f"{path} is neither a file nor a folder")


def folder_digest(entries: list[tuple[str, str, int]]) -> Digest:
    """Of a folder with these files: [path, SHA-256 in hex, size], sorted by the bytes of the paths."""
    return Digest.of(canonical_json(entries))


def _folder(entries: list[tuple[str, str, int]]) -> InputData:
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


def listing(folder: Path) -> list[tuple[str, str, int]]:
    """Path, SHA-256 in hex, and size in bytes of every file below a folder, sorted by path.

    UsageError for links and special files, OSError for what cannot be read.
    """
    entries = []
    with Below(folder) as below:
        for here, folders, names in os.walk(folder, onerror=_raise):
            above = "" if here == str(folder) else f"{os.path.relpath(here, folder)}/"
            for name in folders:  # os.walk does not enter links, and says nothing of them
                if stat.S_ISLNK(below.look(above + name).st_mode):
                    raise _not_plain(Path(here, name))
            for name in names:
                entries.append(_entry(below, Path(here, name), above + name))
    return sorted(entries, key=lambda entry: entry[0].encode("utf-8", "surrogateescape"))


def _entry(below: Below, path: Path, name: str) -> tuple[str, str, int]:
    try:
        if not stat.S_ISREG(below.look(name).st_mode):  # before it is opened: a device acts when it is
            raise _not_plain(path)
        with below.open(name) as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise _not_plain(path)
            return name, Digest.of_stream(stream).hex, found.st_size
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_plain(path) from error
        raise OSError(error.errno, error.strerror, str(path)) from error


def _not_plain(path: Path) -> UsageError:
    return UsageError(f"{path} is a link or a special file", "an input holds plain files only")


def _raise(error: OSError) -> None:
    raise error
