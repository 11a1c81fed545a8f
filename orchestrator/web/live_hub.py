"""What runs do now, for every open tab: one thread for each run that somebody looks at, however many look.

A run of this box is read where it writes; one of another box through the record. Each message is numbered, so
that a tab whose connection broke is told what it missed, or is given everything once more.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from starlette.applications import Starlette

from orchestrator.errors import InfrastructureError, RepriseError
from orchestrator.launch.dispatch.await_run import LiveLog
from orchestrator.launch.execute.follow_attempt import follow_attempt
from orchestrator.launch.session import Session
from orchestrator.record.run_record import OpenRun, RunRecord
from orchestrator.redaction import redactor
from orchestrator.run.attempt_model import State
from orchestrator.run.container_log import passed_over
from orchestrator.run.hardware import box_id
from orchestrator.run.live.live_attempt import LiveAttempt
from orchestrator.run.live.live_state import LiveState
from orchestrator.run.log_spool import SpoolReader
from orchestrator.run.workspace import folders_of
from orchestrator.untrusted_json import read_untrusted
from orchestrator.view.forms.clean_text import Cleaner
from orchestrator.view.forms.json_form import jsonable

EVERY = 0.25  # seconds between two looks at a run of this box
RECORD = 1.0  # seconds between two questions to the record
SAID = 0.5  # seconds between two states that are sent
STREAMS = 100  # tabs that are served at a time
FOLLOWED = 200  # runs, each by a thread of its own
QUEUE = 8  # messages that wait for a slow tab; then it is given everything once more
KEPT = 64  # messages that are kept for tabs whose connection broke
LINES = 300  # last lines of the log
LONGEST = 2_000  # characters of a line
LINGER = 15.0  # seconds that a run is followed after the last one looked


@dataclass(frozen=True)
class Message:
    number: int
    event: str
    data: str


@dataclass(eq=False)
class Tab:
    """One open stream. Its queue is filled from another thread."""

    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[Message | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    number: int = -1  # of the last message that it was given

    def send(self, message: Message, everything: Callable[[], Message]) -> None:
        def put() -> None:
            if message.number <= self.number:
                return  # "everything" held it, made while this one waited for its turn
            given = message
            if self.queue.full():
                while not self.queue.empty():
                    self.queue.get_nowait()
                given = everything()
            self.queue.put_nowait(given)
            self.number = given.number

        _soon(self.loop, put)


class Channel:
    """One run, followed by a thread of its own until it is over, or nobody looks any more."""

    def __init__(self, session: Session, run: OpenRun) -> None:
        self.run = run.id
        self.name = secrets.token_hex(4)
        self.over = False
        self.asked = time.monotonic()
        self._session = session
        # A change and its message are one step under it: a tab that enters is never told a line twice.
        self._lock = threading.RLock()
        self._tabs: set[Tab] = set()
        self._kept: deque[Message] = deque(maxlen=KEPT)
        self._number = 0
        self._state, self._live, self._problem = run.state, "", ""
        self._log = _LogTail()
        self._looked = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"live {run.id}", daemon=True)
        self._thread.start()

    # For tabs

    def enter(self, tab: Tab, last: str) -> list[Message]:
        """The messages that a new tab is given first. `last`: the last one that it had."""
        name, _, number = last.partition("-")
        with self._lock:
            self._tabs.add(tab)
            if name == self.name and number.isdecimal() and self._kept:
                missed = [one for one in self._kept if one.number > int(number)]
                if self._kept[0].number <= int(number) + 1:
                    return missed
            return [self._everything()]

    def leave(self, tab: Tab) -> None:
        with self._lock:
            self._tabs.discard(tab)
            self.asked = time.monotonic()

    def end(self) -> None:
        """Soon; `close` waits for it."""
        self.over = True

    def close(self, until: float) -> None:
        """`until`: on the monotonic clock; a record that does not answer holds it for longer."""
        self.end()
        self._thread.join(max(0.0, until - time.monotonic()))

    def snapshot(self, wait: float = 2.0) -> tuple[str, str]:
        """A mark that changes with it, and all that is known, as JSON."""
        self.asked = time.monotonic()
        self._looked.wait(wait)
        with self._lock:
            return f"{self.name}-{self._number}", self._everything().data

    # In the thread

    def _work(self) -> None:
        source: _Followed | None = None
        said = spoken = 0.0
        try:
            while not self.over:
                now = time.monotonic()
                try:
                    if source is None or now - said >= RECORD:
                        said = now
                        opened = self._session.record.open_run(self.run)
                        self._move(opened.state)
                        if source is None or source.attempt != opened.attempt:
                            source = self._another(source, opened)
                    self._read(source, send=now - spoken >= SAID)
                    spoken = now if now - spoken >= SAID else spoken
                except (RepriseError, OSError) as error:
                    said_why = error.message if isinstance(error, RepriseError) else str(error)
                    self._tell("problem", {"problem": said_why})
                    time.sleep(RECORD)
                self._looked.set()
                if not self._tabs and now - self.asked > LINGER:
                    return
                time.sleep(EVERY)
        finally:
            self.over = True
            self._looked.set()
            if source is not None:
                source.close()
            with self._lock:
                for tab in self._tabs:
                    _soon(tab.loop, partial(_ended, tab.queue))

    def _another(self, before: _Followed | None, opened: OpenRun) -> _Followed:
        if before is not None:
            before.close()
        with self._lock:
            self._log = _LogTail()
        return _Followed(self._session, self._session.record.run(self.run), opened)

    def _read(self, source: _Followed, *, send: bool) -> None:
        new = self._log.read(source.log())
        with self._lock:
            first, lines, missed = self._log.add(new)
            if lines or missed:
                self._tell("log", {"first": first, "lines": lines, "missed": missed})
        if send and (text := source.state()) and text != self._live:
            with self._lock:
                self._live = text
                self._tell("state", None)

    def _move(self, state: State) -> None:
        if state is self._state:
            return
        with self._lock:
            self._state = state
            self._tell("run", {"state": state.value})
        if state.final:
            self._tell("end", {"state": state.value})
            self.over = True

    def _tell(self, event: str, data: dict[str, Any] | None) -> None:
        with self._lock:
            self._number += 1
            text = self._live if data is None else json.dumps(data)
            message = Message(self._number, event, text)
            self._kept.append(message)
            for tab in self._tabs:
                tab.send(message, self._everything_later)

    def _everything_later(self) -> Message:
        with self._lock:
            return self._everything()

    def _everything(self) -> Message:
        log = {"first": self._log.first, "lines": list(self._log.lines)}
        live = self._live or "null"
        head = json.dumps({"run": self.run, "state": self._state.value, "log": log})
        return Message(self._number, "reset", f'{head[:-1]}, "live": {live}}}')


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the server has ended
        loop.call_soon_threadsafe(call)


def _ended(queue: asyncio.Queue[Message | None]) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(None)


class _NewLines(NamedTuple):
    last: deque[str]
    total: int  # those before them, too


class _LogTail:
    """The last lines of a log, numbered from 1. Only `add` changes `lines` and `first`."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=LINES)
        self.first = 1
        self._cleaner = Cleaner()
        self._rest = ""

    def read(self, chunks: Iterator[bytes]) -> _NewLines:
        """The lines that these bytes complete: all of them are counted, the last ones kept."""
        found: deque[str] = deque(maxlen=LINES)
        count, redacted = 0, redactor()
        for chunk in chunks:
            *whole, self._rest = (self._rest + self._cleaner.feed(chunk)).split("\n")
            self._rest = self._rest[-LONGEST:]
            count += len(whole)
            found.extend(redacted(line[:LONGEST]) for line in whole)
        return _NewLines(found, count)

    def add(self, new: _NewLines) -> tuple[int, list[str], int]:
        """Number of the first new line, the new lines, and how many before them were left out."""
        start = self.first + len(self.lines)
        missed = new.total - len(new.last)
        self.lines.extend(new.last)
        self.first = start + new.total - len(self.lines)
        return start + missed, list(new.last), missed


class _Followed:
    """Where an attempt is read: on this box, or through the record."""

    def __init__(self, session: Session, run: RunRecord, opened: OpenRun) -> None:
        self.attempt = opened.attempt
        self._session, self._run = session, run
        folders = folders_of(session.settings, run.id, opened.attempt)
        self._here = opened.box == box_id(session.settings) and folders.report.is_dir()
        self._live: LiveAttempt | None = None
        self._spool = SpoolReader(folders.log) if self._here else None
        self._relayed = LiveLog(session, run.id)
        self._due = 0.0

    def log(self) -> Iterator[bytes]:
        if self._spool is not None:
            for missed, data in self._spool.more():
                yield passed_over(missed) + data
        elif self._asks():
            yield from self._relayed.more()

    def state(self) -> str:
        if self._here:
            if self._live is None:
                self._live = follow_attempt(self._session, self._run, self.attempt)
            return _compact(self._live.look())
        text = self._session.record.live_state(self._run.id, self.attempt)
        try:
            return _compact(read_untrusted(LiveState, text.encode())) if text else ""
        except ValueError:  # a row that others wrote
            return ""

    def _asks(self) -> bool:
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + RECORD
        return True

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
        if self._live is not None:
            self._live.close()


def _compact(state: LiveState) -> str:
    """In one line, as a stream of events needs it."""
    return json.dumps(jsonable(state), separators=(",", ":"), allow_nan=False)


class Hub:
    """The channels of all runs that somebody looks at."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._channels: dict[str, Channel] = {}
        self.streams = 0

    def channel(self, run: OpenRun) -> Channel:
        """InfrastructureError where as many runs are followed as can be."""
        with self._lock:
            found = self._channels.get(run.id)
            if found is None or found.over:
                self._channels = {name: one for name, one in self._channels.items() if not one.over}
                if len(self._channels) >= FOLLOWED:
                    raise InfrastructureError(
                        f"{FOLLOWED} runs are followed",
                        f"one that nobody looks at is free after {LINGER:g} s",
                    )
                found = self._channels[run.id] = Channel(self._session, run)
            return found

    def end(self) -> list[Channel]:
        """All streams, soon: a channel that is over tells its tabs."""
        channels = list(self._channels.values())
        for channel in channels:
            channel.end()
        return channels

    def close(self) -> None:
        # All are told before the first is waited for, and they have one time together.
        until = time.monotonic() + 2 * RECORD
        for channel in self.end():
            channel.close(until)


def hub_of(app: Starlette) -> Hub:
    found = app.state.live_hub
    assert isinstance(found, Hub)  # noqa: S101  (for mypy)
    return found
