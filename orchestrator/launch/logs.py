"""The log of a run, wherever it is at the moment: in the store, or still in the engine."""

from __future__ import annotations

import time
from collections.abc import Iterator

from orchestrator.digest import CHUNK
from orchestrator.launch.session import Session
from orchestrator.record.model import RunRecord
from orchestrator.run.plan import container_name

POLL = 0.3  # seconds between two looks at a run that is not started yet


def log_chunks(session: Session, run: RunRecord, *, follow: bool) -> Iterator[bytes]:
    """Raw bytes of standard output and error; with `follow`, until the run is over."""
    while follow and not run.state.final and not _started(session, run):
        time.sleep(POLL)
        run = session.record.run(run.id)
    if run.log is not None:
        with session.store.open(run.log.digest) as stream:
            yield from iter(lambda: stream.read(CHUNK), b"")
    elif not run.state.final and _started(session, run):
        yield from session.engine.logs(container_name(run.id, run.attempt), follow=follow)


def _started(session: Session, run: RunRecord) -> bool:
    state = session.engine.inspect(container_name(run.id, run.attempt))
    return state is not None and state.status != "created"
