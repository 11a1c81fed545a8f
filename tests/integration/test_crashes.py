"""kill -9 of the orchestrator at each step: one container, one result, nothing left over."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.box import WAITS, Box, containers, let_go, submit_until_up, write_job

from orchestrator.digest import Digest
from orchestrator.launch.crash_points import POINTS, VARIABLE

pytestmark = pytest.mark.engine

SCRIPT = (
    "import time; open('started', 'x').write('once'); time.sleep(0.3); open('done.txt', 'w').write('done')"
)

# Nothing is claimed, no container is there, one runs, one is dead, a result is there.
ONE_OF_EACH_STATE = ("queued", "planned", "started", "collecting", "finished")


@pytest.mark.parametrize(
    "point",
    [
        point if point in ONE_OF_EACH_STATE else pytest.param(point, marks=pytest.mark.acceptance)
        for point in POINTS
    ],
)
def test_killed_at_a_point_the_next_command_finishes_the_same_container(
    box: Box, tmp_path: Path, point: str
) -> None:
    spec = write_job(tmp_path / "job", SCRIPT)
    killed = box.type("submit", str(spec), **{VARIABLE: point})
    assert killed.code == -signal.SIGKILL, killed.err
    box.type("worker", "recover")
    (line,) = box.json("history")["runs"]
    assert line["state"] == "succeeded"
    run = box.json("show", line["id"])
    assert run["attempt"] == 1, "a second container was started"
    left = {output["path"]: output["digest"] for output in run["outputs"]}
    assert left == {"started": Digest.of(b"once"), "done.txt": Digest.of(b"done")}
    assert containers(line["id"]) == []
    assert not list(box.settings.attempts.iterdir())


@pytest.mark.parametrize("point", ["ended", "removed"])
def test_a_rerun_that_was_killed_still_gets_its_verdict(box: Box, tmp_path: Path, point: str) -> None:
    run = box.json("submit", str(write_job(tmp_path / "job", SCRIPT)))
    assert box.type("rerun", run["id"], **{VARIABLE: point}).code == -signal.SIGKILL
    (rerun,) = [line["id"] for line in box.json("history")["runs"] if line["rerun_of"] == run["id"]]
    box.type("worker", "recover")
    (verdict,) = box.json("show", rerun)["verdicts"]
    assert (verdict["original"], verdict["outcome"]) == (run["id"], "identical")
    assert box.json("worker", "recover") == {"adopted": [], "judged": [], "leftovers": []}


def test_killed_while_the_job_runs_any_verb_has_it_finished_in_the_background(
    box: Box, tmp_path: Path
) -> None:
    spec = write_job(tmp_path / "job", WAITS)
    process, run = submit_until_up(box, spec)
    process.kill()
    process.communicate()
    assert box.json("show", run)["state"] == "running"  # until it is let go
    let_go(box, run)
    deadline = time.monotonic() + 120
    while box.json("show", run)["state"] != "succeeded":
        assert time.monotonic() < deadline
        time.sleep(1)
    while containers(run):
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_ctrl_c_cancels_cleanly(box: Box, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", "import time; print('up', flush=True); time.sleep(60)")
    process, run = submit_until_up(box, spec)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=180)
    assert process.returncode == 130
    assert box.json("show", run)["state"] == "cancelled"
    assert containers(run) == []


def test_cancel_from_another_shell(box: Box, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", "import time; print('up', flush=True); time.sleep(60)")
    process, run = submit_until_up(box, spec)
    assert box.type("cancel", run[:8]).code in (0, 130)
    process.communicate(timeout=180)
    assert process.returncode == 130
    assert box.json("show", run)["state"] == "cancelled"


@pytest.mark.parametrize("count", [8, pytest.param(32, marks=pytest.mark.acceptance)])
def test_many_processes_submit_at_once(box: Box, tmp_path: Path, count: int) -> None:
    specs = [
        write_job(tmp_path / f"job{number}", f"open('n.txt', 'w').write('{number}')")
        for number in range(count)
    ]
    with ThreadPoolExecutor(count) as pool:
        ends = list(pool.map(lambda spec: box.type("submit", str(spec), "-q", timeout=280), specs))
    assert [end.code for end in ends] == [0] * count, next(end.err for end in ends if end.code)
    ids = {end.out.strip() for end in ends}
    lines = box.json("history", "--limit", "100")["runs"]
    assert {line["id"] for line in lines} == ids
    assert len(ids) == count
    assert {line["state"] for line in lines} == {"succeeded"}
