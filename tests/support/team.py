"""A team: two boxes with one record, one store and one registry, and a person whose shell has no engine."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.record.ledger.read_ledger import EventFilter
from orchestrator.record.record import open_record
from orchestrator.settings import Settings, load
from support.box import Box, make_box
from support.programs import ran
from support.services import RegistryServer, SecondEngine

FINAL = ("succeeded", "failed", "cancelled", "lost")
# Seconds between two looks at the record, in this process: a `reprise show` costs 0.3 s of CPU each time.
LOOKS = 0.2
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@dataclass
class Worker:
    process: subprocess.Popen[str]

    def stop(self, *numbers: int) -> int:
        for number in numbers:
            self.process.send_signal(number)
            time.sleep(0.2)
        try:
            self.process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            pytest.fail("the worker does not end")
        return self.process.returncode

    def end(self) -> None:
        """Now, with what it executes, where it still works."""
        if self.process.poll() is None:
            self.stop(signal.SIGTERM, signal.SIGTERM)


def start_worker(box: Box, *words: str) -> Worker:
    """A worker that takes runs."""
    process = box.start("worker", "start", *words)
    assert process.stderr is not None
    assert "takes runs" in process.stderr.readline()
    return Worker(process)


@dataclass
class Team:
    alpha: Box
    beta: Box
    person: Box  # a shell without any engine
    stack: ExitStack

    def worker(self, box: Box, *words: str, name: str = "") -> Worker:
        name = name or ("alpha" if box.settings == self.alpha.settings else "beta")
        worker = start_worker(box, "--name", name, *words)
        self.stack.callback(worker.end)
        return worker

    def until_told(self, run: str, what: str, seconds: float = 180) -> None:
        """Wait for an event of the ledger, which stays: a kind, or the state that a `run.moved` tells of."""
        end = time.monotonic() + seconds
        with open_record(load(self.person.environ)) as record:
            while True:
                events = record.ledger.events(EventFilter(run=run))
                if any(what in (one.kind, one.data.get("run", {}).get("state")) for one in events):
                    return
                assert time.monotonic() < end, events
                time.sleep(LOOKS)

    def until(self, run: str, *states: str, seconds: float = 180) -> dict[str, object]:
        """States that stay: the final ones."""
        assert {*states} <= {*FINAL}
        end = time.monotonic() + seconds
        with open_record(load(self.person.environ)) as record:
            while (found := record.open_run(run)).state not in states:
                assert time.monotonic() < end, found
                time.sleep(LOOKS)
        return dict(self.person.json("show", run))

    def boxes(self) -> dict[str, dict[str, object]]:
        return {box["name"]: box for box in self.person.json("worker", "list")["boxes"]}


def shared_places(folder: Path, database: str, registry: RegistryServer) -> dict[str, str]:
    """The variables that all boxes and people of a team have."""
    return {
        "REPRISE_DATABASE_URL": database,
        "REPRISE_STORE": str(folder / "store"),
        "REPRISE_REGISTRY": registry.place("team"),
    }


def containers_on(box: Box, runs: Iterable[str], *filters: str) -> list[str]:
    """Containers of these runs in the box's engine, which others may use, too."""
    words = ["docker", "ps", "--all", "--filter", "label=reprise.run", *filters, "--format", "{{.Names}}"]
    names = ran(*words, env=box.environ).stdout.split()
    return [name for name in names if name.split("-")[1] in set(runs)]


@contextmanager
def team_of(
    tmp_path: Path,
    shared: Settings,
    database: str,
    registry: RegistryServer,
    engines: tuple[SecondEngine, ...] = (),
    **store: str,
) -> Iterator[Team]:
    """`engines`: of alpha and beta; none: both have this machine's. `store`: its variables."""
    common = {**shared_places(tmp_path, database, registry), **store}
    with ExitStack() as stack:
        own: list[dict[str, str]] = [{"DOCKER_HOST": engine.host} for engine in engines] or [{}, {}]
        alpha, beta = (
            make_box(tmp_path / name, shared, **common, **more)
            for name, more in zip(("alpha", "beta"), own, strict=True)
        )
        person = make_box(tmp_path / "person", shared, **common, **NO_ENGINE)
        yield Team(alpha, beta, person, stack)
