"""Writes drafted files beside a project: all of them or none, and never over what is there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from orchestrator.durable import fsync_folder, new_file
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
    written: list[Path] = []
    try:
        with ExitStack() as staged:
            files = {folder / name: staged.enter_context(new_file(folder / name, 0o666)) for name in texts}
            for place, text in zip(files, texts.values(), strict=True):
                files[place].stream.write(text.encode())
                files[place].make_durable()
            for place, made in files.items():
                made.keep(place, replace=False, durable=False)  # fails where the name appeared meanwhile
                written.append(place)
    except BaseException as error:  # an interrupt leaves none of them, too
        for place in written:
            place.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise UsageError(f"cannot write into {folder}: {error.strerror}", "nothing was written") from error
    finally:
        fsync_folder(folder)
