"""The source of a job: a folder as it is, or a git commit's tree, as plain values.

Names are checked where they become a layer (image/tar.py); here only what cannot be a value at all is
refused: special files, unreadable ones, names that are not UTF-8, and sources too large to be code.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.spec.below import Below
from orchestrator.spec.commit import SUBMODULE, TreeEntry, list_commit, read_blobs
from orchestrator.spec.git import Repository, find_repository
from orchestrator.spec.model import SourceSpec
from orchestrator.spec.tree import SourceFile, SourceTree

MAX_FILES = 100_000
MAX_BYTES = 1 << 30
IGNORE_FILE = ".repriseignore"  # one shell pattern a line, for names and for relative paths; # comments

# Never code, whatever git says. Bytecode would be stale: all files in an image have one time.
IGNORED_FOLDERS = frozenset(
    {
        ".git",
        ".hypothesis",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".venv",
        "__pycache__",
        "node_modules",
        "venv",
    }
)
IGNORED_NAMES = ("*.pyc", "*.pyo", ".DS_Store", ".git")
LFS_POINTER = b"version https://git-lfs"


def read_source(spec: SourceSpec, exclude: tuple[Path, ...] = ()) -> SourceTree:
    """Every file of the source, sorted by path bytes, and the git state where it is in a repository.

    A commit gives what its clean checkout would give: the same files are left out of both. `exclude` are
    absolute paths that are not source even if they lie inside it: the job's inputs. UsageError for what
    cannot be read or may not be a source.
    """
    folder = Path(spec.path)
    in_git = find_repository(folder)
    if spec.commit is not None:
        if not in_git:
            raise UsageError(f"{folder} is not in a git repository, so it has no commit {spec.commit}")
        return _read_commit(Repository(folder), spec.commit, exclude)
    if in_git:
        repository = Repository(folder)
        listing = repository.listing()
        if listing.tracked or listing.untracked:
            is_source = _filter(folder, _own_patterns(folder), exclude)
            files = _read(folder, _wanted(folder, listing.tracked | listing.untracked, is_source), True)
            return SourceTree(files=files, git=repository.state(listing, is_source))
    # Outside git, or a folder that the repository around it ignores as a whole.
    is_source = _filter(folder, _own_patterns(folder), exclude)
    return SourceTree(files=_read(folder, _wanted(folder, _walk(folder), is_source), False))


def _read_commit(repository: Repository, name: str, exclude: tuple[Path, ...]) -> SourceTree:
    folder, commit = repository.folder, repository.commit_of(name)
    everything = list_commit(repository, commit)
    if not everything:
        raise UsageError(f"commit {name} has no files in {folder}", "`git ls-tree` shows what it has")
    own = [entry for entry in everything if entry.path == IGNORE_FILE and entry.mode != SUBMODULE]
    patterns = _patterns(read_blobs(repository, own)[0]) if own else []
    wanted = set(_wanted(folder, (entry.path for entry in everything), _filter(folder, patterns, exclude)))
    entries = [entry for entry in everything if entry.path in wanted]
    for entry in entries:
        _check_name(entry.path)
        if entry.mode == SUBMODULE:
            raise UsageError(
                f"{entry.path!r} is a submodule; its files are not in this repository",
                f"copy them in, or name it in {IGNORE_FILE}",
            )
    if sum(entry.size for entry in entries) > MAX_BYTES:
        raise _too_large(folder)
    files = [
        _file_of(entry, data) for entry, data in zip(entries, read_blobs(repository, entries), strict=True)
    ]
    files.sort(key=lambda file: os.fsencode(file.path))
    return SourceTree(files=tuple(files), git=repository.state_of_commit(commit))


def _file_of(entry: TreeEntry, data: bytes) -> SourceFile:
    _refuse_pointer(entry.path, data)
    executable, symlink = entry.mode == b"100755", entry.mode == b"120000"
    return SourceFile(path=entry.path, data=data, executable=executable, symlink=symlink)


def _walk(folder: Path) -> Iterator[str]:
    """Relative paths of everything that is not a folder, ignored folders left out."""
    for here, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if name not in IGNORED_FOLDERS)
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        relative = os.path.relpath(here, folder)
        prefix = "" if relative == "." else f"{relative}/"
        yield from (prefix + name for name in [*names, *links])


def _unreadable(error: OSError) -> None:
    raise UsageError(f"cannot read the source {error.filename}: {error.strerror}")


def _filter(folder: Path, own: list[str], exclude: tuple[Path, ...]) -> Callable[[str], bool]:
    """Whether a relative path is source. A pattern is tried on each part of it and on each folder above."""
    patterns = [fnmatch.translate(pattern) for pattern in (*IGNORED_NAMES, *own)]
    ignored = re.compile("|".join(patterns)).match
    known: dict[str, bool] = {"": True}  # folders
    left_out = {os.path.relpath(path, folder) for path in exclude if path.is_relative_to(folder)}

    def keep(path: str) -> bool:
        _, _, name = path.rpartition("/")
        return path not in left_out and not ignored(name) and not ignored(path)

    def keep_folder(path: str) -> bool:
        if path not in known:
            above, _, name = path.rpartition("/")
            known[path] = keep_folder(above) and name not in IGNORED_FOLDERS and keep(path)
        return known[path]

    def is_source(path: str) -> bool:
        path = path.rstrip("/")  # git's mark of a repository inside a repository
        return keep_folder(path.rpartition("/")[0]) and keep(path)

    return is_source


def _wanted(folder: Path, names: Iterable[str], is_source: Callable[[str], bool]) -> list[str]:
    wanted = sorted(filter(is_source, names), key=os.fsencode)
    if len(wanted) > MAX_FILES:
        raise UsageError(
            f"the source {folder} has {len(wanted)} files, more than {MAX_FILES}",
            f"leave folders out with {IGNORE_FILE}, or give data as `inputs`",
        )
    return wanted


def _own_patterns(folder: Path) -> list[str]:
    path = folder / IGNORE_FILE
    if not path.is_file():
        return []
    try:
        return _patterns(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _patterns(data: bytes) -> list[str]:
    lines = (line.strip().rstrip("/") for line in data.decode("utf-8-sig", "replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _read(folder: Path, names: list[str], in_git: bool) -> tuple[SourceFile, ...]:
    files = []
    left = MAX_BYTES
    try:
        with Below(folder) as below:
            for name in names:
                _check_name(name)
                file = _read_one(below, folder, name, left)
                if file is None:
                    continue  # tracked by git and deleted in the working directory: the patch says so
                if in_git and not file.symlink:
                    _refuse_pointer(name, file.data)
                left -= len(file.data)
                files.append(file)
    except OSError as error:
        raise UsageError(f"cannot read the source {folder}: {error.strerror}") from error
    return tuple(files)


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"a name in the source is not UTF-8: {name!r}", "rename the file") from None
    if not {"..", ".", ""}.isdisjoint(name.removesuffix("/").split("/")):
        raise UsageError(f"a name in the source leads out of it: {name!r}", "the repository is hostile")


def _refuse_pointer(name: str, data: bytes) -> None:
    if data.startswith(LFS_POINTER) and len(data) < 1024:
        raise UsageError(
            f"{name} is a Git LFS pointer, not the file itself",
            "run `git lfs pull` and submit the folder without a commit, or give large files as `inputs`",
        )


def _too_large(folder: Path) -> UsageError:
    return UsageError(
        f"the source {folder} is larger than {MAX_BYTES >> 30} GiB",
        f"leave data out with {IGNORE_FILE}, and give it as `inputs`",
    )


def _read_one(below: Below, folder: Path, name: str, left: int) -> SourceFile | None:
    """One file or link; None where it is gone, or lies below what is a link by now and was a folder."""
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
            executable = bool(found.st_mode & stat.S_IXUSR)
            return SourceFile(path=name, data=stream.read(), executable=executable)
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
