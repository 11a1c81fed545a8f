"""What every executor must hold, whatever starts its processes: the same tests for all of them.

A test module of an executor defines the fixture `lab` and imports the tests:

    from support.executor_conformance import *  # noqa: F403

They run on one machine with one engine, so containers can be counted and processes killed by number.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.errors import FencedError
from orchestrator.launch.dispatch.choose_place import wanted_on
from orchestrator.launch.dispatch.dispatch_run import advance, attempt_of
from orchestrator.launch.dispatch.hand_over import share_image
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.executors.executor import Executor, Launcher, OwnBox, Stage, WorkerQueue
from orchestrator.launch.executors.kinds import executor_of
from orchestrator.launch.executors.launched_command import execute_command
from orchestrator.launch.session import Session
from orchestrator.launch.submit.build_image import BuildRequest, build
from orchestrator.launch.submit.submit_run import _new_run, load
from orchestrator.launch.watch import Silent
from orchestrator.record.ledger.read_ledger import EventFilter
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Result, State
from orchestrator.settings import load as load_settings
from support.box import WAITS, Box, containers, write_job
from support.programs import ran

__all__ = [
    "test_a_run_ends_once_and_its_stages_go_forward",
    "test_a_stale_attempt_writes_nothing_and_leaves_no_container",
    "test_cancel_ends_the_container_and_the_run",
    "test_cancelled_before_it_began",
    "test_killed_its_run_still_has_one_result",
    "test_submitting_again_is_the_same",
    "test_the_log_is_read_while_it_runs",
    "test_two_processes_of_one_attempt_are_one_container",
]

QUICK = "import time; print('up', flush=True); time.sleep(0.5); open('done.txt', 'w').write('done')"
LONG = "import time; print('up', flush=True); time.sleep(300)"
WHILE = f"{WAITS}\nopen('done.txt', 'w').write('done')"  # in each attempt until `finished` lets it go
PATIENCE = 120.0  # seconds


@dataclass
class Lab:
    """A box on which people type, and a kind of executor that its runs go to."""

    box: Box
    place: str  # after --on
    pushed: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def session(self) -> Session:
        return Session(load_settings(self.box.environ))

    def queue(self, session: Session, folder: Path, script: str) -> str:
        """A recorded run that nothing was launched for. Its image is in the engine, and shared."""
        watch = Silent()
        built = build(session, BuildRequest(spec_path=write_job(folder, script), elsewhere=True), watch)
        load(session, built.image, watch)
        new = _new_run(session, built, None, wanted_on(session, self.place))
        share_image(session, new, watch)
        run, _ = session.record.submit(new)
        return run

    def executor(self, session: Session, run: str) -> Executor:
        return executor_of(session, session.record.run(run).wanted.executor)

    def push(self, session: Session, run: str) -> None:
        """What somebody who waits for the run does every half second."""
        if not isinstance(self.executor(session, run), OwnBox):
            advance(session, run)
            return
        opened = session.record.open_run(run)
        with run_lock(self.box.settings, run) as free:
            pass
        last = self.pushed.get(run)
        if free and not opened.state.final and (last is None or last.poll() is not None):
            self.launch(session, run, opened.attempt or 1)  # it takes a second to come to the lock

    def launch(self, session: Session, run: str, number: int) -> str | None:
        """Start an attempt, or leave it to workers. Returns what an engine calls it, where one starts it."""
        executor = self.executor(session, run)
        if isinstance(executor, Launcher):
            return executor.submit(attempt_of(session, run, number))
        if isinstance(executor, OwnBox):
            self.pushed[run] = subprocess.Popen(
                execute_command(run, number),
                env=self.box.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return None

    def save(self, session: Session, run: str, ref: str | None) -> None:
        """What whoever launches writes down of the first attempt."""
        if ref is not None:
            session.record.launch(run, 1, self.place, "ada")
            session.record.save_ref(run, 1, ref)


def until(lab: Lab, session: Session, run: str, done: Callable[[], object], *, push: bool = True) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, session.record.open_run(run)
        if push:
            lab.push(session, run)
        time.sleep(0.2)


def finished(lab: Lab, session: Session, run: str) -> RunRecord:
    gone: set[Path] = set()

    def over() -> bool:
        for script in set(lab.box.settings.attempts.glob(f"{run}-*/workspace/main.py")) - gone:
            with suppress(FileNotFoundError):  # it is over
                if WAITS in script.read_text():
                    gone.add(script)
                    script.with_name("go").touch()
        return session.record.run(run).state.final

    until(lab, session, run, over)
    record = session.record.run(run)
    end = time.monotonic() + 120  # whoever committed it removes the container next
    while containers(run) and time.monotonic() < end:
        time.sleep(0.2)
    return record


def running(lab: Lab, session: Session, run: str) -> None:
    """Until its job was started: by what the ledger and the engine keep, as both states may pass by."""
    moves = EventFilter(run=run, kinds=("run.moved",))
    until(lab, session, run, lambda: session.record.ledger.events(moves))
    until(lab, session, run, lambda: session.record.run(run).state.final or not containers(run, *UNSTARTED))


UNSTARTED = ("--filter", "status=created")


def kill(session: Session, run: str) -> None:
    """kill -9 of the process that is at the run; its container goes on."""
    executor = session.record.open_run(run).executor or ""
    os.kill(int(executor.removeprefix("pid ")), signal.SIGKILL)


@pytest.mark.engine
def test_a_run_ends_once_and_its_stages_go_forward(lab: Lab, tmp_path: Path) -> None:
    with lab.session() as session:
        run = lab.queue(session, tmp_path / "job", QUICK)
        executor = lab.executor(session, run)
        ref = lab.launch(session, run, 1)
        lab.save(session, run, ref)
        seen: list[Stage] = []
        end = time.monotonic() + PATIENCE
        while isinstance(executor, Launcher) and (not seen or seen[-1] not in (Stage.ENDED, Stage.UNKNOWN)):
            assert time.monotonic() < end, seen
            stage = executor.poll(ref or "").stage
            if not seen or seen[-1] is not stage:
                seen.append(stage)
            time.sleep(0.05)
        if isinstance(executor, Launcher) and ref is not None:
            assert executor.poll_many([ref, ref]) in ({}, {ref: executor.poll(ref)})
        record = finished(lab, session, run)
        assert record.state is State.SUCCEEDED, record.message
        assert record.attempt == 1
        assert [output.path for output in record.outputs] == ["done.txt"]
        order = [Stage.WAITING, Stage.RUNNING, Stage.ENDED]
        known = [stage for stage in seen if stage is not Stage.UNKNOWN]
        assert known == [stage for stage in order if stage in known], seen
        assert containers(run) == []


@pytest.mark.engine
def test_submitting_again_is_the_same(lab: Lab, tmp_path: Path) -> None:
    with lab.session() as session:
        run = lab.queue(session, tmp_path / "job", QUICK)
        refs: list[str | None] = []
        threads = [
            threading.Thread(target=lambda: refs.append(lab.launch(session, run, 1))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refs) == 3
        lab.save(session, run, refs[0])
        until(lab, session, run, lambda: session.record.open_run(run).attempt == 1)
        refs.append(lab.launch(session, run, 1))
        assert len(set(refs)) == 1, refs
        record = finished(lab, session, run)
        assert (record.state, record.attempt) == (State.SUCCEEDED, 1)


@pytest.mark.engine
def test_cancel_ends_the_container_and_the_run(lab: Lab, tmp_path: Path) -> None:
    with lab.session() as session:
        run = lab.queue(session, tmp_path / "job", LONG)
        running(lab, session, run)
        began = time.monotonic()
        lab.box.type("cancel", run)
        record = finished(lab, session, run)
        assert record.state is State.CANCELLED
        assert time.monotonic() - began < 30
        assert containers(run) == []


@pytest.mark.engine
def test_cancelled_before_it_began(lab: Lab, tmp_path: Path) -> None:
    with lab.session() as session:
        run = lab.queue(session, tmp_path / "job", LONG)
        session.record.request_cancel(run)
        record = finished(lab, session, run)
        assert record.state is State.CANCELLED
        assert containers(run) == []
        # Whoever starts it late finds it over.
        late = ran(*execute_command(run, 1), code=None, env=lab.box.environ)
        assert "cancelled" in late.stdout, late
        assert containers(run) == []


@pytest.mark.engine
def test_the_log_is_read_while_it_runs(lab: Lab, tmp_path: Path) -> None:
    with lab.session() as session:
        run = lab.queue(session, tmp_path / "job", LONG)
        running(lab, session, run)
        reader = lab.box.start("logs", "-f", run)
        assert reader.stdout is not None
        guard = threading.Timer(30, reader.kill)
        guard.start()
        try:
            assert reader.stdout.readline() == "up\n"
        finally:
            guard.cancel()
        assert lab.box.type("logs", run).out == "up\n"
        lab.box.type("cancel", run)
        finished(lab, session, run)
        out, err = reader.communicate(timeout=180)
        assert (out, err) == ("", ""), (out, err)
        assert lab.box.type("logs", run).out == "up\n"


@pytest.mark.engine
def test_killed_its_run_still_has_one_result(lab: Lab, tmp_path: Path) -> None:
    with lab.session() as session:
        run = lab.queue(session, tmp_path / "job", WHILE)
        running(lab, session, run)
        kill(session, run)
        record = finished(lab, session, run)
        assert record.state is State.SUCCEEDED, record.message
        assert record.attempt <= 2
        assert [output.path for output in record.outputs] == ["done.txt"]
        for given_up in session.record.launched(run)[:-1]:
            assert given_up.ended
        left_over(lab, run)


def left_over(lab: Lab, run: str) -> None:
    """What a given-up attempt has left goes, at the latest, when its box next removes leftovers."""
    if containers(run):
        lab.box.type("worker", "recover")
    assert containers(run) == []


@pytest.mark.engine
def test_two_processes_of_one_attempt_are_one_container(lab: Lab, tmp_path: Path) -> None:
    with lab.session() as session:
        run = lab.queue(session, tmp_path / "job", WHILE)
        if isinstance(lab.executor(session, run), WorkerQueue):
            # Its own process comes by itself: ours are two more than there should be.
            until(lab, session, run, lambda: session.record.open_run(run).attempt == 1)
        ours = [
            subprocess.Popen(
                execute_command(run, 1), env=lab.box.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for _ in range(2)
        ]
        until(lab, session, run, lambda: containers(run), push=False)  # until it is let go
        names = {*containers(run)}
        record = finished(lab, session, run)
        said = [process.communicate(timeout=180) for process in ours]
        assert [process.returncode for process in ours] == [0, 0], said
        assert (record.state, record.attempt) == (State.SUCCEEDED, 1)
        assert names == {f"run-{run}-1"}


@pytest.mark.engine
def test_a_stale_attempt_writes_nothing_and_leaves_no_container(lab: Lab, tmp_path: Path) -> None:
    with lab.session() as session:
        run = lab.queue(session, tmp_path / "job", WHILE)
        running(lab, session, run)
        assert session.record.requeue(run, 1, "a test said so") is State.QUEUED
        for write in (
            lambda: session.record.move(run, 1, State.COLLECTING),
            lambda: session.record.finish(run, 1, Result(state=State.SUCCEEDED)),
            lambda: session.record.append_log(run, 1, 0, b"x"),
            lambda: session.record.requeue(run, 1, "again"),
            lambda: session.record.claim(run, "box", "boot", "pid 1", 1),
        ):
            with suppress(FencedError):
                write()
                pytest.fail("a stale attempt has written")
        if isinstance(lab.executor(session, run), OwnBox):
            # One process at a time works, and what is stale has to go first: whoever waits submits again.
            def second() -> bool:
                if session.record.open_run(run).attempt == 2:
                    return True
                lab.launch(session, run, 2)
                time.sleep(2)
                return False

            until(lab, session, run, second, push=False)
        until(lab, session, run, lambda: f"run-{run}-1" not in containers(run))
        record = finished(lab, session, run)
        assert (record.state, record.attempt) == (State.SUCCEEDED, 2), record.message
        (given_up,) = [one for one in session.record.launched(run) if one.number == 1]
        assert given_up.ended == "a test said so"
        assert containers(run) == []
