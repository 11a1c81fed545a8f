"""Following a container through faults that a real engine does not show on demand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies
from support.clocks import OFF
from support.made_up_attempt import attempt_plan, container_state

from orchestrator.errors import EngineError, EngineMissingError
from orchestrator.run import container_log
from orchestrator.run import follow as follow_module
from orchestrator.run.attempt_model import Failure, State
from orchestrator.run.engine.engine import ContainerState, Engine
from orchestrator.run.engine.engine_logs import LogEntry
from orchestrator.run.follow import Ended, follow


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_module, "LOOK", 0.01)
    monkeypatch.setattr(container_log, "LAST", 0.5)
    monkeypatch.setattr(container_log, "AGAIN", 0.05)
    monkeypatch.setattr(follow_module, "PATIENCE", 0.2)


class FakeEngine:
    """A container that runs for some looks. `away` names calls whose next so many answers never come."""

    def __init__(self, status: str = "created", looks: int = 3) -> None:
        self.status = status
        self.looks = looks
        self.ahead = timedelta(0)  # the engine's clock, of ours
        self.away: dict[str, int] = {}
        self.calls: list[str] = []
        self.starts_unheard = False  # the engine starts the container, and its answer is lost
        self.started_at: datetime | None = None if status == "created" else datetime.now(UTC)
        self.gone = False
        self.killed = False
        self.log_fault: EngineError | None = None

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.away.get(name, 0) > 0:
            self.away[name] -= 1
            raise EngineMissingError("silence")

    def inspect(self, name: str) -> ContainerState | None:
        self._call("inspect")
        if self.gone:
            return None
        code = 0 if self.status == "exited" else None
        began = self.started_at
        return container_state(status=self.status, exit_code=code, started_at=began, finished_at=None)

    def start(self, name: str) -> None:
        if self.starts_unheard:
            self.starts_unheard = False
            self._begin()
            self.status = "exited"
            self.calls.append("start")
            raise EngineMissingError("silence")
        self._call("start")
        self._begin()

    def _begin(self) -> None:
        assert self.status == "created", "started twice"
        self.status, self.started_at = "running", datetime.now(UTC) + self.ahead

    def wait(self, name: str, seconds: float) -> bool:
        self._call("wait")
        time.sleep(0.001)
        self.looks -= 1
        if self.looks <= 0:
            self.status = "exited"
        return self.status != "running"

    def stop(self, name: str, grace: float) -> None:
        self._call("stop")
        self.status = "exited"

    def now(self) -> datetime:
        self._call("now")
        return datetime.now(UTC) + self.ahead

    def was_killed(self, name: str) -> bool:
        self._call("was_killed")
        return self.killed

    def attached(self, name: str) -> Iterator[tuple[int, bytes]]:
        yield 1, b"line\n"
        if self.log_fault is not None:
            raise self.log_fault

    def entries(self, name: str, *, follow: bool, since: str = "") -> Iterator[LogEntry]:
        yield LogEntry(1, "2026-01-01T00:00:00.000000001Z", b"line\n")
        if self.log_fault is not None:
            raise self.log_fault


class Told:
    def __init__(self) -> None:
        self.logged: list[bytes] = []
        self.sizes: list[int] = []
        self.notes: list[str] = []

    def log(self, data: bytes) -> None:
        self.logged.append(data)

    def tick(self, seconds: float, workspace_bytes: int) -> None:
        self.sizes.append(workspace_bytes)

    def note(self, text: str) -> None:
        self.notes.append(text)


Go = Callable[..., tuple[Ended, Told]]


@pytest.fixture
def go(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Go:
    monkeypatch.setattr(container_log, "attached_output", lambda engine, name: engine.attached(name))
    monkeypatch.setattr(container_log, "entries", lambda engine, *where, **how: engine.entries(*where, **how))

    def run(
        engine: FakeEngine, cancel: Callable[[], bool] = lambda: False, kills: Any = None, **settings: Any
    ) -> tuple[Ended, Told]:
        report = tmp_path_factory.mktemp("attempt") / "report"
        plan = attempt_plan(tmp_path, report, **settings)
        told = Told()
        return follow(cast(Engine, engine), plan, told, cancel, kills=kills), told

    return run


def test_the_time_that_an_engine_takes_to_start_a_job_is_not_the_job_s(
    go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a job of 5 s in a slow guest with cgroup v2, the engine's start took 3."""
    engine = FakeEngine()
    begin = engine.start
    monkeypatch.setattr(engine, "start", lambda name: (time.sleep(0.6), begin(name)))
    ended, _ = go(engine, timeout=0.5)
    assert ended.cause is None
    assert "stop" not in engine.calls


def test_a_container_is_started_once_and_followed_to_its_end(go: Go, tmp_path: Path) -> None:
    engine = FakeEngine()
    (tmp_path / "out").write_bytes(b"12345")
    ended, told = go(engine)
    assert engine.calls.count("start") == 1
    assert ended.container is not None and ended.container.ended
    assert (ended.cause, ended.engine_lost, ended.killed) == (None, False, False)
    assert told.logged == [b"line\n"]
    assert told.sizes == [5, 5]


def test_kills_for_memory_are_counted_from_before_the_start_and_while_it_runs(go: Go) -> None:
    class Kills:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def before_start(self) -> None:
            self.asked.append(f"before {engine.status}")

        def look(self, container: str, pid: int) -> None:
            self.asked.append(f"look {container} {pid}")

        def happened_in(self, container: str) -> bool:
            self.asked.append(f"of {container}, {engine.status}")
            return True

    engine, kills = FakeEngine(looks=3), Kills()
    assert go(engine, kills=kills)[0].memory_killed is True
    assert kills.asked == ["before created", "look 1 1", "look 1 1", "of 1, exited"]
    assert engine.calls.count("inspect") == 3, "asked once for the process"

    engine, kills = FakeEngine("exited"), Kills()  # taken over after its end
    assert go(engine, kills=kills)[0].memory_killed is True
    assert kills.asked == ["of 1, exited"]


def test_a_container_that_ended_is_not_started_again(go: Go) -> None:
    engine = FakeEngine("exited")
    ended, _ = go(engine, cancel=lambda: True, timeout=0.0001)
    assert not {"start", "stop", "wait"} & set(engine.calls)
    assert ended.cause is None and ended.container is not None


def test_a_container_that_runs_is_only_watched(go: Go) -> None:
    engine = FakeEngine("running")
    ended, _ = go(engine)
    assert "start" not in engine.calls
    assert ended.container is not None and ended.container.exit_code == 0


def test_a_container_that_is_gone_is_said(go: Go) -> None:
    engine = FakeEngine()
    engine.gone = True
    ended, _ = go(engine)
    assert ended.container is None and "gone" in ended.message


@pytest.mark.parametrize("call", ["inspect", "start", "wait", "was_killed"])
def test_an_engine_that_comes_back_is_waited_for_and_remembered(go: Go, call: str) -> None:
    engine = FakeEngine()
    engine.away = {call: 3}
    ended, told = go(engine)
    assert ended.engine_lost
    assert ended.container is not None and ended.container.ended
    assert told.notes == ["the engine does not answer; waiting for it"]


def test_a_stop_that_gets_no_answer_is_asked_again(go: Go) -> None:
    engine = FakeEngine(looks=1000)
    engine.away = {"stop": 2}
    ended, _ = go(engine, cancel=lambda: True)
    assert ended.cause is State.CANCELLED
    assert engine.calls.count("stop") == 3


def test_a_start_whose_answer_was_lost_is_not_repeated(go: Go) -> None:
    engine = FakeEngine()
    engine.starts_unheard = True
    ended, _ = go(engine)
    assert engine.calls.count("start") == 1
    assert ended.engine_lost and ended.container is not None and ended.container.ended


@pytest.mark.parametrize("call", ["inspect", "start", "wait", "was_killed"])
def test_an_engine_that_stays_away_is_given_up(go: Go, call: str) -> None:
    engine = FakeEngine()
    engine.away = {call: 10**9}
    with pytest.raises(EngineMissingError):
        go(engine)


def test_a_refusal_is_not_waited_out(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()

    def refuse(name: str) -> None:
        raise EngineError("no such device")

    monkeypatch.setattr(engine, "start", refuse)
    with pytest.raises(EngineError, match="no such device"):
        go(engine)


def test_the_deadline(go: Go) -> None:
    ended, _ = go(FakeEngine(looks=1000), timeout=0.05)
    assert ended.cause is Failure.TIMEOUT
    assert "0.05 s" in ended.message


def test_a_container_that_is_taken_over_keeps_its_deadline(go: Go) -> None:
    engine = FakeEngine("running", looks=1000)
    engine.started_at = datetime.now(UTC) - timedelta(hours=2)
    ended, told = go(engine, timeout=3600)
    assert ended.cause is Failure.TIMEOUT
    assert len(told.sizes) == 1


@given(ahead=OFF, ran=strategies.integers(0, 7200), timeout=strategies.integers(1, 7200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_deadline_after_a_takeover_is_the_engines_time_whatever_ours_says(
    go: Go, ahead: int, ran: int, timeout: int
) -> None:
    assume(abs(ran - timeout) > 60)
    engine = FakeEngine("running", looks=2)
    engine.ahead = timedelta(seconds=ahead)
    engine.started_at = datetime.now(UTC) + engine.ahead - timedelta(seconds=ran)
    ended, _ = go(engine, timeout=timeout)
    assert (ended.cause is Failure.TIMEOUT) == (ran > timeout)
    assert ended.seconds is not None and ran <= ended.seconds < ran + 60


def test_cancelling(go: Go) -> None:
    ended, _ = go(FakeEngine(looks=1000), cancel=lambda: True, timeout=0.0001)
    assert (ended.cause, ended.message) == (State.CANCELLED, "cancelled")
    assert not ended.killed, "our own kill is not somebody else's"


def test_a_job_that_writes_too_much(go: Go, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 1001)
    ended, _ = go(FakeEngine(looks=1000), file_size=1000)
    assert ended.cause is Failure.POLICY


@pytest.mark.parametrize(
    ("sparing", "longest", "often"), [(1e12, 3600.0, False), (1e12, 0.0, True), (0.0, 3600.0, True)]
)
def test_a_workspace_that_takes_long_is_walked_rarely_and_all_else_is_looked_at_as_often(
    go: Go, monkeypatch: pytest.MonkeyPatch, sparing: float, longest: float, often: bool
) -> None:
    walks: list[int] = []
    measure = follow_module.measure
    monkeypatch.setattr(follow_module, "measure", lambda *of: walks.append(1) or measure(*of))
    monkeypatch.setattr(follow_module, "SPARING", sparing)
    monkeypatch.setattr(follow_module, "LONGEST", longest)
    asked: list[int] = []
    ended, told = go(FakeEngine(looks=1000), cancel=lambda: len(asked.append(1) or asked) >= 50)
    assert ended.cause is State.CANCELLED
    assert len(asked) == len(told.sizes) == 50
    assert len(walks) == (50 if often else 1)


def test_a_kill_from_outside_is_seen(go: Go) -> None:
    engine = FakeEngine()
    engine.killed = True
    assert go(engine)[0].killed


def test_a_log_that_breaks_off_is_noted_and_the_run_goes_on(go: Go) -> None:
    engine = FakeEngine()
    engine.log_fault = EngineError("broken")
    ended, told = go(engine)
    assert ended.container is not None and ended.container.ended
    assert told.notes == ["the log goes on from the engine's own: broken", "the log broke off: broken"]


def test_a_log_that_never_ends_holds_nobody_up(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_log, "LAST", 0.05)
    engine, release = FakeEngine(), threading.Event()

    def hang(name: str) -> Iterator[tuple[int, bytes]]:
        release.wait(120)
        yield 1, b""

    monkeypatch.setattr(engine, "attached", hang)
    try:
        assert go(engine)[0].container is not None
    finally:
        release.set()
