"""Decides which files of a folder are source: not caches, not what .repriseignore names, not inputs."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.spec.plain_file import read_plain
from orchestrator.spec.source.gitignore import MAX_FILE, Ignore

MAX_FILES = 100_000
MAX_DEPTH = 200  # folders in one another: `enters` calls itself once for each
IGNORE_FILE = ".repriseignore"  # with the meaning of a .gitignore; in folders below, too

# Never source, even if git tracks them. Bytecode would be stale: all files in an image have the same time.
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
_IGNORED = re.compile("|".join(map(fnmatch.translate, IGNORED_NAMES))).match


class Selection:
    """Answers for paths relative to a folder. `exclude` are absolute paths that are not source."""

    def __init__(self, folder: Path, exclude: tuple[Path, ...]) -> None:
        self.folder = folder
        self._exclude = exclude
        self._real = folder.resolve()
        self._left_out = {os.path.relpath(path, folder) for path in exclude if path.is_relative_to(folder)}
        self._ignore = Ignore()
        self._known: dict[str, bool] = {"": True}  # folders

    def read_patterns(self, names: Iterable[str]) -> None:
        """Read the pattern files among these names."""
        for name in sorted(name for name in names if name.rpartition("/")[2] == IGNORE_FILE):
            if os.path.lexists(self.folder / name):
                self.add_patterns(name, read_plain(self.folder / name, MAX_FILE))

    def add_patterns(self, name: str, data: bytes) -> None:
        self._ignore.add(name.rpartition("/")[0], data, name)

    def __call__(self, path: str) -> bool:
        """Whether a file or link is source. Git marks a repository inside a repository by `/` at the end."""
        folder = path.endswith("/")
        path = path.rstrip("/")
        return self.enters(path) if folder else self._keeps(path, folder=False)

    def enters(self, path: str) -> bool:
        """Whether a folder may have source in it."""
        if path not in self._known:
            if path.count("/") > MAX_DEPTH:
                raise UsageError(
                    f"the source {self.folder} has more than {MAX_DEPTH} folders in one another: {path[:80]}",
                    "the repository is hostile, or a folder was copied into itself",
                )
            last = path.rpartition("/")[2]
            self._known[path] = last not in IGNORED_FOLDERS and self._keeps(path, folder=True)
        return self._known[path]

    def _keeps(self, path: str, *, folder: bool) -> bool:
        above, _, name = path.rpartition("/")
        if not self.enters(above) or path in self._left_out or _IGNORED(name):
            return False
        return not self._ignore.ignores(path, folder=folder)

    def is_input(self, path: str, target: bytes) -> bool:
        """Whether a link is an excluded path, or leads out of the folder to one."""
        if not self._exclude:
            return False
        try:
            real = (self.folder / path).parent.joinpath(os.fsdecode(target)).resolve()
        except (OSError, RuntimeError, ValueError):
            return False
        outside = not real.is_relative_to(self._real)
        return any(real == other or (outside and other.is_relative_to(real)) for other in self._exclude)

    def wanted(self, names: Iterable[str]) -> list[str]:
        """The names that are source, sorted by their bytes. UsageError for too many."""
        wanted = sorted(filter(self, names), key=os.fsencode)
        if len(wanted) > MAX_FILES:
            raise UsageError(
                f"the source {self.folder} has {len(wanted)} files, more than {MAX_FILES}",
                f"leave folders out with {IGNORE_FILE}, or give data as `inputs`",
            )
        return wanted
