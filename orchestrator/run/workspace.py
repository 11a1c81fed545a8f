"""The folders of an attempt on the host: made for the job's user, measured while it runs, removed after."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import StoreError
from orchestrator.image.model import JOB_USER
from orchestrator.settings import Settings

MAX_DEPTH = 200  # folders inside folders that a measurement follows


@dataclass(frozen=True)
class Folders:
    workspace: Path
    report: Path


def folders_of(settings: Settings, run: str, attempt: int) -> Folders:
    root = settings.attempts / f"{run}-{attempt}"
    return Folders(root / "workspace", root / "report")


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
    root = settings.attempts / f"{run}-{attempt}"
    if not root.exists():
        return
    done = subprocess.run(
        ["rm", "-rf", "--one-file-system", "--", str(root)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"rm ended with {done.returncode}"]
        raise StoreError(f"cannot remove {root}: {said[0]}")


def measure(folder: Path, limit: int) -> int:
    """Bytes in a tree that a live job writes to, by logical size; stops counting past `limit`.

    Entries that vanish meanwhile are not there; links are never followed. Sizes of what cannot be read
    count as nothing here: the collection, when the job is dead, decides.
    """
    total = 0
    pending: list[tuple[Path, int]] = [(folder, 0)]
    while pending and total <= limit:
        here, depth = pending.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if depth < MAX_DEPTH:
                            pending.append((Path(entry.path), depth + 1))
                    else:
                        total += _size(entry)
        except OSError:
            continue
    return total


def _size(entry: os.DirEntry[str]) -> int:
    """Asked one by one: a file that vanishes must not hide those after it."""
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0
