"""Postgres goes away under running jobs for longer than anybody waits for it: none of them is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import WAITS, Box, let_go, write_job
from support.services import PostgresServer, RegistryServer, postgres_server
from support.team import Team, team_of

from orchestrator.settings import Settings

pytestmark = pytest.mark.engine

SCRIPT = f"{WAITS}\nopen('done.txt', 'w').write('done')"
# As typed, by somebody with less patience: a minute is too long for a test.
HASTY = """
from orchestrator.record.database import postgres
postgres.PATIENCE = postgres.QUIET = 1.0
from orchestrator.cli.main import main
main()
"""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with postgres_server() as made:
        yield made


@pytest.fixture
def team(
    tmp_path: Path, shared_base: Settings, team_registry: RegistryServer, server: PostgresServer
) -> Iterator[Team]:
    with team_of(tmp_path, shared_base, server.url(), team_registry) as made:
        yield made


def hasty(box: Box, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HASTY, *words],
        env=box.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def says(process: subprocess.Popen[str], text: str, *, error: bool = True) -> None:
    stream = process.stderr if error else process.stdout
    assert stream is not None
    while text not in stream.readline():
        assert process.poll() is None, process.communicate()


def submitted(team: Team, tmp_path: Path) -> tuple[subprocess.Popen[str], str]:
    process = hasty(team.alpha, "submit", str(write_job(tmp_path / "job", SCRIPT)))
    says(process, "up", error=False)
    (line,) = team.person.json("history")["runs"]
    return process, line["id"]


def test_a_job_goes_on_while_the_record_is_away(team: Team, tmp_path: Path, server: PostgresServer) -> None:
    process, run = submitted(team, tmp_path)
    server.stop("immediate")
    says(process, "the record does not answer, and the job goes on")
    server.start()
    let_go(team.alpha, run)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert team.person.json("show", run)["attempt"] == 1


def test_a_job_that_ends_while_the_record_is_away_is_recorded_later(
    team: Team, tmp_path: Path, server: PostgresServer
) -> None:
    process, run = submitted(team, tmp_path)
    server.stop("immediate")
    let_go(team.alpha, run)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 5
    assert f"run {run} is not over" in told
    server.start()
    assert team.alpha.type("worker", "recover").code == 0
    shown = team.person.json("show", run)
    assert (shown["state"], shown["attempt"]) == ("succeeded", 1)
    assert "done.txt" in [one["path"] for one in shown["outputs"]]
    assert not list(team.alpha.settings.attempts.iterdir())


def test_a_worker_outlives_it_and_its_runs_do_not_begin_again(
    team: Team, tmp_path: Path, server: PostgresServer
) -> None:
    worker = hasty(team.alpha, "worker", "start", "--name", "alpha", "--slots", "2")
    try:
        says(worker, "takes runs")
        spec = write_job(tmp_path / "job", SCRIPT)
        runs = [team.person.queue(spec) for _ in range(2)]
        for run in runs:
            team.until_told(run, "running")
        server.stop("immediate")
        says(worker, "trying again")
        server.start()
        for run in runs:
            let_go(team.alpha, run)
        for run in runs:
            found = team.until(run, "succeeded", "failed", "lost", "cancelled", seconds=120)
            assert (found["state"], found["attempt"]) == ("succeeded", 1)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=120)
    assert worker.returncode == 0
