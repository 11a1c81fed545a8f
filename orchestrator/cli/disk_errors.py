"""What is said of a full disk, or of a folder that cannot be used: no bug of Reprise, and no traceback."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from orchestrator.disk_room import FULL

_UNNAMED = (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE)  # told though nothing says of which file
_REFUSED = {
    errno.EROFS: "mount it so that it can be written",
    errno.EACCES: "let this user read and write it",
    errno.EPERM: "let this user read and write it; `lsattr` shows whether it is closed to changes",
    errno.ENOTDIR: "a file lies where a folder belongs: move it away",
    errno.EISDIR: "a folder lies where a file belongs: move it away",
    errno.EEXIST: "something else lies there: move it away",
    errno.ELOOP: "a link leads to itself: remove it",
    errno.EIO: "a disk fails: `dmesg` says more",
    errno.ESTALE: "the server of a file has forgotten it: mount it again",
    errno.EMFILE: "raise the number of open files: ulimit -n",
    errno.ENFILE: "raise the number of open files of this machine: sysctl fs.file-max",
}


class DiskError(NamedTuple):
    kind: str
    message: str
    hint: str


def disk_error(error: OSError) -> DiskError | None:
    """The message for an error of a disk or a folder; None for any other, which may be a bug."""
    if error.errno == errno.ENOENT and not _has_current_folder():
        return DiskError("FolderUnusable", "the current folder is gone", "cd into a folder that is there")
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else ""
    folder, _, name = where.rpartition(os.sep)
    # A file gets its own name when it is whole; until then the folder says more.
    if name.startswith(".") and name.endswith(".tmp"):
        where = folder
    if error.errno in FULL:
        what = where or "what was to be written, or printed, did not fit"
        return DiskError(
            "NoSpaceLeft",
            f"no space left: {what}",
            "make room, then try again; `reprise store gc` says what it can free",
        )
    how = _REFUSED.get(error.errno or 0)
    if how is None or not (where or error.errno in _UNNAMED):
        return None
    message = f"{where}: {error.strerror}" if where else f"{error.strerror}"
    return DiskError("FolderUnusable", message, how + _whose(where))


def _has_current_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109  (to see whether it fails)
    except FileNotFoundError:
        return False
    return True


def _whose(where: str) -> str:
    from orchestrator.settings import load

    settings = load()
    for folder, variable in ((settings.store, "REPRISE_STORE"), (settings.home, "REPRISE_HOME")):
        if where == str(folder) or where.startswith(f"{folder}{os.sep}"):
            return f"; or name another folder: {variable} (now {folder})"
    return ""
