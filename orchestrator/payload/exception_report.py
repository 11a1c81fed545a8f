"""Reports the uncaught exception that ended a process, even if its exit code is lost.

A shell's pipe, or a parent that ignores exit codes, hides it. `ended-<pid>.json` holds {"error":
"RuntimeError: loss is nan", "at": "train.py:12", "argv": …}. The exception is the last one that the
interpreter printed, so no hook of the user's is replaced. multiprocessing prints its children's itself.
"""

from __future__ import annotations

import atexit
import os
import sys

from . import report_writer

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from typing import Any

MAX_TEXT = 500  # characters kept of each text

_reported = 0  # pid of the process that has reported; a forked child inherits the number


def install() -> None:
    atexit.register(lambda: report(getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)))


def on_process(process: Any) -> None:
    """multiprocessing.process: its children print the exception that ends them, and leave without atexit."""
    bootstrap = process.BaseProcess._bootstrap

    def _bootstrap(self: Any, *args: Any, **options: Any) -> Any:
        run = self.run

        def watched() -> None:
            try:
                run()
            except SystemExit:
                raise
            except BaseException as error:
                report(error)
                if error.__traceback__ is not None:  # without this frame, in the traceback that is printed
                    error.__traceback__ = error.__traceback__.tb_next
                raise

        self.run = watched
        return bootstrap(self, *args, **options)

    process.BaseProcess._bootstrap = _bootstrap


def report(error: BaseException | None) -> None:
    """Leave the report, once per process. Never raises."""
    global _reported
    pid = os.getpid()
    if error is None or isinstance(error, SystemExit) or _reported == pid:
        return
    _reported = pid
    try:
        value = {"pid": pid, "argv": report_writer.argv(), "error": _text(error), "at": _place(error)}
        report_writer.write(f"ended-{pid}.json", value)
    except Exception as second:  # noqa: BLE001 - any exception here is reported instead of raised
        report_writer.failed("reporting what a process died of", second)


def _text(error: BaseException) -> str:
    """The type and the first line with words; the next line, too, where that one ends in a colon."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a class of the user's may raise anything
        return name
    lines = [line.strip() for line in text.splitlines() if any(map(str.isalnum, line))]
    words = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return f"{name}: {words}"[:MAX_TEXT] if words else name


def _place(error: BaseException) -> str:
    """The job's own line that was running: the innermost one in a file below the working directory."""
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
