"""The live log of a run that executes elsewhere, through the record: small, capped, gone at the end.

A piece a second at most, and MOST bytes per attempt; the whole log is in the store when the run is over.
So a team needs nothing but the record to follow a run, and a job that prints without end costs its database
one megabyte.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import RecordError
from orchestrator.launch.executors.known import LOCAL
from orchestrator.launch.watch import Watch
from orchestrator.record.database import Record
from orchestrator.record.model import OpenRun

MOST = 1 << 20  # bytes of one attempt's live log
PIECE = 1 << 16  # bytes
EVERY = 1.0  # seconds between two pieces
CUT = b"\n[the live log ends here; the whole of it is in the record when the run is over]\n"


class Relay:
    """A watch that hands everything on, and puts the log where other boxes can read it.

    What cannot be written is dropped: a log reader never waits for the database.
    """

    def __init__(self, record: Record, run: str, attempt: int, watch: Watch) -> None:
        self._record, self._run, self._attempt, self._watch = record, run, attempt, watch
        self._waiting = bytearray()
        self._sent = 0
        self._cut = self._told = False  # there is more than MOST; readers know
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="relay", daemon=True)
        self._thread.start()

    def phase(self, name: str, detail: str = "") -> None:
        self._watch.phase(name, detail)

    def log(self, data: bytes) -> None:
        self._watch.log(data)
        with self._lock:
            if self._cut:
                return
            room = MOST - self._sent - len(self._waiting)
            self._waiting += data[:room]
            self._cut = len(data) > room

    def tick(self, seconds: float, workspace_bytes: int) -> None:
        self._watch.tick(seconds, workspace_bytes)

    def moved(self, done: int, total: int) -> None:
        self._watch.moved(done, total)

    def note(self, text: str) -> None:
        self._watch.note(text)

    def close(self) -> None:
        self._over.set()

    def _work(self) -> None:
        while not self._over.wait(EVERY):
            try:
                self._send()
            except RecordError as error:  # given up meanwhile, or the database is away: the store has it all
                self._watch.note(f"the live log broke off: {error.message}")
                return

    def _send(self) -> None:
        while True:
            with self._lock:
                piece = bytes(self._waiting[:PIECE])
            if self._cut and not piece and not self._told:
                self._told = True
                self._record.append_log(self._run, self._attempt, MOST, CUT)
            if not piece:
                return
            self._record.append_log(self._run, self._attempt, self._sent, piece)
            with self._lock:
                del self._waiting[: len(piece)]
                self._sent += len(piece)


@contextmanager
def relayed(record: Record, opened: OpenRun, watch: Watch) -> Iterator[Watch]:
    """The watch itself for a run of this box: its log is in the engine, for everybody who can see it."""
    if opened.wanted.executor == LOCAL:
        yield watch
        return
    relay = Relay(record, opened.id, opened.attempt, watch)
    try:
        yield relay
    finally:
        relay.close()
