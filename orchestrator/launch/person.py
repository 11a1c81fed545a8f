"""Who types the command, as the machine knows them."""

from __future__ import annotations

import getpass


def person() -> str:
    """The login name. A user without one (a bare uid in a container) is `unknown`."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
