"""Another engine, with nothing in it, in a network namespace of its own: another box, and one that fails."""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import WAITS, Box, let_go, make_box, small_job, submit_until_up
from support.clocks import clock_off
from support.services import SecondEngine, engine_server

from orchestrator.run.engine.engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.acceptance]


@pytest.fixture(scope="module")
def second_engine() -> Iterator[SecondEngine]:
    with engine_server() as engine:
        yield engine


@pytest.fixture
def box(tmp_path: Path, small: Box) -> Box:
    return make_box(tmp_path / "home", small.settings)


@pytest.fixture
def other(tmp_path: Path, small: Box, second_engine: SecondEngine) -> Box:
    return make_box(tmp_path / "other", small.settings, DOCKER_HOST=second_engine.host)


def test_an_engine_without_the_base_gets_it_whole_and_the_rerun_is_identical(
    box: Box, other: Box, tmp_path: Path, second_engine: SecondEngine
) -> None:
    spec = small_job(tmp_path / "job", "import random; open('x.txt', 'w').write(str(random.random()))")
    here = box.json("submit", str(spec))
    there = other.json("submit", str(spec))
    assert there["image"] == here["image"], "the same spec is the same digest on any box"
    assert [one["digest"] for one in there["outputs"]] == [one["digest"] for one in here["outputs"]]
    assert there["box"] == there["fingerprint"]["identity"]["box"]

    # Only the digest travels: saved from one engine, loaded into the other, known to no record there.
    spec.parent.joinpath("main.py").write_text("open('y.txt', 'w').write('two')\n")
    second = box.json("submit", str(spec))
    tag = f"reprise:{second['image'].removeprefix('sha256:')}"
    save = subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE)
    subprocess.run(
        ["docker", "-H", second_engine.host, "load"], stdin=save.stdout, check=True, capture_output=True
    )
    assert save.wait() == 0
    again = other.json("rerun", second["image"])
    assert again["run"]["state"] == "succeeded"
    assert again["run"]["program"] == second["program"]
    assert [one["digest"] for one in again["run"]["outputs"]] == [one["digest"] for one in second["outputs"]]


def test_a_container_that_is_stopped_by_hand_is_lost_whatever_its_exit_code(box: Box, tmp_path: Path) -> None:
    script = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n{WAITS}"
    process, run = submit_until_up(box, small_job(tmp_path / "job", script))
    subprocess.run(["docker", "stop", f"run-{run}-1"], check=True, capture_output=True)
    process.communicate(timeout=180)
    assert process.returncode == 5
    found = box.json("show", run)
    assert (found["state"], found["exit_code"]) == ("lost", 0)


def test_a_kill_is_seen_whatever_our_clock_says(box: Box, tmp_path: Path) -> None:
    """The engine may be another machine's: its events are asked for by its own time."""
    image = box.json("submit", str(small_job(tmp_path / "job", "pass")))["image"]
    tag = f"reprise:{image.removeprefix('sha256:')}"
    names = [f"reprise-clock-{secrets.token_hex(6)}" for _ in range(2)]
    engine = Engine.connect()
    try:
        for name, seconds in zip(names, ("300", "0.1"), strict=True):
            words = ["docker", "run", "--detach", "--name", name, "--network=none", "--entrypoint=sleep"]
            subprocess.run([*words, tag, seconds], check=True, capture_output=True)
        subprocess.run(["docker", "stop", "--time", "1", names[0]], check=True, capture_output=True)
        subprocess.run(["docker", "wait", names[1]], check=True, capture_output=True)
        for off in (-3 * 86400, -3600, 0, 3600, 3 * 86400):
            with clock_off(off):
                assert [engine.was_killed(name) for name in names] == [True, False], off
    finally:
        subprocess.run(["docker", "rm", "--force", *names], check=True, capture_output=True)
        engine.close()


def test_an_engine_that_hangs_is_waited_for(other: Box, tmp_path: Path, second_engine: SecondEngine) -> None:
    process, run = submit_until_up(other, small_job(tmp_path / "job", WAITS))
    assert second_engine.process is not None
    second_engine.process.send_signal(signal.SIGSTOP)
    let_go(other, run)
    time.sleep(3)
    second_engine.process.send_signal(signal.SIGCONT)
    process.communicate(timeout=180)
    assert process.returncode == 0
    assert other.json("show", run)["state"] == "succeeded"


def test_no_engine_is_an_error_that_says_how_to_get_one(box: Box, tmp_path: Path) -> None:
    spec = small_job(tmp_path / "job", "pass")
    outcome = box.type("submit", str(spec), DOCKER_HOST="unix:///nowhere/docker.sock")
    assert outcome.code == 5
    assert "make engine" in outcome.err
    assert "Traceback" not in outcome.err
    doctor = box.json("doctor", code=0)
    assert all(check["ok"] is not False for check in doctor["checks"])
