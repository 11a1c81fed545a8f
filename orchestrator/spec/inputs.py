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


def hash_inputs(inputs: Mapping[str, InputSpec]) -> dict[str, Digest]:
    """The digest of each input. UsageError, with all of them at once, for absent or unexpected bytes.

    A file's digest is that of its bytes. A folder's is that of the canonical JSON list of its files,
    sorted: [path, sha256, size]; names, not times or modes, are part of it.
    """
    digests: dict[str, Digest] = {}
    problems: list[str] = []
    for name, item in sorted(inputs.items()):
        try:
            digest = digest_of(Path(item.path))
        except UsageError as error:
            problems.append(f"input {name}: {error.message}")
            continue
        if item.sha256 is not None and item.sha256 != digest:
            problems.append(f"input {name}: {item.path} is {digest}, not {item.sha256}")
        digests[name] = digest
    if problems:
        raise UsageError("\n".join(problems), "the bytes of an input are part of what is run")
    return digests


def digest_of(path: Path) -> Digest:
    """The digest of a file or folder. Links and special files inside a folder are refused."""
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            return Digest.of_file(path)
        if stat.S_ISDIR(found.st_mode):
            return Digest.of(canonical_json(_listing(path)))
    except OSError as error:
        raise UsageError(f"{error.filename or path}: {error.strerror}") from error
    except UnicodeEncodeError:
        raise UsageError(f"{path} holds a name that is not UTF-8", "rename the file") from None
    raise UsageError(f"{path} is neither a file nor a folder")


def _listing(folder: Path) -> list[tuple[str, str, int]]:
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
