"""Whether this box can get the inputs of a queued run: at their paths, in its cache, or out of the store."""

from __future__ import annotations

import time
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.digest import Digest
from orchestrator.record.run_record import Queued
from orchestrator.record.store.answer_limit import AnswerLimit, SilentStoreError

if TYPE_CHECKING:
    from orchestrator.launch.session import Session

AGAIN = 15.0  # seconds until the store is asked again for what it did not have
KEPT = 600.0  # seconds for which it is believed to have what it had
MOST = 100_000  # answers that are remembered


class InputReach:
    """Remembers what the store said: a worker looks at the queue several times a second, and beats between.

    A session's own: `session.input_reach`.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._said: dict[Digest, tuple[bool, float]] = {}  # digest -> whether it was there, when
        self._paths = AnswerLimit("a folder of inputs")

    @cached_property
    def _limit(self) -> AnswerLimit:
        return AnswerLimit(f"the store {self._session.store.name}")

    def lacking(self, run: Queued) -> list[str]:
        """Names of inputs that this box cannot get. StoreError where the store does not answer.

        At a path anything counts: its bytes are checked by whoever executes the run, who gives it back.
        """
        return sorted(name for name, digest in run.inputs.items() if not self._reaches(run, name, digest))

    def absent_from_store(self, run: Queued) -> list[str]:
        """Names of a run's inputs that the store has not. StoreError where it does not answer."""
        return sorted(name for name, digest in run.inputs.items() if not self._is_stored(digest))

    def _reaches(self, run: Queued, name: str, digest: Digest) -> bool:
        path = run.input_paths.get(name)
        return (
            (path is not None and self._is_there(path))
            or self._session.inputs.has(digest)
            or self._is_stored(digest)
        )

    def _is_stored(self, digest: Digest) -> bool:
        there, since = self._said.get(digest, (False, -KEPT))
        if time.monotonic() - since > (KEPT if there else AGAIN):
            return self._limit(partial(self._ask, digest))
        return there

    def _ask(self, digest: Digest) -> bool:
        """An answer that comes too late for who asked is there for the next one."""
        there = self._session.store.has(digest)
        if len(self._said) >= MOST:
            self._said.clear()
        self._said[digest] = (there, time.monotonic())
        return there

    def _is_there(self, path: str) -> bool:
        """Not where its folder hangs: then the data may be in the cache or the store."""
        try:
            return self._paths(Path(path).exists)
        except (OSError, ValueError, SilentStoreError):  # no path at all: somebody wrote it into the row
            return False
