"""Where a log is read: from the spool while the run is open, from the store when it is over."""

from __future__ import annotations

import pytest
from support.records import finish_run, new_run, no_run_is_read
from support.running_run import running_job

from orchestrator.launch.dispatch.find_log import log_chunks
from orchestrator.launch.session import Session
from orchestrator.run.attempt_model import Log

TEXT = b"first\nsecond\nthird\n"


def kept(session: Session) -> Log:
    return Log(digest=session.store.put_bytes(TEXT), size=len(TEXT), truncated=False)


def test_a_run_that_was_over_is_not_read_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold 100,000 outputs and as many source files."""
    run = session.record.logged_run(finish_run(session.record, new_run(), log=kept(session)))
    silent = session.record.logged_run(finish_run(session.record, new_run()))
    no_run_is_read(monkeypatch)
    for follow in (False, True):
        assert b"".join(log_chunks(session, run, follow=follow)) == TEXT
        assert b"".join(log_chunks(session, silent, follow=follow)) == b""


def test_a_run_that_ends_while_it_is_followed_is_read_to_its_end_once(session: Session) -> None:
    with running_job(session.settings, session.record) as job:
        job.prints("first\n")
        open_run = session.record.logged_run(job.run)
        assert b"".join(log_chunks(session, open_run, follow=False)) == b"first\n"
        chunks = log_chunks(session, open_run, follow=True)
        assert next(chunks) == b"first\n"
        job.ends(log=kept(session))
        assert b"".join(chunks) == b"second\nthird\n"
        assert b"".join(log_chunks(session, open_run, follow=False)) == TEXT
