"""The terminal's Watch: phases, the job's log, and a status line while the job runs."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from orchestrator.cli.terminal.console import tell
from orchestrator.cli.terminal.progress_bar import StatusLine, bar_text, write
from orchestrator.view.forms.clean_text import Cleaner, clean_line
from orchestrator.view.forms.human_units import clock_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.launch.watch import Watch


class TerminalWatch:
    """Implements `launch.watch.Watch`.

    The log goes to `logs`; phases, notes and the status line to `status`. A reader that has gone away
    (`| head`) silences its stream and never disturbs the run. Several threads may call it.
    """

    def __init__(self, logs: TextIO, status: TextIO) -> None:
        self._logs = logs
        self._status = status
        self._line = StatusLine(status)
        self._cleaner = Cleaner()
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.phases: list[tuple[str, float]] = []  # name, seconds since the watch began

    def phase(self, name: str, detail: str = "") -> None:
        with self._lock:
            since = time.monotonic() - self._began
            self.phases.append((name, since))
            self._say(f"{since:7.2f} s  {clean_line(name):<8} {clean_line(detail)}".rstrip())

    def log(self, data: bytes) -> None:
        with self._lock:
            self._print_log(self._cleaner.feed(data))

    def tick(self, seconds: float, workspace_bytes: int) -> None:
        if not self._line.live:
            return
        with self._lock:
            text = f"running {clock_text(seconds)}  workspace {size_text(workspace_bytes)}"
            doing = self._cleaner.partial.strip()
            if doing:
                text += f"  | {doing}"
            self._line.draw(text)

    def moved(self, done: int, total: int) -> None:
        if total <= 0:
            return
        with self._lock:
            self._line.draw(f"{bar_text(done, total)} {size_text(done)} of {size_text(total)}")

    def note(self, text: str) -> None:
        with self._lock:
            self._say(f"note: {clean_line(text)}")

    def finish(self) -> None:
        """Print what is left of the log, and take the status line away."""
        with self._lock:
            rest = self._cleaner.close()
            self._print_log(rest + "\n" if rest else "")
            self._line.erase()

    def _print_log(self, text: str) -> None:
        if text:
            self._line.erase()
            write(self._logs, text)

    def _say(self, text: str) -> None:
        self._line.erase()
        write(self._status, text + "\n")


@contextmanager
def watching(as_json: bool, quiet: bool) -> Iterator[Watch]:
    """The watch that a verb's options ask for. With `--json` only the document goes to standard output."""
    if quiet:
        from orchestrator.launch.watch import Silent

        yield Silent()
        return
    watch = TerminalWatch(logs=sys.stderr if as_json else sys.stdout, status=sys.stderr)
    try:
        yield watch
    finally:
        watch.finish()


def notes_only() -> Watch:
    """A watch that prints notes to standard error and nothing else."""
    from orchestrator.launch.watch import Silent

    class Notes(Silent):
        def note(self, text: str) -> None:
            tell(f"note: {text}")

    return Notes()


def steps_only() -> Watch:
    """A watch for a process in the background: phases and notes to standard error, not the job's log."""
    from orchestrator.launch.watch import Silent

    class Steps(Silent):
        def phase(self, name: str, detail: str = "") -> None:
            tell(f"{name} {detail}".rstrip())

        def note(self, text: str) -> None:
            tell(f"note: {text}")

    return Steps()
