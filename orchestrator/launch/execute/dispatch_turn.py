"""Who pushes the runs of cluster engines on in the background: one process of a home at a time, then a pause.

Every look at the record would else start one (`watch -n2 reprise history`), and each of them asks the
engine's controller for all open runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import StoreError
from orchestrator.launch.execute.run_lock import lock_file
from orchestrator.settings import Settings

PAUSE = 10.0  # seconds from the end of one to the next


@contextmanager
def dispatch_turn(settings: Settings) -> Iterator[int | None]:
    """A descriptor for the process that is to be started: the turn is over when that process has ended.

    None where another one goes on or has ended a moment ago, and where this home cannot be written.
    """
    path = _path(settings)
    try:
        fd = lock_file(path)
    except StoreError:
        fd = None
    if fd is None:
        yield None
        return
    try:
        yield fd if _due(fd) else None
    finally:
        os.close(fd)


def dispatched(settings: Settings) -> None:
    """Note that all of them have been pushed on, by this process."""
    with suppress(OSError):
        _mark(_path(settings))


def _path(settings: Settings) -> Path:
    return settings.attempts / "dispatch.lock"


def _due(fd: int) -> bool:
    """Whether the pause is over. If so another begins: what fails is not started again at once."""
    if 0 < time.monotonic() - os.fstat(fd).st_mtime < PAUSE:
        return False
    _mark(fd)
    return True


def _mark(file: Path | int) -> None:
    """The file's time is by the clock that nobody sets. After a boot it lies ahead, which counts as over."""
    moment = time.monotonic()
    os.utime(file, (moment, moment))
