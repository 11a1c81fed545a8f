"""Reads the source of a job, a folder or the tree of a git commit, into plain values.

Most names are checked when they become a layer (image/assembly/tar.py). Refused here: special files,
unreadable files, names that are not UTF-8, and sources too large to be code.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.message_wording import listed
from orchestrator.spec.jobfile.job_spec import SourceSpec
from orchestrator.spec.lfs_pointer import refuse_pointer
from orchestrator.spec.open_below import Below
from orchestrator.spec.shown_names import in_one_line
from orchestrator.spec.source.commit_tree import read_blobs
from orchestrator.spec.source.git import Repository
from orchestrator.spec.source.git_folder import find_repository
from orchestrator.spec.source.git_listing import EXECUTABLE, LINK
from orchestrator.spec.source.source_selection import IGNORE_FILE, Selection
from orchestrator.spec.source.source_tree import SourceFile, SourceTree
from orchestrator.spec.source.submodules import CommittedFile, committed, state, work_tree

MAX_BYTES = 1 << 30


def read_source(spec: SourceSpec, exclude: tuple[Path, ...] = ()) -> SourceTree:
    """Every file of the source, sorted by path bytes, and the git state where it is in a repository.

    A commit gives the same files as its clean checkout. `exclude` are absolute paths that are not source even
    inside its folder: the job's inputs. UsageError for what cannot be read or may not be source.
    """
    folder = Path(spec.path)
    there = find_repository(folder)
    selection = Selection(folder, exclude)
    if spec.commit is not None:
        if there is None:
            raise UsageError(f"{folder} is not in a git repository, so it has no commit {spec.commit}")
        with ExitStack() as stack:
            return _read_commit(stack, stack.enter_context(Repository(folder, there)), spec.commit, selection)
    if there is not None:
        with ExitStack() as stack:
            selection.read_patterns([IGNORE_FILE])
            parts = work_tree(stack, stack.enter_context(Repository(folder, there)), selection)
            names = frozenset[str]().union(*(part.names() for part in parts))
            if names or parts[0].listing.submodules:
                wanted = selection.wanted(names)
                before = _stamps(folder, wanted)
                kinds = {
                    part.path + name: mode for part in parts for name, mode in part.listing.kinds.items()
                }
                files = _read(selection, wanted, kinds)
                git, notes = state(parts, selection)
                return SourceTree(
                    files=files, git=git, notes=(*notes, *_change_notes(before, _stamps(folder, wanted)))
                )
    # Outside git, or in a folder that the repository around it ignores.
    return SourceTree(files=_read(selection, selection.wanted(_walk(selection)), {}))


def _read_commit(stack: ExitStack, repository: Repository, name: str, selection: Selection) -> SourceTree:
    folder, commit = repository.folder, repository.commit_of(name)
    found, submodules = committed(stack, repository, commit, selection)
    if not found:
        raise UsageError(f"commit {name} has no files in {folder}", "`git ls-tree` shows what it has")
    wanted = set(selection.wanted(one.entry.path for one in found))
    found = [one for one in found if one.entry.path in wanted]
    for one in found:
        _check_name(one.entry.path)
    if sum(one.entry.size for one in found) > MAX_BYTES:
        raise _too_large(folder)
    files = [file for file in _contents(found) if not _is_input(selection, file)]
    files.sort(key=lambda file: os.fsencode(file.path))
    git = repository.state_of_commit(commit).model_copy(update={"submodules": submodules})
    return SourceTree(files=tuple(files), git=git)


def _contents(found: list[CommittedFile]) -> Iterator[SourceFile]:
    for repository in {id(one.repository): one.repository for one in found}.values():
        entries = [one.entry for one in found if one.repository is repository]
        for entry, data in zip(entries, read_blobs(repository, entries), strict=True):
            refuse_pointer(entry.path, data)
            executable, symlink = entry.mode == EXECUTABLE, entry.mode == LINK
            yield SourceFile(path=entry.path, data=data, executable=executable, symlink=symlink)


def _is_input(selection: Selection, file: SourceFile) -> bool:
    return file.symlink and selection.is_input(file.path, file.data)


def _walk(selection: Selection) -> Iterator[str]:
    """Relative paths of everything that is not a folder, without folders that cannot have source."""
    folder = selection.folder
    for here, folders, names in os.walk(folder, onerror=_unreadable):
        relative = os.path.relpath(here, folder)
        prefix = "" if relative == "." else f"{relative}/"
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        if IGNORE_FILE in names:
            selection.read_patterns([prefix + IGNORE_FILE])
        folders[:] = sorted(name for name in folders if selection.enters(prefix + name))
        yield from (prefix + name for name in [*names, *links])


def _unreadable(error: OSError) -> None:
    raise UsageError(f"cannot read the source {error.filename}: {error.strerror}")


def _read(selection: Selection, names: list[str], kinds: Mapping[str, bytes]) -> tuple[SourceFile, ...]:
    folder, files = selection.folder, []
    left = MAX_BYTES
    try:
        with Below(folder) as below:
            for name in names:
                _check_name(name)
                file = _read_one(below, folder, name, left, kinds.get(name))
                if file is None:
                    continue  # tracked by git and deleted in the working directory: the patch says so
                if _is_input(selection, file):
                    continue
                if not file.symlink:
                    refuse_pointer(name, file.data)
                left -= len(file.data)
                files.append(file)
    except OSError as error:
        raise UsageError(f"cannot read the source {folder}: {error.strerror}") from error
    return tuple(files)


def _stamps(folder: Path, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The facts of each file that change when somebody writes or replaces it. A missing file has none."""
    stamps: dict[str, tuple[int, ...]] = {}
    with Below(folder) as below:
        for name in names:
            with suppress(OSError):
                found = below.look(name.rstrip("/"))
                stamps[name] = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return stamps


def _change_notes(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    """A note where files changed between their reading and the patch that git made of them."""
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if changed:
        names = listed([in_one_line(name) for name in changed])
        yield f"changed while it was read: {names}; there the recorded patch may differ from the image"


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"a name in the source is not UTF-8: {name!r}", "rename the file") from None
    if not {"..", ".", ""}.isdisjoint(name.removesuffix("/").split("/")):
        raise UsageError(f"a name in the source leads out of it: {name!r}", "the repository is hostile")


def _too_large(folder: Path) -> UsageError:
    return UsageError(
        f"the source {folder} is larger than {MAX_BYTES >> 30} GiB",
        f"leave data out with {IGNORE_FILE}, and give it as `inputs`",
    )


def _read_one(
    below: Below, folder: Path, name: str, left: int, kind: bytes | None = None
) -> SourceFile | None:
    """One file or link; None where it is gone, or where a folder above it has become a link.

    `kind`: its mode in git, where the file system does not say it.
    """
    name = name.rstrip("/")  # git's mark of a repository inside a repository
    path = folder / name
    try:
        mode = below.look(name).st_mode
        if stat.S_ISLNK(mode):
            return SourceFile(path=name, data=os.fsencode(below.target(name)), symlink=True)
        _check_plain(path, mode)
        with below.open(name) as stream:
            found = os.fstat(stream.fileno())
            _check_plain(path, found.st_mode)
            if found.st_size > left:
                raise _too_large(folder)
            executable = kind == EXECUTABLE if kind is not None else bool(found.st_mode & stat.S_IXUSR)
            data = stream.read(found.st_size + 1)
            if len(data) > found.st_size:
                raise UsageError(f"{path} became longer while it was read", "submit again")
            return SourceFile(path=name, data=data, executable=executable, symlink=kind == LINK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(f"{path} became a link while it was read", "submit again") from error
        raise UsageError(f"cannot read the source {path}: {error.strerror}") from error


def _check_plain(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise UsageError(
            f"{path} is a git repository of its own; its files are not listed here",
            f"copy them in without its .git, or name it in {IGNORE_FILE}",
        )
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is not a plain file", f"remove it, or name it in {IGNORE_FILE}")
