"""Writes drafted files beside a project: all of them or none, and never over what is there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.durable import fsync_folder, temporary_beside
from orchestrator.errors import UsageError


def refuse_existing_drafts(folder: Path, names: Iterable[str]) -> None:
    """UsageError that names every file that is there already, whatever it is."""
    there = [name for name in names if os.path.lexists(folder / name)]
    if there:
        listed = ", ".join(str(folder / name) for name in there)
        raise UsageError(
            f"{listed} {'is' if len(there) == 1 else 'are'} there already, and nothing is written over",
            "move it away, or see what would be written with --dry-run",
        )


def write_drafts(folder: Path, texts: Mapping[str, str]) -> None:
    """Name by name, the last one of them last. A crash leaves whole files only.

    UsageError: one of them is there, or the folder cannot be written. Then none of them is new.
    """
    refuse_existing_drafts(folder, texts)
    staged: dict[Path, Path] = {}
    written: list[Path] = []
    try:
        for name, text in texts.items():
            place = folder / name
            staged[place] = _stage(place, text.encode())
        for place, temporary in staged.items():
            os.link(temporary, place)  # fails where the name has appeared meanwhile
            written.append(place)
    except BaseException as error:  # an interrupt leaves none of them, too
        for place in written:
            place.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise UsageError(f"cannot write into {folder}: {error.strerror}", "nothing was written") from error
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
        fsync_folder(folder)


def _stage(place: Path, data: bytes) -> Path:
    temporary = temporary_beside(place)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
