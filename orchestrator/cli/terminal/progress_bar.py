"""The line of a terminal that is redrawn while something goes on, and the bar that is drawn on it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import Self, TextIO

from orchestrator.cli.terminal.console import is_terminal, silence
from orchestrator.view.forms.clean_text import clean_line

PATIENCE = 1.0  # seconds without a bar
_WIDE = 20  # characters of a bar


class StatusLine:
    """Nothing is drawn away from a terminal. A reader that has gone away (`| head`) silences the stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = False
        self.live = is_terminal(stream)

    def draw(self, text: str) -> None:
        if self.live:
            width = shutil.get_terminal_size().columns
            write(self._stream, "\r\x1b[2K" + clean_line(text)[: max(width - 1, 1)])
            self._drawn = True

    def erase(self) -> None:
        if self._drawn:
            write(self._stream, "\r\x1b[2K")
            self._drawn = False


def write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        silence(stream)


def bar_text(done: int, total: int) -> str:
    """`[#####               ]`."""
    return f"[{('#' * (_WIDE * done // max(total, 1))).ljust(_WIDE)}]"


class ProgressBar:
    """A bar on standard error for work of known length, once it has taken more than a moment."""

    def __init__(self) -> None:
        self._line = StatusLine(sys.stderr)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._line.erase()

    def step(self, part: str) -> Callable[[int, int], None]:
        """The callback for one part of the work: (done, total)."""

        def tick(done: int, total: int) -> None:
            if time.monotonic() - self._began > PATIENCE:
                self._line.draw(f"{bar_text(done, total)} {part}: {done:,} of {total:,}")

        return tick
