"""Cluster runs are pushed on in the background by one process of a home at a time, then not for a while."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from support.records import new_run

from orchestrator.launch.dispatch.dispatch_run import Standing
from orchestrator.launch.execute import dispatch_turn, recover
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.record.run_record import Wanted
from orchestrator.run.attempt_model import State


class Started(list[subprocess.Popen[bytes]]):
    """The processes that were started, each of which goes on until it is ended."""

    def end(self) -> None:
        self[-1].kill()
        self[-1].wait(120)


@pytest.fixture
def started(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """With one open run of Slurm's."""
    session.record.submit(new_run(wanted=Wanted(executor="slurm")))
    found, start = Started(), subprocess.Popen

    def popen(words: list[str], **how: Any) -> subprocess.Popen[bytes]:
        assert words[-3:] == ["worker", "dispatch", "--once"]
        found.append(start(["sleep", "600"], **how))
        return found[-1]

    monkeypatch.setattr(recover.subprocess, "Popen", popen)
    yield found
    if found:
        found.end()


def looks(session: Session) -> None:
    for _ in range(5):
        recover.dispatch_soon(session)


def test_looks_start_one_process_and_the_next_after_a_pause(
    session: Session, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(session)
    assert len(started) == 1
    monkeypatch.setattr(dispatch_turn, "PAUSE", 0.0)
    looks(session)
    assert len(started) == 1, "it goes on"
    started.end()
    monkeypatch.setattr(dispatch_turn, "PAUSE", 3600.0)
    looks(session)
    assert len(started) == 1, "it has ended a moment ago"
    monkeypatch.setattr(dispatch_turn, "PAUSE", 0.0)
    looks(session)
    assert len(started) == 2


def test_the_pause_begins_when_all_have_been_pushed_on(
    session: Session, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written before a boot lies ahead of the clock, and counts as over."""
    looks(session)
    started.end()
    lock = session.settings.attempts / "dispatch.lock"
    begun = lock.stat().st_mtime
    monkeypatch.setattr(
        recover, "advance", lambda _session, _run, **_: Standing(state=State.QUEUED, attempt=0)
    )
    monkeypatch.setattr(recover, "poll_together", lambda _session, _runs: {})
    recover.dispatch(session, Silent())
    assert lock.stat().st_mtime > begun
    os.utime(lock, (1e12, 1e12))
    looks(session)
    assert len(started) == 2


def test_a_home_that_cannot_be_written_starts_nothing(session: Session, started: Started) -> None:
    session.settings.attempts.write_text("no folder")
    looks(session)
    assert started == []


def test_locks_of_runs_that_never_came_to_be_are_removed(session: Session) -> None:
    """A kill between the lock and the row leaves one, and nothing else ever looks for it."""
    attempts = session.settings.attempts
    attempts.mkdir(parents=True)
    left, held, others = "0123456789abcdef", "fedcba9876543210", ("dispatch.lock", "worker.lock")
    for name in (f"{left}.lock", *others):
        (attempts / name).touch()
    with run_lock(session.settings, held):
        found = list(recover._locks(session, False))
        assert [(one.run, one.removed) for one in found] == [(left, True)]
        assert {path.name for path in attempts.iterdir()} == {f"{held}.lock", *others}
