"""Functions that run when this process ends in any way other than by being killed."""

from __future__ import annotations

import atexit
import functools
import os
import sys

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def call_at_exit(function: Any) -> None:
    """Also in a child that multiprocessing forked: it leaves by os._exit, which skips atexit."""
    atexit.register(function)
    process = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, function, exitpriority=-1)


def call_at_any_exit(function: Callable[[], None]) -> None:
    """Also where os._exit skips atexit: in children forked by multiprocessing or by the user."""
    atexit.register(function)
    leave = os._exit

    @functools.wraps(leave)
    def _exit(status: int) -> None:
        function()
        leave(status)

    os._exit = _exit  # type: ignore[assignment]
