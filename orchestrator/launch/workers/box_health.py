"""Whether a worker's box can take runs. A box that cannot leaves the queue to others.

It is tried when its worker starts and after each run that failed through the box's own fault. Each such
failure doubles the pause before the next trial.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from orchestrator.launch.doctor import Check

FIRST, LONGEST = 2.0, 300.0  # seconds that a box takes nothing after a failure of its own


class Health:
    """`trial` checks each part of the box, in a thread: the heartbeat goes on while a store is away."""

    def __init__(self, trial: Callable[[], list[Check]]) -> None:
        self._trial = trial
        self.trouble = "it is being tried"
        self._failures = 0
        self._until = 0.0  # on the monotonic clock
        self._found: list[str] | None = None  # of the last trial: what is wrong, at most one
        self._thread: threading.Thread | None = None

    def blame(self, why: str) -> None:
        """A run failed here through the box's fault."""
        self._failures += 1
        self._until = time.monotonic() + min(FIRST * 2 ** (self._failures - 1), LONGEST)
        self.trouble = why

    def worked(self) -> None:
        """A run went through."""
        self._failures = 0

    @property
    def sick(self) -> bool:
        """Whether something was found wrong, and no trial has passed since."""
        return bool(self.trouble) and self._failures > 0

    def fit(self) -> bool:
        """Whether a run may be taken now; begins a trial when it is time, and never waits for it."""
        if not self.trouble:
            return True
        if time.monotonic() < self._until:
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._try, name="trial", daemon=True)
            self._thread.start()
            self._thread.join(0.2)  # most trials are over by then
        if self._thread.is_alive():
            return False
        self._thread, found = None, self._found
        if found:
            self.blame(found[0])
        elif found is not None:
            self.trouble = ""
        return not self.trouble

    def _try(self) -> None:
        self._found = ["the trial of this box ended without an answer"]
        wrong = [check for check in self._trial() if check.ok is False]
        self._found = [f"{check.name}: {_words(check)}" for check in wrong]


def _words(check: Check) -> str:
    return check.detail if check.hint is None else f"{check.detail} ({check.hint})"
