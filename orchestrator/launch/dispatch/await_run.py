"""Waiting for a run that another box executes: its log, its end, its verdict."""

from __future__ import annotations

import time
from collections.abc import Iterator

from orchestrator.errors import InfrastructureError
from orchestrator.launch.dispatch.dispatch_run import Standing, advance, take_back
from orchestrator.launch.execute.log_relay import MOST
from orchestrator.launch.interrupt import Interrupt
from orchestrator.launch.judge.judge_rerun import judge
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import LoggedRun, RunRecord
from orchestrator.run.attempt_model import State
from orchestrator.run.container_log import remaining
from orchestrator.verdict.comparability import says_nothing
from orchestrator.verdict.verdict_model import Verdict

POLL = 0.5  # seconds between two looks at a run that executes elsewhere
JUDGING = 30.0  # seconds that the box which executed a rerun has for its verdict
PATIENCE = 300.0  # seconds that a cluster engine may be silent before a waiting command ends


def wait(session: Session, run: str, watch: Watch) -> RunRecord:
    """Wait for the run's end and show its log. Ctrl-C cancels the run, as it does one of this box."""
    log = LiveLog(session, run)
    said = Standing(state=State.QUEUED, attempt=0)
    cancelled = False
    with Interrupt() as interrupt:
        while True:
            standing = _patiently(session, run, watch)
            if (standing.state, standing.attempt, standing.detail) != (said.state, said.attempt, said.detail):
                _tell(session, run, said, standing, watch)
                said = standing
            for piece in log.more():
                watch.log(piece)
            if standing.state.final:
                break
            if interrupt.asked and not cancelled:
                cancelled = True
                watch.note("asked for the end of the run; Ctrl-C again leaves it to itself")
                session.record.request_cancel(run)
                take_back(session, run)
            time.sleep(POLL)
    record = session.record.run(run)
    for piece in log.rest(record):
        watch.log(piece)
    return record


def judged_elsewhere(session: Session, record: RunRecord, watch: Watch) -> Verdict | None:
    """The verdict of the box that executed a rerun, or ours where none comes within JUDGING."""
    if record.rerun_of is None or says_nothing(record):
        return judge(session, record, watch)
    end = time.monotonic() + JUDGING
    while time.monotonic() < end:
        lines = [line for line in session.record.history.verdicts(record.id) if line.run == record.id]
        if lines:
            return Verdict.model_validate(lines[-1].document)
        time.sleep(POLL)
    return judge(session, record, watch)


def _patiently(session: Session, run: str, watch: Watch) -> Standing:
    since = time.monotonic()
    while True:
        try:
            return advance(session, run)
        except InfrastructureError as error:
            if time.monotonic() - since > PATIENCE:
                raise
            watch.note(error.message)
            time.sleep(10 * POLL)


def _tell(session: Session, run: str, before: Standing, now: Standing, watch: Watch) -> None:
    if now.attempt != before.attempt and not now.state.final and now.state is not State.QUEUED:
        facts = session.record.run(run)
        watch.phase("run", f"attempt {now.attempt} on box {facts.box_name or (facts.box or '')[:8]}")
    if now.detail and now.detail != before.detail:
        watch.note(now.detail)


class LiveLog:
    """The log of an open run, read piece by piece through the record."""

    def __init__(self, session: Session, run: str) -> None:
        self._session, self._run = session, run
        self._attempt = self._start = 0

    def more(self) -> Iterator[bytes]:
        opened = self._session.record.open_run(self._run)
        if opened.attempt != self._attempt:  # another attempt begins anew
            self._attempt, self._start = opened.attempt, 0
        for start, data in self._session.record.live_log(self._run, self._attempt, self._start):
            self._start = start + len(data)
            yield data

    def rest(self, record: RunRecord | LoggedRun) -> Iterator[bytes]:
        """The rest, from the store, when the run is over. A truncated log has a gap in its middle."""
        if record.log is None:
            return
        seen = min(self._start, MOST) if record.attempt == self._attempt else 0
        chunks = self._session.store.chunks_of(record.log.digest, record.log.size)
        yield from remaining(chunks, record.log, seen)
