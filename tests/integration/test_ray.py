"""A real Ray cluster: the conformance suite, and ten runs on two boxes of which one dies, twice.

The opt-in suite: `make acceptance`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.box import Box, make_box, write_job
from support.executor_conformance import *  # noqa: F403
from support.executor_conformance import Lab, containers, finished, running
from support.ray_cluster import Cluster, Node, executes, ray_cluster
from support.restless_job import goes_to_its_end_where_it_does_not_part, stops_where_it_parts
from support.services import PostgresServer, engine_server, registry_server
from support.team import NO_ENGINE, containers_on, shared_places

from orchestrator.launch.session import Session
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import State
from orchestrator.settings import Settings, load

pytestmark = [pytest.mark.acceptance, pytest.mark.engine]

THROWN_OUT = 20  # seconds in Ray's queue after which Ray throws a job out: its default is 900


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, shared_base: Settings) -> Iterator[Lab]:
    """Both nodes execute with the engine and in the home of the box where people type."""
    home = tmp_path_factory.mktemp("ray") / "home"
    own = {"REPRISE_HOME": str(home)}
    with ray_cluster(own, own) as cluster:
        yield Lab(make_box(home, shared_base, **cluster.environ), "ray")


STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"


def test_stopped_in_ray_a_job_that_ignores_term_ends_and_does_not_come_back(lab: Lab, tmp_path: Path) -> None:
    """Its container has 10 s of grace; by default Ray kills what has not ended after 3, and leaves that."""
    with lab.session() as session:
        run = lab.queue(session, tmp_path / "job", STUBBORN)
        running(lab, session, run)
        (launched,) = session.record.launched(run)
        lab.executor(session, run).cancel(str(launched.ref))
        record = finished(lab, session, run)
        assert (record.state, record.attempt) == (State.CANCELLED, 1), record.message
        assert containers(run) == []
        until("Ray has it so, too", lambda: lab.executor(session, run).poll(str(launched.ref)).over, 20)


def test_a_rerun_is_stopped_where_it_parts_and_nowhere_else(lab: Lab, tmp_path: Path) -> None:
    stops_where_it_parts(lab.box, tmp_path / "parts", "ray")
    goes_to_its_end_where_it_does_not_part(lab.box, tmp_path / "honest", "ray")


@dataclass
class Team:
    """Two boxes, each a node of Ray with an engine of its own; a person types on a third, without any."""

    person: Box
    boxes: tuple[Box, Box]
    cluster: Cluster

    def session(self) -> Session:
        return Session(load(self.person.environ))

    @contextmanager
    def dispatching(self) -> Iterator[None]:
        process = self.person.start("worker", "dispatch")
        try:
            yield
        finally:
            process.terminate()
            process.communicate(timeout=180)


@pytest.fixture(scope="module")
def team(
    tmp_path_factory: pytest.TempPathFactory, shared_base: Settings, postgres: PostgresServer
) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    postgres.sql("CREATE DATABASE rayteam")
    with registry_server() as registry, engine_server("ray") as engine:
        common = shared_places(folder, postgres.url("rayteam"), registry)
        boxes = (
            make_box(folder / "one", shared_base),
            make_box(folder / "two", shared_base, DOCKER_HOST=engine.host),
        )
        own = [{"REPRISE_HOME": str(box.settings.home), **box.variables} for box in boxes]
        late = {"RAY_JOB_START_TIMEOUT_SECONDS": str(THROWN_OUT)}
        with ray_cluster(own[0], own[1], cpus=4, head=late) as cluster:
            person = make_box(folder / "person", shared_base, **common, **cluster.environ, **NO_ENGINE)
            yield Team(person, boxes, cluster)


def until(what: str, done: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.3)


def records(team: Team, runs: list[str]) -> list[RunRecord]:
    with team.session() as session:
        return [session.record.run(run) for run in runs]


def over(team: Team, runs: list[str]) -> set[str]:
    return {one.id for one in records(team, runs) if one.state.final}


def busy(node: Node) -> set[str]:
    """Runs that `reprise execute` is at, on a node."""
    words = [words.split() for words in node.processes().values() if executes(words)]
    return {one[one.index("execute") + 1] for one in words if not one[0].endswith("sh")}


def test_ten_runs_while_a_node_is_killed_twice(team: Team, tmp_path: Path) -> None:
    # Longer than Ray needs to miss a node (20 s), so that what outlives its node meets its successor.
    spec = write_job(
        tmp_path / "job", "import sys, time; time.sleep(45); open('n.txt', 'w').write(sys.argv[1])"
    )
    spec.write_text(
        'name: ten\nbase: cpu\ncommand: [python, main.py, "{n}"]\nparams: {n: 0}\nresources: {cpus: 1}\n'
    )
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda n: team.person.queue(spec, "-p", f"n={n}", on="ray"), range(10)))
    assert len(set(runs)) == 10
    with team.dispatching():
        victim = team.cluster.nodes[1]
        killed = kill_in_the_middle(team, victim, runs, spare_runs=False)
        victim.start()
        # The second time its processes go on, cut off from Ray: their runs come back with the next attempt.
        cut_off = kill_in_the_middle(team, victim, runs, spare_runs=True)
        still = busy(victim)
        assert cut_off - still <= over(team, runs)
        victim.start()
        until("all have ended", lambda: all(one.state.final for one in records(team, runs)), 400)
    found = records(team, runs)
    assert [one.state for one in found] == [State.SUCCEEDED] * 10, [one.message for one in found]
    assert len({one.box for one in found}) == 2
    assert len({output.digest for one in found for output in one.outputs}) == 10
    again = {one.id for one in found if one.attempt > 1}
    assert killed <= again
    assert cut_off & again, "none was given up while its container ran"
    with team.session() as session:
        for one in found:
            launched = session.record.launched(one.id)
            assert [item.number for item in launched] == list(range(1, one.attempt + 1))
            assert all(item.ended for item in launched[:-1])
    left_behind(team, runs)


def kill_in_the_middle(team: Team, victim: Node, runs: list[str], *, spare_runs: bool) -> set[str]:
    """kill -9 of the second node while containers run there; the runs that this interrupted."""
    there = ("--filter", "status=running")
    until("the node is at work", lambda: busy(victim) and containers_on(team.boxes[1], runs, *there), 120)
    time.sleep(2)
    hit = busy(victim)
    victim.kill(spare_runs=spare_runs)
    return hit - over(team, runs)


def left_behind(team: Team, runs: list[str]) -> None:
    """What killed processes left goes with the next run on the node, or when its box removes leftovers."""
    shared = {name: value for name, value in team.person.variables.items() if name.startswith("REPRISE_")}
    for box in team.boxes:
        if containers_on(box, runs):
            assert box.type("worker", "recover", **shared).code == 0
        assert containers_on(box, runs) == []


def test_what_ray_throws_out_of_its_queue_waits_on(team: Team, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", "pass", "base: cpu\nresources: {gpus: 1, gpu: B200}")
    run = team.person.queue(spec, on="ray")
    with team.dispatching(), team.session() as session:
        (first,) = session.record.launched(run)

        def start_time() -> object:
            return team.cluster.ask("GET", f"/api/jobs/{first.ref}").json().get("start_time")

        started = start_time()
        assert started is not None
        until("it is launched again", lambda: start_time() not in (None, started), THROWN_OUT + 40)
        assert [item.number for item in session.record.launched(run)] == [1]
        assert session.record.state(run) is State.QUEUED
    assert team.person.json("cancel", run)["state"] == "cancelled"


def test_submitted_where_no_engine_is_and_waited_for(team: Team, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", "print('hello'); raise SystemExit(3)")
    done = team.person.type("submit", str(spec), "--on", "ray")
    assert done.code == 1, done.err
    assert "hello" in done.out
    last = team.person.json("history")["runs"][0]["id"]
    with team.session() as session:
        (launched,) = session.record.launched(last)
    assert (launched.executor, launched.ref) == ("ray", f"reprise-{last}-1")


def test_without_a_cluster_named_it_says_how(team: Team, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", "pass")
    done = team.person.type("submit", str(spec), "--on", "ray", "--detach", REPRISE_RAY="")
    assert done.code == 2
    assert "REPRISE_RAY" in done.err
