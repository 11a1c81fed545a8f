"""Slurm with two nodes, one per Docker Engine: forty runs, and nodes that are killed under some of them.

The opt-in suite: `make acceptance`.
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.box import Box, make_box, write_job
from support.services import PostgresServer, engine_server, registry_server
from support.slurm_cluster import SlurmCluster, slurm_cluster
from support.team import NO_ENGINE, containers_on, shared_places

from orchestrator.launch.dispatch.choose_place import wanted_on
from orchestrator.launch.session import Session
from orchestrator.launch.submit.build_image import BuildRequest
from orchestrator.launch.submit.submit_run import submit_elsewhere
from orchestrator.launch.watch import Silent
from orchestrator.run.attempt_model import State
from orchestrator.settings import Settings, load

pytestmark = [pytest.mark.acceptance, pytest.mark.engine]

RUNS = 40
SCRIPT = "import sys, time; time.sleep(4); open('n.txt', 'w').write(sys.argv[1])"
SPEC = 'name: many\nbase: cpu\ncommand: [python, main.py, "{n}"]\nparams: {n: 0}\n'
SECONDS = 300.0


@dataclass
class Site:
    """Two boxes, each a node of Slurm with an engine of its own; a person types on a third, without any."""

    person: Box
    boxes: dict[str, Box]
    cluster: SlurmCluster

    def session(self) -> Session:
        return Session(load(self.person.environ))


@pytest.fixture
def site(
    tmp_path: Path, shared_base: Settings, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    database = f"s{secrets.token_hex(6)}"
    postgres.sql(f"CREATE DATABASE {database}")
    with registry_server() as registry, engine_server("slurm") as engine:
        boxes = {
            "n1": make_box(tmp_path / "one", shared_base),
            "n2": make_box(tmp_path / "two", shared_base, DOCKER_HOST=engine.host),
        }
        own = {name: {"REPRISE_HOME": str(box.settings.home), **box.variables} for name, box in boxes.items()}
        with slurm_cluster(own, cpus=3) as cluster:
            for name, value in cluster.variables.items():
                monkeypatch.setenv(name, value)
            common = shared_places(tmp_path, postgres.url(database), registry)
            person = make_box(tmp_path / "person", shared_base, **common, **NO_ENGINE)
            boxes = {name: Box(box.settings, {**common, **box.variables}) for name, box in boxes.items()}
            yield Site(person, boxes, cluster)


def queued(site: Site, session: Session, folder: Path) -> list[str]:
    spec = write_job(folder, SCRIPT)
    spec.write_text(SPEC)
    runs = []
    for number in range(RUNS):
        request = BuildRequest(spec_path=spec, params={"n": str(number)})
        wanted = wanted_on(session, "slurm")
        runs.append(submit_elsewhere(session, request, wanted, Silent(), detach=True).id)
    return runs


def test_40_runs_with_nodes_killed_meanwhile_end_once_each(site: Site, tmp_path: Path) -> None:
    cluster = site.cluster
    with site.session() as session:
        runs = queued(site, session, tmp_path / "job")
        dispatcher = site.person.start("worker", "dispatch")
        began = time.monotonic()

        def until(what: str, done: Callable[[], object]) -> None:
            while not done():
                states = [session.record.state(run) for run in runs]
                assert time.monotonic() - began < SECONDS, (what, states)
                time.sleep(0.3)

        def over() -> int:
            states = [session.record.state(run) for run in runs]
            return sum(state is not None and state.final for state in states)

        def killed(node: str) -> list[str]:
            """Names of containers that go on while the processes that follow them died with the node."""

            def at_work() -> list[str]:
                return containers_on(site.boxes[node], runs, "--filter=status=running")

            until(f"jobs on {node}", lambda: len(at_work()) > 1)
            names = at_work()
            assert len(cluster.kill_node(node)) > 2
            return names

        try:
            until("some are over", lambda: over() >= 4)
            first = killed("n2")
            # Dead until Slurm has noticed.
            until("n2 is down", lambda: "down" in cluster.ask("sinfo", "-h", "-n", "n2", "-o", "%T"))
            cluster.start_node("n2")
            until("more are over", lambda: over() >= 16)
            # Back before Slurm has noticed.
            second = killed("n1")
            cluster.start_node("n1")
            until("all are over", lambda: over() == RUNS)
        finally:
            dispatcher.send_signal(signal.SIGTERM)
            said = dispatcher.communicate(timeout=180)
        took = time.monotonic() - began

        records = [session.record.run(run) for run in runs]
        assert [one.state for one in records] == [State.SUCCEEDED] * RUNS, (
            [one.message for one in records],
            said,
        )
        # One result each: its own output, of the last attempt that was launched, and of no other.
        texts = [session.store.read(one.outputs[0].digest) for one in records]
        assert texts == [str(number).encode() for number in range(RUNS)]
        attempts = {one.id: one.attempt for one in records}
        for run in runs:
            launched = session.record.launched(run)
            assert [one.number for one in launched] == list(range(1, attempts[run] + 1))
            assert [one.ended is None for one in launched] == [False] * (attempts[run] - 1) + [True]
        again = sorted(run for run in runs if attempts[run] > 1)
        assert again
        assert {name.split("-")[1] for name in (*first, *second)} & set(again)
        assert len({one.box for one in records}) == 2
        print(f"{RUNS} runs in {took:.0f} s, {len(again)} of them by another attempt")
    # What killed attempts left goes with the next attempt on their node, else with `reprise worker recover`.
    for name, box in site.boxes.items():
        left = containers_on(box, runs)
        print(f"{name}: {len(left)} containers were left")
        if left:
            assert box.type("worker", "recover").code == 0
        assert containers_on(box, runs) == []
