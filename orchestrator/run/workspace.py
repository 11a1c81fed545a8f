"""The folders of an attempt on the host: made for the job's user, measured while it runs, then removed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.disk_room import hint_after
from orchestrator.errors import StoreError
from orchestrator.image.image_model import JOB_USER
from orchestrator.run.collect.walk_tree import FOLDER_FLAGS
from orchestrator.settings import Settings

MAX_DEPTH = 200  # folders inside folders that a measurement follows; a job that nests deeper is ended


@dataclass(frozen=True)
class Folders:
    workspace: Path
    report: Path

    @property
    def log(self) -> Path:
        """Where the container's output is kept. The container does not see this folder."""
        return self.report.parent / "log"


def folders_of(settings: Settings, run: str, attempt: int) -> Folders:
    root = _root(settings, run, attempt)
    return Folders(root / "workspace", root / "report")


def _root(settings: Settings, run: str, attempt: int) -> Path:
    """The attempt's folder. StoreError for a run's id that is a path, which somebody wrote into a row."""
    if not run.isalnum():
        raise StoreError(f"no name of a run: {run!r:.80}")
    return settings.attempts / f"{run}-{int(attempt)}"


def prepare(settings: Settings, run: str, attempt: int) -> Folders:
    """Make an attempt's folders. Existing ones are kept: an attempt may be taken over.

    The parent is closed to everyone else, so a job's user, which is the same for all jobs, cannot reach
    another job's folder even on the host.
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
        hint = hint_after(error, "make room, then try again; `reprise store gc` says what it can free")
        said = f"cannot make the attempt's folders under {settings.attempts}: {error}"
        raise StoreError(said, hint) from error
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

    The walk goes from folder descriptor to folder descriptor, so it follows no link that is swapped in, and
    counts what lies beyond the system's 4,096 bytes of path, which hid 5 GB from a walk by paths. What
    vanishes or cannot be read counts as nothing: the collection decides when the job is dead.
    """
    found = Measured()
    for folder in folders:
        if found.size > size or found.entries > entries:
            break
        try:
            fd = os.open(folder, FOLDER_FLAGS)
        except OSError:
            continue
        found = _measured(fd, found, size, entries, 0)
    return found


def _measured(fd: int, found: Measured, size: int, entries: int, depth: int) -> Measured:
    """`found` and what an open folder holds. The folder is closed."""
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
                inside = os.open(name, FOLDER_FLAGS, dir_fd=fd)
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
