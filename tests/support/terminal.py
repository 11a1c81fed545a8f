"""A program on a pseudo-terminal of its own: what is typed on it, and what it shows."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import pytest

ROWS, COLUMNS = 24, 80
CTRL_C = "\x03"
PATIENCE = 180.0  # seconds


class Terminal:
    """As a context: the program runs inside, and is killed at the end if it still does."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self.shown = b""
        self.code: int | None = None
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.execvpe(argv[0], list(argv), environ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.code is None:
            os.kill(self._pid, 9)
            os.waitpid(self._pid, 0)
        os.close(self._fd)

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def modes(self) -> list[object]:
        """What a program could leave changed: echo, line mode, special characters."""
        return termios.tcgetattr(self._fd)

    def wait(self, reached: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Read what is shown until `reached`."""
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > deadline:
                pytest.fail(f"after {seconds} s the terminal shows only {self.shown!r}")
            self._read()

    def wait_for(self, text: bytes, seconds: float = PATIENCE) -> None:
        self.wait(lambda: text in self.shown, seconds)

    def finish(self, seconds: float = PATIENCE) -> int:
        """The exit code, after everything that was shown has been read; of a killed one minus the signal."""
        self.wait(self._ended, seconds)
        assert self.code is not None
        return self.code

    def _ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid == 0:
                return False
            self.code = os.waitstatus_to_exitcode(status)
            while self._read():
                pass
        return True

    def _read(self) -> bool:
        """Whether something was there within a moment."""
        if not select.select([self._fd], [], [], 0.05)[0]:
            return False
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:  # EIO: nobody has the other end open any more
            time.sleep(0.02)
            return False
        self.shown += data
        return bool(data)
