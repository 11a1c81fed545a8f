"""An engine that is killed under a job, as by the kernel for memory: it is waited for, and then asked."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import WAITS, Box, let_go, make_box, small_job, submit_until_up
from support.services import SecondEngine, engine_server

pytestmark = pytest.mark.engine

SCRIPT = f"{WAITS}\nopen('done.txt', 'w').write('done')"


@pytest.fixture(scope="module")
def restoring() -> Iterator[SecondEngine]:
    with engine_server("restoring", "--live-restore") as engine:
        yield engine


@pytest.fixture(scope="module")
def plain() -> Iterator[SecondEngine]:
    with engine_server("plain") as engine:
        yield engine


def up(box: Box, tmp_path: Path) -> tuple[subprocess.Popen[str], str]:
    return submit_until_up(box, small_job(tmp_path / "job", SCRIPT))


def pid_of(engine: SecondEngine, run: str) -> int:
    words = ["docker", "-H", engine.host, "inspect", "--format", "{{.State.Pid}}", f"run-{run}-1"]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def ended(pid: int) -> None:
    end = time.monotonic() + 120
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < end
        time.sleep(0.1)


def left_over(engine: SecondEngine, box: Box) -> list[str]:
    words = ["docker", "-H", engine.host, "ps", "--all", "--format", "{{.Names}}"]
    names = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return [*names, *(path.name for path in box.settings.attempts.iterdir())]


def test_a_job_that_outlives_its_engine_succeeds(tmp_path: Path, small: Box, restoring: SecondEngine) -> None:
    box = make_box(tmp_path / "box", small.settings, DOCKER_HOST=restoring.host)
    process, run = up(box, tmp_path)
    restoring.stop(signal.SIGKILL)
    assert process.stderr is not None
    while "waiting for it" not in process.stderr.readline():
        assert process.poll() is None
    restoring.start()
    let_go(box, run)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    shown = box.json("show", run)
    assert (shown["state"], shown["attempt"], shown["exit_code"]) == ("succeeded", 1, 0)
    assert "done.txt" in [one["path"] for one in shown["outputs"]]
    assert left_over(restoring, box) == []


def test_a_job_that_ended_while_its_engine_was_away_is_what_the_engine_can_say_of_it(
    tmp_path: Path, small: Box, restoring: SecondEngine
) -> None:
    """Its exit code where the engine finds out; where it does not, nobody can know. Never the job's fault."""
    box = make_box(tmp_path / "box", small.settings, DOCKER_HOST=restoring.host)
    process, run = up(box, tmp_path)
    pid = pid_of(restoring, run)
    restoring.stop(signal.SIGKILL)
    let_go(box, run)
    ended(pid)
    restoring.start()
    process.communicate(timeout=120)
    shown = box.json("show", run)
    assert (shown["state"], shown["exit_code"]) in {("succeeded", 0), ("lost", 255)}
    assert "done.txt" in [one["path"] for one in shown["outputs"]], "what it wrote is kept in any case"
    assert left_over(restoring, box) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_engine_that_takes_its_containers_along_leaves_a_lost_run(
    tmp_path: Path, small: Box, plain: SecondEngine, how: signal.Signals
) -> None:
    """Restarted in good order it says that the job ended: not that it was ended for it."""
    box = make_box(tmp_path / "box", small.settings, DOCKER_HOST=plain.host)
    process, run = up(box, tmp_path)
    plain.stop(how)
    plain.start()
    process.communicate(timeout=120)
    assert process.returncode == 5
    shown = box.json("show", run)
    assert shown["state"] == "lost"
    assert "engine" in shown["message"]
    assert left_over(plain, box) == []


def test_an_engine_that_stays_away_loses_nothing(tmp_path: Path, small: Box, restoring: SecondEngine) -> None:
    """The orchestrator is gone as well; whoever comes next finds the engine back, and the container."""
    box = make_box(tmp_path / "box", small.settings, DOCKER_HOST=restoring.host)
    process, run = up(box, tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    restoring.stop(signal.SIGKILL)
    nobody = box.type("execute", run)
    assert nobody.code == 5
    assert f"run {run} stays running" in nobody.err, nobody.err
    restoring.start()
    let_go(box, run)
    assert box.type("execute", run).code == 0
    assert box.json("show", run)["attempt"] == 1
    assert left_over(restoring, box) == []
