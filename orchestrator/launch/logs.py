"""The log of a run, wherever it is: in the store, in the engine, or on its way from another box."""

from __future__ import annotations

import time
from collections.abc import Iterator

from orchestrator.launch.dispatch import advance
from orchestrator.launch.elsewhere import LiveLog
from orchestrator.launch.executors.known import LOCAL
from orchestrator.launch.session import Session
from orchestrator.record.model import RunRecord
from orchestrator.run.plan import container_name

POLL = 0.3  # seconds between two looks at a run that is not started yet


def log_chunks(session: Session, run: RunRecord, *, follow: bool) -> Iterator[bytes]:
    """Raw bytes of standard output and error; with `follow`, until the run is over."""
    if run.wanted.executor != LOCAL and not run.state.final:
        yield from _from_elsewhere(session, run, follow=follow)
        return
    while follow and not run.state.final and not _started(session, run):
        time.sleep(POLL)
        run = session.record.run(run.id)
    if run.log is not None:
        yield from session.store.chunks_of(run.log.digest)
    elif not run.state.final and _started(session, run):
        yield from session.engine.logs(container_name(run.id, run.attempt), follow=follow)


def _from_elsewhere(session: Session, run: RunRecord, *, follow: bool) -> Iterator[bytes]:
    """Through the record, whichever box executes it. Who looks on pushes it on, too."""
    log = LiveLog(session, run.id)
    while follow and not advance(session, run.id).state.final:
        yield from log.more()
        time.sleep(POLL)
    yield from log.more()
    yield from log.rest(session.record.run(run.id))


def _started(session: Session, run: RunRecord) -> bool:
    state = session.engine.inspect(container_name(run.id, run.attempt))
    return state is not None and state.status != "created"
