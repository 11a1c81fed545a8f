"""Whether somebody asked for the end of an attempt: a thread asks the record, so nothing waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from orchestrator.errors import RecordError

if TYPE_CHECKING:
    from orchestrator.record.record import Record

EVERY = 1.0  # seconds between two questions


class StopRequest:
    """Called, it gives the record's last answer. While the record is away, nobody has asked.

    A thread asks, so that deadline and limits of the job are watched even without a record.
    """

    def __init__(self, record: Record, run: str, attempt: int, note: Callable[[str], None]) -> None:
        self._record, self._run, self._attempt, self._note = record, run, attempt, note
        self._asked = False
        self._bug: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="wish", daemon=True)

    def __call__(self) -> bool:
        if self._bug is not None:
            raise self._bug
        return self._asked

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()

    def _work(self) -> None:
        silent = False
        while not self._asked:
            try:
                self._asked = self._record.stop_asked(self._run, self._attempt)
                silent = False
            except RecordError as error:
                if not silent:
                    self._note(f"the record does not answer, and the job goes on: {error.message}")
                silent = True
            except Exception as error:  # noqa: BLE001  (raised where the answer is asked for)
                self._bug = error
                return
            if self._over.wait(EVERY):
                return
