"""What lies in a project's folder: names and sizes, within bounds, without following a link.

A folder may be a stranger's: it can hold a million files, FIFOs, links to anywhere, names that forge lines.
"""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.spec.open_below import Below
from orchestrator.spec.shown_names import fits_a_line
from orchestrator.spec.source.source_selection import IGNORED_FOLDERS

MAX_DEPTH = 12  # folders in one another; deeper ones are counted as one thing
MAX_IN_FOLDER = 5_000  # names that are looked at in one folder
MAX_LOOKED_AT = 100_000  # names that are looked at in all
MAX_TEXT = 1 << 20  # bytes of a file that is read
MAX_READ = 16 << 20  # bytes of all of them

# Names that come first in a large folder: a script must not hide behind data. Folders seldom have a point.
_FIRST = re.compile(r"requirements|[^.]+\Z|.*\.(?:py|toml|lock|ya?ml)\Z", re.DOTALL)


@dataclass
class ProjectFiles:
    """The plain files below a folder by relative name, with their sizes in bytes."""

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    unseen: set[str] = field(default_factory=set)  # folders with more in them than was looked at
    odd: int = 0  # names that were left out: not printable, or neither a file nor a folder
    links: set[str] = field(default_factory=set)
    _read: dict[str, bytes | None] = field(default_factory=dict)
    _left: int = MAX_READ

    def below(self, folder: str) -> Iterator[tuple[str, int]]:
        """Files in a folder and in those below it."""
        start = f"{folder}/" if folder else ""
        return ((name, size) for name, size in self.sizes.items() if name.startswith(start))

    def top(self) -> list[str]:
        """The names of the folder itself: first folders, then files."""
        return [*sorted(name for name in self.folders if name and "/" not in name), *self.files_in("")]

    def files_in(self, folder: str) -> list[str]:
        return sorted(name for name in self.sizes if name.rpartition("/")[0] == folder)

    def too_large(self, name: str) -> bool:
        """Whether a file is not read for its size, or for that of those that were read before."""
        return self.sizes.get(name, 0) > min(MAX_TEXT, self._left)

    def data(self, name: str) -> bytes | None:
        """A file's bytes; None where it is not there, not plain, not to be read, or larger than 1 MiB."""
        if name not in self._read:
            self._read[name] = self._data(name)
        return self._read[name]

    def text(self, name: str) -> str | None:
        """The same as text; None where it is not UTF-8, too."""
        try:
            return (self.data(name) or b"").decode("utf-8-sig") if self.data(name) is not None else None
        except UnicodeDecodeError:
            return None

    def _data(self, name: str) -> bytes | None:
        if name not in self.sizes or self.too_large(name):
            return None
        with suppress(OSError), Below(self.folder) as below, below.open(name) as stream:
            if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                data = stream.read(MAX_TEXT + 1)
                self._left -= len(data)
                return data if len(data) <= MAX_TEXT else None
        return None


def look_at(folder: Path) -> ProjectFiles:
    """Level by level, so that a large folder hides nothing that lies above it. UsageError: not readable."""
    found = ProjectFiles(folder, folders={""})
    waiting = deque([""])
    looked_at = 0
    try:
        with Below(folder) as below:
            while waiting:
                above = waiting.popleft()
                names = _names(below, above, found)
                looked_at += len(names)
                if looked_at > MAX_LOOKED_AT:
                    found.unseen |= {above, *waiting}
                    break
                for last in names:
                    _take(below, f"{above}/{last}" if above else last, found, waiting)
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder}: {error.strerror}", "check the path") from error
    return found


def _names(below: Below, folder: str, found: ProjectFiles) -> list[str]:
    try:
        names = sorted(below.names(folder))
    except OSError:  # it may not be read, or went away
        if not folder:
            raise
        found.unseen.add(folder)
        return []
    if len(names) > MAX_IN_FOLDER:
        found.unseen.add(folder)
        names.sort(key=lambda name: _FIRST.match(name) is None)
    return names[:MAX_IN_FOLDER]


def _take(below: Below, name: str, found: ProjectFiles, waiting: deque[str]) -> None:
    last = name.rpartition("/")[2]
    if not fits_a_line(last):
        found.odd += 1
        return
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        facts = below.look(name)
        if stat.S_ISREG(facts.st_mode):
            found.sizes[name] = facts.st_size
        elif stat.S_ISLNK(facts.st_mode):
            found.links.add(name)
        elif not stat.S_ISDIR(facts.st_mode):
            found.odd += 1
        elif last not in IGNORED_FOLDERS:
            found.folders.add(name)
            if name.count("/") < MAX_DEPTH:
                waiting.append(name)
            else:
                found.unseen.add(name)
