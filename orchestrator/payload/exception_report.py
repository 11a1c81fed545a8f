"""A process that ended by an uncaught exception says so, whatever becomes of its exit code.

A shell's pipe or a parent that looks at no exit code hides it. `ended-<pid>.json` is left: {"error":
"RuntimeError: loss is nan", "at": "train.py:12", "argv": …}. Read from what the interpreter keeps of the
exception that it printed, so no hook of the user's is replaced. multiprocessing prints its children's itself.
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
    except Exception as second:  # noqa: BLE001 - whatever breaks here is reported instead of raised
        report_writer.failed("reporting what a process died of", second)


def _text(error: BaseException) -> str:
    """The type and the first line that holds words, and the next where that one ends in a colon."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a class of the user's, and what its text raises says nothing
        return name
    lines = [line.strip() for line in text.splitlines() if any(map(str.isalnum, line))]
    words = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return f"{name}: {words}"[:MAX_TEXT] if words else name


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
