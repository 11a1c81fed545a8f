"""The folders of an attempt on the host: made for the job's user, measured while it runs, then removed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import StoreError
from orchestrator.image.image_model import JOB_USER
from orchestrator.settings import Settings

MAX_DEPTH = 200  # folders inside folders that a measurement follows; a job that nests deeper is ended
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Folders:
    workspace: Path
    report: Path

    @property
    def log(self) -> Path:
        """What the container writes; it does not see this one."""
        return self.report.parent / "log"


def folders_of(settings: Settings, run: str, attempt: int) -> Folders:
    root = _root(settings, run, attempt)
    return Folders(root / "workspace", root / "report")


def _root(settings: Settings, run: str, attempt: int) -> Path:
    """StoreError for a run's name that is a path: it came out of a row that somebody else wrote."""
    if not run.isalnum():
        raise StoreError(f"no name of a run: {run!r:.80}")
    return settings.attempts / f"{run}-{int(attempt)}"


def prepare(settings: Settings, run: str, attempt: int) -> Folders:
    """Make an attempt's folders; those that are there are kept: an attempt may be taken over.

    The parent is closed to everyone else, so one job's user (who is the other job's user, too) cannot
    reach another's folder even on the host.
    """
    folders = folders_of(settings, run, attempt)
    try:
        settings.attempts.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (folders.workspace, folders.report):
            folder.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(folder, JOB_USER, JOB_USER)
                folder.chmod(0o700)
            else:
                folder.chmod(0o777)
    except OSError as error:
        raise StoreError(f"cannot make the attempt's folders under {settings.attempts}: {error}") from error
    return folders


def remove_folders(settings: Settings, run: str, attempt: int) -> None:
    """Remove what is left of an attempt. `rm` and not shutil: a job can nest folders deeper than Python."""
    root = _root(settings, run, attempt)
    if not root.exists():
        return
    done = subprocess.run(
        ["rm", "-rf", "--one-file-system", "--", str(root)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"rm ended with {done.returncode}"]
        raise StoreError(f"cannot remove {root}: {said[0]}")


@dataclass(frozen=True)
class Measured:
    """What a job has in its folders by now. `deep`: there is more below MAX_DEPTH, uncounted."""

    size: int = 0  # bytes
    entries: int = 0
    deep: bool = False


def measure(folders: Iterable[Path], size: int, entries: int) -> Measured:
    """Logical sizes and number of entries in trees that a live job writes to; stops past either limit.

    Entries that vanish meanwhile are not there. From folder descriptor to folder descriptor: no link that
    is swapped in is followed, and names that add up to more than the system's 4,096 bytes of path, which
    hid 5 GB from a walk by paths, are counted. What cannot be read counts as nothing here: the
    collection, when the job is dead, decides.
    """
    found = Measured()
    for folder in folders:
        if found.size > size or found.entries > entries:
            break
        try:
            fd = os.open(folder, _FOLDER)
        except OSError:
            continue
        found = _measured(fd, found, size, entries, 0)
    return found


def _measured(fd: int, found: Measured, size: int, entries: int, depth: int) -> Measured:
    """`found` and what is in an open folder, which is closed."""
    below: list[str] = []
    more_size, more_entries = found.size, found.entries
    try:
        with os.scandir(fd) as names:
            for entry in names:
                more_entries += 1
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.name)
                else:
                    more_size += _size(entry)
                if more_size > size or more_entries > entries:
                    return Measured(more_size, more_entries, found.deep)
        found = Measured(more_size, more_entries, found.deep or (bool(below) and depth >= MAX_DEPTH))
        for name in below if depth < MAX_DEPTH else ():
            try:
                inside = os.open(name, _FOLDER, dir_fd=fd)
            except OSError:
                continue
            found = _measured(inside, found, size, entries, depth + 1)
            if found.size > size or found.entries > entries:
                break
    except OSError:
        return found
    finally:
        os.close(fd)
    return found


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0
