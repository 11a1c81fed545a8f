"""The log of a container: into the attempt's spool while it runs, into the store when it is dead."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol

from orchestrator.errors import EngineError, EngineMissingError
from orchestrator.image.image_model import REPORT
from orchestrator.run.attempt_model import Log, LogDriver, Plan
from orchestrator.run.collect.output_files import BlobSink
from orchestrator.run.engine.engine import Engine
from orchestrator.run.engine.engine_logs import STDERR, STDOUT, attached_output, entries
from orchestrator.run.log_spool import LogSpool, SpoolReader, is_done, is_lost

HEAD = 1 << 20  # bytes kept from the beginning
TAIL = 7 << 20  # bytes kept from the end
ROTATED = 15_900_000  # bytes of an engine's log file that may have been rotated: 16m, less its last entry
OVERLAP = 32  # bytes; two places that share so many do not agree by chance
FRAME = 1 << 16  # bytes that are written to a spool at once
ENTRY = 27  # bytes that the engine's driver `local` stores with each line (Engine 20.10: 27)
LINE = 46  # bytes that Podman's driver `k8s-file` stores with each line: moment, stream, tag
MARKER = 100  # bytes at most of the line that says how much was left out
LOOK = 0.1  # seconds between two looks for more to show
AGAIN = 1.0  # seconds before an engine's log that broke off is asked for once more
LAST = 5.0  # seconds without anything new after which the wait for the rest ends

_LEFT_OUT = re.compile(rb"\n\[reprise: (\d{1,19}) bytes were left out here\]\n")


class Shown(Protocol):
    """Who is shown a log while it is written."""

    def log(self, data: bytes) -> None: ...

    def note(self, text: str) -> None: ...


def spool_folder(plan: Plan) -> Path:
    """The folder of the spool. The container does not see it."""
    return next(mount.source for mount in plan.mounts if mount.target == REPORT).parent / "log"


class LogPump:
    """Reads a container's output from the engine as fast as it comes, and shows it at its listener's pace.

    A full pipe would stop the job, so the thread that reads only writes to the spool. What the listener is
    shown is read back from there: one that is more than 40 MiB behind sees a note of how much it missed.
    """

    def __init__(self, engine: Engine, plan: Plan, shown: Shown, *, fresh: bool) -> None:
        """`fresh`: the container has not been started yet, so that all of its output is received."""
        self._engine, self._container, self._shown = engine, plan.container, shown
        self._spool: LogSpool | None = None
        self._bytes_shown = 0
        self._bounded = plan.log_driver is LogDriver.LOCAL
        self._lines = 0
        self._abandoned = False
        self._heard = _attach(engine, plan.container, shown) if fresh else None
        self._dead, self._over = threading.Event(), threading.Event()
        folder = spool_folder(plan)
        try:
            self._spool = LogSpool(folder)
        except OSError as error:
            shown.note(f"the log cannot be written down: {error.strerror}")
        self._show = threading.Thread(target=self._pass_on, args=(folder,), name="log show", daemon=True)
        self._take = threading.Thread(target=self._take_in, name="log", daemon=True)
        self._show.start()
        self._take.start()

    @property
    def unbounded(self) -> int:
        """Bytes that the engine's own log takes by now, about, where nothing bounds it; else 0."""
        size = 0 if self._spool is None else self._spool.size
        return 0 if self._bounded else size + LINE * self._lines

    def abandon(self) -> None:
        """Stop following the container. Its next follower goes on with the same spool."""
        self._abandoned = True
        self._over.set()

    def ended(self) -> None:
        """The container is dead: wait for what it wrote last, as long as more of it comes."""
        self._dead.set()
        _join(self._take, lambda: 0 if self._spool is None else self._spool.size)
        self._over.set()
        _join(self._show, lambda: self._bytes_shown)

    def _take_in(self) -> None:
        spool = self._spool
        try:
            heard_all = self._heard is not None
            for stream, data in self._heard or ():
                if self._abandoned:
                    return
                self._lines += data.count(b"\n")
                spool = self._add(spool, stream, data)
            # Otherwise the container may still write: the engine went away.
            if heard_all and self._dead.wait(AGAIN):
                self._close(spool, done=True)
                return
        except (EngineError, OSError) as error:
            self._shown.note(f"the log goes on from the engine's own: {error}")
        if spool is not None:
            self._take_the_rest(spool)

    def _add(self, spool: LogSpool | None, stream: int, data: bytes) -> LogSpool | None:
        """Write to the spool. None when that fails: the pipe must still be emptied."""
        if spool is None:
            return None
        try:
            spool.add(stream, data)
        except OSError as error:
            self._shown.note(f"the log cannot be written down any more: {error.strerror}")
            self._close(spool, done=False)
            return None
        return spool

    def _take_the_rest(self, spool: LogSpool) -> None:
        log = _EngineLog(self._engine, self._container, spool, self._bounded, lambda: self._abandoned)
        while not self._abandoned:
            dead = self._dead.is_set()
            try:
                log.take(follow=not dead)
            except EngineError as error:
                if dead:
                    self._shown.note(f"the log broke off: {error.message}")
                    self._close(spool, done=False)
                    return
            except OSError as error:
                self._shown.note(f"the log cannot be written down: {error.strerror}")
                return
            if dead:
                self._close(spool, done=True)
                return
            self._dead.wait(AGAIN)

    def _close(self, spool: LogSpool | None, *, done: bool) -> None:
        """Where it cannot be marked as whole, whoever collects it asks the engine for the rest once more."""
        if spool is not None:
            try:
                spool.close(done=done)
            except OSError as error:
                self._shown.note(f"the log cannot be written down: {error.strerror}")

    def _pass_on(self, folder: Path) -> None:
        try:
            self._pass_all_on(SpoolReader(folder))
        except OSError as error:
            self._shown.note(f"the log cannot be shown any more: {error.strerror}")

    def _pass_all_on(self, reader: SpoolReader) -> None:
        while True:
            over = self._over.is_set()
            for missed, data in reader.more():
                self._shown.log(passed_over(missed) + data)
                self._bytes_shown = reader.place
            if over:
                reader.close()
                return
            self._over.wait(LOOK)


def _attach(engine: Engine, container: str, shown: Shown) -> Iterator[tuple[int, bytes]] | None:
    try:
        return attached_output(engine, container)
    except EngineError as error:
        shown.note(f"{error.message}; its log is read from the engine instead")
        return None


def _join(thread: threading.Thread, size: Callable[[], int]) -> None:
    before = -1
    while thread.is_alive() and (now := size()) != before:
        before = now
        thread.join(LAST)


def passed_over(count: int) -> bytes:
    if not count:
        return b""
    return b"\n[reprise: %d bytes are not shown here: they came faster than this was read]\n" % count


class _EngineLog:
    """What a spool lacks, from the engine's log, where we were not attached from the container's start."""

    def __init__(
        self,
        engine: Engine,
        container: str,
        spool: LogSpool,
        bounded: bool,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """`bounded`: the engine may have rotated lines away."""
        self._engine, self._container, self._spool, self._stopped = engine, container, spool, stopped
        self._bounded = bounded
        self._last: dict[int, tuple[str, int]] = {}  # stream -> moment of the last entry, entries of it
        self._began = False

    def take(self, *, follow: bool) -> None:
        """Take what the log has. With `follow`, go on until the container ends or the log breaks off."""
        if not self._began:
            self._catch_up()
            self._began = True
        since = min((moment for moment, _ in self._last.values()), default="")
        skip = {stream: count for stream, (_, count) in self._last.items()}
        last = dict(self._last)
        for stream, moment, data in entries(self._engine, self._container, follow=follow, since=since):
            if stream in last and moment <= last[stream][0]:
                if moment < last[stream][0]:
                    continue
                if skip[stream] > 0:
                    skip[stream] -= 1
                    continue
            if self._stopped():
                return
            self._spool.add(stream, data)
            self._see(stream, moment)

    def _see(self, stream: int, moment: str) -> None:
        before, count = self._last.get(stream, ("", 0))
        self._last[stream] = (moment, count + 1 if moment == before else 1)

    def _catch_up(self) -> None:
        """Take the engine's log without what the spool has of each stream already."""
        spool = self._spool
        found: list[tuple[int, bytearray]] = []  # one item for all lines in a row of one stream
        stored = 0
        for stream, moment, data in entries(self._engine, self._container, follow=False):
            if not found or found[-1][0] != stream:
                found.append((stream, bytearray()))
            found[-1][1].extend(data)
            stored += len(data) + ENTRY
            self._see(stream, moment)
        skip, lost = {}, False
        for stream in (STDOUT, STDERR):
            data = b"".join(piece for which, piece in found if which == stream)
            skip[stream], gap = _have(data, spool.counts[stream], spool.heads[stream], spool.tails[stream])
            lost = lost or gap
        if lost or (self._bounded and not spool.size and stored >= ROTATED):
            spool.lose("something is missing here: the engine had rotated it away")
        for stream, piece in found:
            for place in range(skip.get(stream, 0), len(piece), FRAME):
                spool.add(stream, bytes(piece[place : place + FRAME]))
            skip[stream] = max(0, skip.get(stream, 0) - len(piece))


def _have(log: bytes, count: int, head: bytes, tail: bytes) -> tuple[int, bool]:
    """How many bytes of an engine's log of one stream the spool has, and whether some are in neither."""
    if not count or (log.startswith(head) and len(log) >= count and log[:count].endswith(tail)):
        return count, False
    if log.startswith(head) and len(log) < count:  # the engine's log gets an unfinished line late
        return len(log), False
    place = log.rfind(tail)
    if place >= 0:
        return place + len(tail), False
    # The engine's log may begin within the spool's tail.
    for length in range(len(tail) - 1, OVERLAP, -1):
        if log.startswith(tail[-length:]):
            return length, False
    return 0, True


# When it is dead


def read_log(engine: Engine, plan: Plan, sink: BlobSink) -> Log:
    """Store what there is of a log: whole if it is small, else its two ends, and between them how much was
    left out. EngineMissingError where the engine has more of it and does not answer.
    """
    folder = spool_folder(plan)
    if not is_done(folder):
        spool = LogSpool(folder)
        try:
            bounded = plan.log_driver is LogDriver.LOCAL
            _EngineLog(engine, plan.container, spool, bounded).take(follow=False)
        except EngineMissingError:
            spool.close(done=False)
            raise
        except EngineError as error:
            spool.lose(f"the rest could not be read: {error.message}")
        spool.close(done=True)
    data, dropped = _ends(folder)
    digest = sink.add(io.BytesIO(data), len(data))
    return Log(digest=digest, size=len(data), truncated=dropped > 0 or is_lost(folder))


def _ends(folder: Path) -> tuple[bytes, int]:
    """The log as it is kept, and how many bytes were left out."""
    head, tail, size = bytearray(), bytearray(), 0
    reader = SpoolReader(folder)
    for missed, data in reader.more():
        size += missed + len(data)
        room = HEAD - len(head) if size - len(data) < HEAD else 0
        head += data[:room]
        tail += data[room:]
        if len(tail) > 2 * TAIL:
            del tail[:-TAIL]
    reader.close()
    dropped = size - len(head) - len(tail[-TAIL:])
    marker = b"\n[reprise: %d bytes were left out here]\n" % dropped if dropped else b""
    return bytes(head + marker + tail[-TAIL:]), dropped


def remaining(chunks: Iterator[bytes], log: Log, seen: int) -> Iterator[bytes]:
    """A kept log without the first `seen` bytes that the job wrote."""
    begin = bytearray()
    if log.truncated:
        while len(begin) < HEAD + MARKER and (data := next(chunks, b"")):
            begin += data
        marker = _LEFT_OUT.match(begin, HEAD)
        if marker is not None:
            left_out = int(marker[1])
            if seen >= HEAD + left_out:  # all that was left out here was seen
                seen += len(marker[0]) - left_out
            elif seen > HEAD:
                yield passed_over(HEAD + left_out - seen)
                seen = HEAD + len(marker[0])
    for data in chain((bytes(begin),), chunks):
        if data[seen:]:
            yield data[seen:]
        seen = max(0, seen - len(data))
