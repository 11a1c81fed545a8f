"""People whose clocks are wrong share a record on a server: its clock is the one that counts."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies
from support.clocks import OFF, clock_off
from support.ledger_checks import told
from support.records import new_run
from support.services import PostgresServer

from orchestrator.digest import Digest
from orchestrator.launch.workers.box_fit import alive, state_of
from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import BoxFacts, HistoryFilter, Wanted
from orchestrator.run.attempt_model import Result, State
from orchestrator.settings import load

pytestmark = pytest.mark.server

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
SLACK = timedelta(minutes=10)  # the tests' own time, on a slow machine


@pytest.fixture
def shared(tmp_path: Any, postgres: PostgresServer) -> Any:
    variables = {"REPRISE_HOME": str(tmp_path), "REPRISE_DATABASE_URL": postgres.new_record()}
    with open_record(load(variables)) as opened:
        yield opened


def a_box(name: str) -> BoxFacts:
    return BoxFacts(
        id=name, name=name, state="up", boot="boot", slots=1, cpus=1, memory=1, gpus=(), bit_class={},
        bit_digest=Digest.of(b"bits"), versions={},
    )  # fmt: skip


@SHARED
@given(clocks=strategies.lists(OFF, min_size=2, max_size=6))
def test_the_history_is_in_the_order_in_which_things_were_done(shared: Record, clocks: list[int]) -> None:
    job = f"j{secrets.token_hex(4)}"
    made, began = [], datetime.now(UTC)
    for off in clocks:
        with clock_off(off):
            run, _ = shared.submit(new_run(job=job, wanted=Wanted(executor="worker")))
            made.append(run)
    for off, run in zip(clocks, made, strict=True):
        with clock_off(-off):
            found = shared.first_waiting("worker", lambda queued: queued.id in made)
            assert found is not None and found.id == run, "the one submitted first goes first"
            attempt = shared.claim(run, "box", "boot", "pid 1")
            shared.finish(run, attempt, Result(state=State.SUCCEEDED, exit_code=0))
    lines = shared.history.lines(HistoryFilter(job=job))
    assert [line.id for line in lines] == made[::-1]
    for run in made:
        moments = [datetime.fromisoformat(event["at"]) for event in told(shared) if event["run"] == run]
        assert moments == sorted(moments)
        assert all(abs(moment - began) < SLACK for moment in moments)


@SHARED
@given(beating=OFF, looking=OFF)
def test_a_box_that_is_heard_is_alive_whatever_anybodys_clock_says(
    shared: Record, beating: int, looking: int
) -> None:
    box = a_box(f"b{secrets.token_hex(4)}")
    with clock_off(beating):
        shared.boxes.introduce(box)
        shared.boxes.see(box.id, "up")
    with clock_off(looking):
        (line,) = [line for line in shared.boxes.all() if line.id == box.id]
        assert alive(line)
        assert state_of(line) == "up"
        assert 0 <= line.silence < SLACK.total_seconds()
        assert abs(shared.now() - line.seen_at) < SLACK


@SHARED
@given(announcing=OFF, looking=OFF)
def test_a_launch_is_as_old_as_it_is(shared: Record, announcing: int, looking: int) -> None:
    run, _ = shared.submit(new_run(wanted=Wanted(executor="slurm")))
    with clock_off(announcing):
        shared.launch(run, 1, "slurm", "ada")
    with clock_off(looking):
        there, mine = shared.launch(run, 1, "slurm", "ben")
        assert not mine
        assert 0 <= there.age < SLACK.total_seconds()
