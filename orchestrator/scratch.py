"""Folders and programs that a command needs for a while: they do not outlive it, not even its SIGKILL."""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.durable import on_shared_system

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_PRCTL = ctypes.CDLL(None).prctl


def end_with_parent() -> None:
    """For `preexec_fn`: the kernel kills the new program when the thread that starts it ends.

    Only for a caller that waits for the program. It takes no lock and imports nothing, so it is safe after a
    fork beside threads.
    """
    _PRCTL(_SET_DEATH_SIGNAL, signal.SIGKILL)


@contextmanager
def scratch_folder(prefix: str, above: Path | None = None) -> Iterator[Path]:
    """A folder for as long as it is entered, in `above` or where temporary files go.

    Folders of the same prefix that processes left behind which were killed are removed first: their makers
    hold a lock on them, and the kernel lets go of it. Not on a network file system: there a lock on a folder
    is seen by one machine alone.
    """
    place = Path(tempfile.gettempdir()) if above is None else above
    _remove_left(place, prefix)
    folder = Path(tempfile.mkdtemp(prefix="reprise-new-", dir=place))
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            # It has its name only now, so that nobody finds it without a lock.
            folder = folder.rename(place / f"{prefix}{secrets.token_hex(8)}")
            yield folder
        finally:
            shutil.rmtree(folder)  # before the lock goes: another command would remove it, too
    finally:
        os.close(held)


def _remove_left(place: Path, prefix: str) -> None:
    for left in place.glob(f"{prefix}*"):
        with suppress(OSError):  # somebody else's, or removed by another command just now
            held = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(held).st_uid == os.geteuid() and not on_shared_system(held):
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left)
            finally:
                os.close(held)
