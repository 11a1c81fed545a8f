"""A process that ended by an uncaught exception says so, whatever becomes of its exit code.

A shell's pipe or a parent that looks at no exit code hides it. `ended-<pid>.json` is left: {"error":
"RuntimeError: loss is nan", "at": "train.py:12", "argv": …}. Read from what the interpreter keeps of the
exception that it printed, so no hook of the user's is replaced. multiprocessing prints its children's itself.
"""

from __future__ import annotations

import atexit
import os
import sys

from . import report

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from typing import Any

MAX_TEXT = 500  # characters kept of each text

_told = 0  # pid of the process that has told; a forked child inherits the number


def install() -> None:
    atexit.register(lambda: tell(getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)))


def on_process(process: Any) -> None:
    """multiprocessing.process: its children catch and print what ends them, and leave past atexit."""
    bootstrap = process.BaseProcess._bootstrap

    def _bootstrap(self: Any, *args: Any, **options: Any) -> Any:
        run = self.run

        def watched() -> None:
            try:
                run()
            except SystemExit:
                raise
            except BaseException as error:
                tell(error)
                if error.__traceback__ is not None:  # without this frame, in the traceback that is printed
                    error.__traceback__ = error.__traceback__.tb_next
                raise

        self.run = watched
        return bootstrap(self, *args, **options)

    process.BaseProcess._bootstrap = _bootstrap


def tell(error: BaseException | None) -> None:
    """Leave the report, once per process. Never raises."""
    global _told
    pid = os.getpid()
    if error is None or isinstance(error, SystemExit) or _told == pid:
        return
    _told = pid
    try:
        value = {"pid": pid, "argv": report.argv(), "error": _said(error), "at": _place(error)}
        report.write(f"ended-{pid}.json", value)
    except Exception as second:  # noqa: BLE001 - whatever breaks here is reported instead of raised
        report.failed("telling what a process died of", second)


def _said(error: BaseException) -> str:
    """The type and the first line that holds words, and the next where that one ends in a colon."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a class of the user's, and what its text raises says nothing
        return name
    lines = [line.strip() for line in text.splitlines() if any(map(str.isalnum, line))]
    told = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return f"{name}: {told}"[:MAX_TEXT] if told else name


def _place(error: BaseException) -> str:
    """The line of the job's own that was being run: the innermost of a file below the working directory."""
    found, entry = "", error.__traceback__
    try:
        folder = f"{os.getcwd()}/"  # noqa: PTH109 - pathlib costs 9 ms
    except OSError:  # it was removed
        folder = "/workspace/"
    while entry is not None:
        path = entry.tb_frame.f_code.co_filename
        if path.startswith(folder) or not path.startswith(("/", "<")):
            found = f"{path.removeprefix(folder)}:{entry.tb_lineno}"
        entry = entry.tb_next
    return found[:MAX_TEXT]
