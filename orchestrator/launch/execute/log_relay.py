"""What a run that executes elsewhere prints, measures and traces, through the record: small, capped, gone at
its end.

A piece a second at most, and MOST bytes per attempt; the whole log is in the store when the run is over.
So a team needs nothing but the record to follow a run, and a job that prints without end costs its database
one megabyte. The log is read from the attempt's spool, from the first byte that the record lacks: a process
that takes an attempt over goes on where the one before was killed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import FencedError, RecordError, RepriseError
from orchestrator.launch.executors.kinds import stays_on_its_box
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import OpenRun
from orchestrator.run.container_log import passed_over
from orchestrator.run.log_spool import SpoolReader

if TYPE_CHECKING:
    from orchestrator.record.record import Record
    from orchestrator.run.live.live_attempt import LiveAttempt

MOST = 1 << 20  # bytes of one attempt's live log
MOST_STATE = 384 << 10  # bytes of what it has measured and traced; what is larger is not relayed
PIECE = 1 << 16  # bytes
EVERY = 1.0  # seconds between two pieces
AGAIN = 10.0  # seconds before a record that could not be written to is tried again
CUT = b"\n[the live log ends here; the whole of it is in the record when the run is over]\n"


class Relay:
    """Puts the log of an attempt where other boxes can read it. Nobody waits for it."""

    def __init__(self, record: Record, run: str, attempt: int, spool: Path, watch: Watch) -> None:
        self._record, self._run, self._attempt, self._spool = record, run, attempt, spool
        self._watch = watch
        self._sent: int | None = None  # bytes; None: the record was not asked yet
        self._waiting = bytearray()  # read from the spool and not sent
        self._reader = SpoolReader(spool)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="relay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()

    def _work(self) -> None:
        noted = False
        wait = EVERY
        while not self._over.wait(wait):
            wait = EVERY
            try:
                if not self._send():
                    return
            except FencedError:  # given up meanwhile
                return
            except RecordError as error:
                if not noted:
                    self._watch.note(f"the live log waits for the record: {error.message}")
                noted, wait = True, AGAIN
                self._sent = None  # an answer may have been lost on its way

    def _send(self) -> bool:
        """Send what is new. False when no more of this attempt will be sent."""
        if self._sent is None:
            pieces = self._record.live_log(self._run, self._attempt, 0)
            self._sent = max((start + len(data) for start, data in pieces), default=0)
            self._waiting.clear()
            self._reader.close()
            self._reader = SpoolReader(self._spool, self._sent)
        if self._sent > MOST:
            return False
        for missed, data in self._reader.more():
            self._waiting += passed_over(missed) + data
            if self._sent + len(self._waiting) > MOST:
                break
        while self._waiting and self._sent < MOST:
            piece = bytes(self._waiting[: min(PIECE, MOST - self._sent)])
            self._record.append_log(self._run, self._attempt, self._sent, piece)
            self._sent += len(piece)
            del self._waiting[: len(piece)]
        if self._waiting:
            self._record.append_log(self._run, self._attempt, MOST, CUT)
            return False
        return True


@contextmanager
def relayed(
    record: Record, opened: OpenRun, spool: Path, watch: Watch, live: Callable[[], LiveAttempt] | None = None
) -> Iterator[None]:
    """Relay the log, but not of a run of this box: everybody who can see the run can read its spool.

    `live` begins to follow what the job measures and traces, which is relayed, too.
    """
    if stays_on_its_box(opened.wanted.executor):
        yield
        return
    relay = Relay(record, opened.id, opened.attempt, spool, watch)
    states = StateRelay(record, opened.id, opened.attempt, live, watch) if live is not None else None
    try:
        yield
    finally:
        relay.close()
        if states is not None:
            states.close()


class StateRelay:
    """Puts what an attempt has measured and traced so far into the record: one row, each second, in place."""

    def __init__(
        self, record: Record, run: str, attempt: int, live: Callable[[], LiveAttempt], watch: Watch
    ) -> None:
        self._record, self._run, self._attempt, self._live, self._watch = record, run, attempt, live, watch
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="live", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join(EVERY)

    def _work(self) -> None:
        attempt: LiveAttempt | None = None
        said, wait, noted = "", EVERY, False
        try:
            while not self._over.wait(wait):
                wait = EVERY
                try:
                    attempt = attempt or self._live()
                    text = attempt.look().model_dump_json()
                    if text != said and len(text) <= MOST_STATE:
                        self._record.put_live(self._run, self._attempt, text)
                        said = text
                except FencedError:
                    break
                except RepriseError as error:
                    if not noted:
                        self._watch.note(f"what the job measures cannot be followed now: {error.message}")
                    noted, wait = True, AGAIN
        finally:
            if attempt is not None:
                attempt.close()
