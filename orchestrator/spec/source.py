"""The source of a job: a folder as it is, or a git commit's tree, as plain values.

Names are checked where they become a layer (image/tar.py); here only what cannot be a value at all is
refused: special files, unreadable ones, names that are not UTF-8, and sources too large to be code.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.spec.git import find_repository, listed_files, read_commit, read_state
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
IGNORED_NAMES = ("*.pyc", "*.pyo", ".DS_Store")


def read_source(spec: SourceSpec, exclude: tuple[Path, ...] = ()) -> SourceTree:
    """Every file of the source, sorted by path bytes, and the git state where it is in a repository.

    `exclude` are absolute paths that are not source even if they lie inside it: the job's inputs.
    UsageError for what cannot be read or may not be a source.
    """
    folder = Path(spec.path)
    in_git = find_repository(folder)
    if spec.commit is not None:
        if not in_git:
            raise UsageError(f"{folder} is not in a git repository, so it has no commit {spec.commit}")
        state = read_state(folder, spec.commit)
        files = read_commit(folder, state.commit if state else spec.commit)
        return SourceTree(files=_sorted(files), git=state)
    state = read_state(folder) if in_git else None
    names = listed_files(folder) if state is not None else list(_walk(folder))
    return SourceTree(files=_read(folder, _wanted(folder, names, exclude)), git=state)


def _sorted(files: list[SourceFile]) -> tuple[SourceFile, ...]:
    return tuple(sorted(files, key=lambda file: os.fsencode(file.path)))


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


def _wanted(folder: Path, names: list[str], exclude: tuple[Path, ...]) -> list[str]:
    patterns = [*IGNORED_NAMES, *_own_patterns(folder)]
    left_out = [os.path.relpath(path, folder) for path in exclude if path.is_relative_to(folder)]

    def keep(name: str) -> bool:
        parts = name.split("/")
        if not IGNORED_FOLDERS.isdisjoint(parts[:-1]):
            return False
        if any(name == path or name.startswith(f"{path}/") for path in left_out):
            return False
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        tried = [*parts, *above]
        return not any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns for text in tried)

    wanted = sorted((name for name in names if keep(name)), key=os.fsencode)
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
    lines = path.read_text("utf-8", "replace").splitlines()
    return [line.strip().rstrip("/") for line in lines if line.strip() and not line.startswith("#")]


def _read(folder: Path, names: list[str]) -> tuple[SourceFile, ...]:
    files = []
    left = MAX_BYTES
    for name in names:
        file = _read_one(folder, name)
        if file is None:
            continue  # tracked by git and deleted in the working directory: the patch says so
        left -= len(file.data)
        if left < 0:
            raise UsageError(
                f"the source {folder} is larger than {MAX_BYTES >> 30} GiB",
                f"leave data out with {IGNORE_FILE}, and give it as `inputs`",
            )
        files.append(file)
    return tuple(files)


def _read_one(folder: Path, name: str) -> SourceFile | None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"a name in the source is not UTF-8: {name!r}", "rename the file") from None
    path = folder / name
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            return SourceFile(path=name, data=os.fsencode(path.readlink()), symlink=True)
        if stat.S_ISDIR(found.st_mode):
            raise UsageError(
                f"{path} is a git repository of its own; its files are not listed here",
                f"copy them in without its .git, or name it in {IGNORE_FILE}",
            )
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{path} is not a plain file", f"remove it, or name it in {IGNORE_FILE}")
        executable = bool(found.st_mode & stat.S_IXUSR)
        return SourceFile(path=name, data=path.read_bytes(), executable=executable)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot read the source {path}: {error.strerror}") from error
