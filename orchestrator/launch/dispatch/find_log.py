"""The log of a run, wherever it is: in the store, in an attempt's spool, or on its way from another box."""

from __future__ import annotations

import time
from collections.abc import Iterator

from orchestrator.launch.dispatch.await_run import LiveLog
from orchestrator.launch.dispatch.dispatch_run import advance
from orchestrator.launch.executors.kinds import stays_on_its_box
from orchestrator.launch.session import Session
from orchestrator.record.run_record import LoggedRun, OpenRun
from orchestrator.run.container_log import passed_over, remaining
from orchestrator.run.log_spool import SpoolReader
from orchestrator.run.workspace import folders_of

POLL = 0.3  # seconds between two looks at an open run


def log_chunks(session: Session, run: LoggedRun, *, follow: bool) -> Iterator[bytes]:
    """Raw bytes of standard output and error; with `follow`, until the run is over."""
    if run.state.final:
        yield from _kept(session, run, 0)
    elif stays_on_its_box(run.executor):
        yield from _from_here(session, run, follow=follow)
    else:
        yield from _from_elsewhere(session, run, follow=follow)


def _kept(session: Session, run: LoggedRun, seen: int) -> Iterator[bytes]:
    """The log of a run that is over, from the store, without its first `seen` bytes."""
    if run.log is not None:
        yield from remaining(session.store.chunks_of(run.log.digest, run.log.size), run.log, seen)


def _from_here(session: Session, run: LoggedRun, *, follow: bool) -> Iterator[bytes]:
    """From the attempt's spool on this box."""
    attempt, seen = run.attempt, 0
    reader = _reader(session, run)
    try:
        now = session.record.open_run(run.id)
        while not now.state.final:
            if now.attempt != attempt:  # another attempt begins anew
                reader.close()
                attempt, seen, reader = now.attempt, 0, _reader(session, now)
            for missed, data in reader.more():
                yield passed_over(missed) + data
            seen = reader.place
            if not follow:
                return
            time.sleep(POLL)
            now = session.record.open_run(run.id)
    finally:
        reader.close()
    over = session.record.logged_run(run.id)
    yield from _kept(session, over, seen if over.attempt == attempt else 0)


def _reader(session: Session, run: LoggedRun | OpenRun) -> SpoolReader:
    return SpoolReader(folders_of(session.settings, run.id, run.attempt).log)


def _from_elsewhere(session: Session, run: LoggedRun, *, follow: bool) -> Iterator[bytes]:
    """Through the record, whichever box executes the run. Each look also pushes the run on."""
    log = LiveLog(session, run.id)
    while follow and not advance(session, run.id).state.final:
        yield from log.more()
        time.sleep(POLL)
    yield from log.more()
    yield from log.rest(session.record.logged_run(run.id))
