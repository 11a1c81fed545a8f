"""Finds a repository's folders, and makes a stand-in for git that has its data but not its settings.

A repository's own folder steers git: its configuration names programs (file monitors, filters,
external diffs, hooks), files to read and other configurations. So git never works in it. It works in a
folder of ours, which links to the repository's objects and refs, and whose configuration we write from the
few settings that say how bytes are read. Settings that a later git adds have no effect either.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.spec.plain_file import read_plain

MAX_FILE = 64 << 20  # bytes of a file that is copied: packed refs of a million branches
_LOOKED_AT = 200_000  # names that are checked before git starts; its deadline guards the rest
_COPIED = (
    "HEAD", "ORIG_HEAD", "FETCH_HEAD", "MERGE_HEAD", "packed-refs", "shallow",
    "info/exclude", "info/attributes", "info/sparse-checkout",
)  # fmt: skip
_LINKED = ("refs", "logs", "reftable")
# Files of a work tree that git opens by name.
_READ_BY_NAME = frozenset({".git", ".gitattributes", ".gitignore", ".gitmodules", ".mailmap"})
# Settings that say how bytes are read and that name no file or program.
_SETTINGS = frozenset(
    {
        "core.autocrlf", "core.checkstat", "core.eol", "core.filemode", "core.ignorecase",
        "core.precomposeunicode", "core.sparsecheckout", "core.sparsecheckoutcone", "core.symlinks",
        "core.trustctime", "extensions.objectformat", "extensions.refstorage", "index.sparse",
    }
)  # fmt: skip
_SETTING = re.compile(r"[A-Za-z0-9]{1,32}")


@dataclass(frozen=True)
class GitFolder:
    """The folders of a repository. `own` has HEAD and index of this work tree, `common` the rest."""

    top: Path | None  # of the work tree; None for a bare repository
    own: Path
    common: Path


def find_repository(folder: Path) -> GitFolder | None:
    """The repository that a folder lies in, or is; found without starting git.

    UsageError where there is only a broken one.
    """
    broken: Path | None = None
    for above in (folder, *folder.parents):
        place = above / ".git"
        if not os.path.lexists(place):
            continue
        found = _at(place, above)
        if found is not None:
            return found
        broken = broken or place
    itself = bare(folder)
    if itself is None and broken is not None:
        raise UsageError(
            f"git: not a git repository: {broken}",
            "there is a .git in or above the folder that is not a repository: remove it",
        )
    return itself


def at(folder: Path) -> GitFolder | None:
    """The repository whose work tree begins at this folder."""
    return _at(folder / ".git", folder)


def bare(folder: Path) -> GitFolder | None:
    """The bare repository in this folder."""
    return _at(folder, None)


def _at(place: Path, top: Path | None) -> GitFolder | None:
    """The repository at a `.git`, which is its folder or a file that names it."""
    try:
        own = place.resolve()
        if not own.exists():
            return None
        if not own.is_dir():
            own = (own.parent / _line(own, "gitdir: ")).resolve()
        common = own
        if (own / "commondir").exists():
            common = (own / _line(own / "commondir", "")).resolve()
        valid = os.path.lexists(own / "HEAD") and (common / "objects").is_dir() and (common / "refs").is_dir()
    except (OSError, RuntimeError, ValueError):
        return None
    return GitFolder(top.resolve() if top is not None else None, own, common) if valid else None


def _line(path: Path, start: str) -> str:
    """The one line of a small file, without the `start` that it must have. ValueError: it has another."""
    text = os.fsdecode(read_plain(path, 65536)).removesuffix("\n")
    if not text.startswith(start) or not text:
        raise ValueError(f"{path} does not begin with {start!r}")
    return text.removeprefix(start)


def copy(there: GitFolder, target: Path) -> None:
    """Fill an empty folder so that git takes it for the repository; `write_settings` completes it."""
    (target / "info").mkdir()
    for name in _COPIED:
        path = (there.own if name.endswith("HEAD") else there.common) / name
        if path.exists():
            (target / name).write_bytes(read_plain(path.resolve(), MAX_FILE))
    for name in _LINKED:
        if (there.common / name).is_dir():
            (target / name).symlink_to(there.common / name)
    for path in there.own.glob("sharedindex.*"):  # of an index that is split
        (target / path.name).symlink_to(path)
    write_settings(there, target, {})


def write_settings(there: GitFolder, target: Path, found: dict[str, str]) -> None:
    """Write the configuration: of the repository's own settings, those that are allowed and well formed."""
    kept = {name: value for name, value in found.items() if name in _SETTINGS and _SETTING.fullmatch(value)}
    format_ = 1 if any(name.startswith("extensions.") for name in kept) else 0
    lines = [f"[core]\n\trepositoryFormatVersion = {format_}\n\tbare = {str(there.top is None).lower()}\n"]
    for name, value in sorted(kept.items()):
        section, _, key = name.partition(".")
        lines.append(f"[{section}]\n\t{key} = {value}\n")
    (target / "config").write_text("".join(lines), encoding="ascii")


def refuse_special_files(there: GitFolder, folder: Path) -> None:
    """UsageError for FIFOs and devices that git would open, and then wait or read without end.

    This gives a clear message at once; git's deadline ends what it overlooks.
    """
    for place in {there.own, there.common}:
        for entry in islice(_entries(place), _LOOKED_AT):
            _refuse(entry.path, follow=True)
    if there.top is None:
        return
    inside = folder.resolve()
    for above in (inside, *inside.parents):
        for name in _READ_BY_NAME:
            _refuse(f"{above}/{name}", follow=False)
        if above == there.top:
            break
    for entry in islice(_entries(inside, ".git"), _LOOKED_AT):
        if entry.name in _READ_BY_NAME:
            _refuse(entry.path, follow=False)


def _entries(folder: Path, left_out: str = "") -> Iterator[os.DirEntry[str]]:
    """All entries below a folder that are not folders; the nearest come first."""
    waiting = [os.fspath(folder)]
    for here in waiting:
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != left_out:
                            waiting.append(entry.path)
                    else:
                        yield entry
        except OSError:
            continue  # git, or the reader of the source, reports it


def _refuse(path: str, *, follow: bool) -> None:
    try:
        mode = os.stat(path, follow_symlinks=follow).st_mode  # noqa: PTH116  (of many; a Path costs more)
    except OSError:
        return
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise UsageError(f"{path} is not a plain file, and git would wait for it", "remove it")
