"""A bar for work of several parts, each of known length."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE = 1.0  # seconds without a bar


class PartBar:
    """Nothing away from a terminal."""

    def __init__(self) -> None:
        from orchestrator.cli.terminal.console import is_terminal

        self._shown = is_terminal(sys.stderr)
        self._began = time.monotonic()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def step(self, part: str) -> Callable[[int, int], None]:
        def tick(done: int, total: int) -> None:
            if self._shown and time.monotonic() - self._began > PATIENCE:
                self._draw(str(part), done, total)

        return tick

    def _draw(self, part: str, done: int, total: int) -> None:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import Progress

            self._progress = Progress(console=Console(file=sys.stderr), transient=True)
            self._progress.start()
        if part not in self._tasks:
            self._tasks[part] = self._progress.add_task(part, total=total)
        self._progress.update(self._tasks[part], completed=done, total=total)
