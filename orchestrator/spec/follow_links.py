"""A path with its links followed, by the same rule in every Python."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def follow_links(path: Path) -> Path:
    """The path without links, whether anything is there or not.

    OSError (ELOOP) for links that lead in a circle: Python before 3.13 raises RuntimeError, later ones leave
    the circle as it stands. ValueError for a null character.
    """
    try:
        place = path.resolve()
    except RuntimeError:
        circle = True
    else:
        try:
            circle = stat.S_ISLNK(place.lstat().st_mode)
        except OSError as error:  # nothing is there, or it cannot be looked at
            circle = error.errno == errno.ELOOP
    if circle:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return place
