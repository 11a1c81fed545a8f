"""How a container ended, kept in its attempt's folder until the result is committed.

Store or record may be away when the job is done, for longer than this process or the machine stays up. Some
facts can be seen only once: that we stopped the job for its time limit, that nobody else killed it. The job
reaches only two folders inside this one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from orchestrator.durable import new_file, sync_filesystem
from orchestrator.run.follow import Ended, Parting
from orchestrator.run.workspace import folders_of
from orchestrator.settings import Settings
from orchestrator.value import Value

T = TypeVar("T", bound=Value)
_MOST = 1 << 20  # bytes


class Ending(Value):
    ended: Ended
    durable: bool = False  # what the job wrote is on the disk: a restart of the machine loses nothing


def save_ending(settings: Settings, run: str, attempt: int, ending: Ending) -> None:
    """Save the whole ending or nothing. OSError where the disk refuses it."""
    _save(_path(settings, run, attempt), ending)


def _save(path: Path, value: Value) -> None:
    with new_file(path) as made:
        made.stream.write(value.model_dump_json().encode())
        made.keep(path, durable=False)


def save_parting(settings: Settings, run: str, attempt: int, parting: Parting) -> None:
    """Save, before the job is stopped, that it parted from its original. OSError as in `save_ending`."""
    _save(_path(settings, run, attempt, "parted.json"), parting)


def read_parting(settings: Settings, run: str, attempt: int) -> Parting | None:
    return _read(_path(settings, run, attempt, "parted.json"), Parting)


def make_durable(settings: Settings, run: str, attempt: int) -> None:
    """Write everything to the disk, so that a restart loses nothing. OSError where the disk refuses it."""
    ending = read_ending(settings, run, attempt)
    if ending is not None and not ending.durable:
        folder = _path(settings, run, attempt).parent
        sync_filesystem(folder)
        save_ending(settings, run, attempt, Ending(ended=ending.ended, durable=True))
        sync_filesystem(folder)


def read_ending(settings: Settings, run: str, attempt: int) -> Ending | None:
    """None where no ending was kept, or its file is damaged."""
    return _read(_path(settings, run, attempt), Ending)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as stream:
        data = stream.read(_MOST)
    try:
        return kind.model_validate_json(data)
    except ValidationError:
        return None


def _path(settings: Settings, run: str, attempt: int, name: str = "ended.json") -> Path:
    return folders_of(settings, run, attempt).workspace.parent / name
