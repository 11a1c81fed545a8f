"""Who writes: the user and the machine, as the machine knows them. Nothing proves it."""

from __future__ import annotations

import getpass
import platform


def person() -> str:
    """The login name. A user without one (a bare uid in a container) is `unknown`."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def author() -> str:
    """`ada@alpha`: user and machine."""
    return f"{person()}@{platform.node() or 'unknown'}"
