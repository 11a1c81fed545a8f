"""`make gpu` without a GPU: it says so of every row, and each row that a CPU can rehearse is rehearsed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.box import WAITS, Box, containers, write_job
from support.programs import load_program

from orchestrator.run.hardware import DRIVER

REPO = Path(__file__).resolve().parents[2]
PROGRAM = REPO / "benchmarks" / "gpu_box.py"


gpu_box = load_program(PROGRAM)


@pytest.fixture
def rehearsed(tmp_path: Path) -> Any:
    return gpu_box.Box(tmp_path, True, sys.executable)


@pytest.mark.skipif(DRIVER.exists(), reason="not run: this box has an NVIDIA driver")
def test_without_a_gpu_no_row_counts_as_passed() -> None:
    done = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    lines = done.stdout.splitlines()[2:]
    assert len(lines) == len(gpu_box.ROWS)
    for row, line in zip(gpu_box.ROWS, lines, strict=True):
        assert line.startswith("not run") and row.name in line and line.endswith("no NVIDIA driver")


def test_all_deadlines_together_are_under_ten_minutes() -> None:
    assert sum(row.seconds for row in gpu_box.ROWS) <= gpu_box.LIMIT < 600


@pytest.mark.torch
@pytest.mark.parametrize(
    "name",  # some are probed below, in a container
    [*(pytest.param(one, marks=pytest.mark.acceptance) for one in ("digests", "step")), "torch", "index_add"],
)
def test_a_probe_works_on_the_cpu(rehearsed: Any, name: str) -> None:
    row = next(row for row in gpu_box.ROWS if row.what == name)
    answer = gpu_box.run_row(row, rehearsed, 120)
    assert answer.state == gpu_box.PASSED, answer.says
    assert answer.numbers


@pytest.mark.torch
def test_a_probe_that_finds_a_difference_fails_its_row(
    rehearsed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without what stands in for the GPU's part all sums are equal, and that is not passed."""
    monkeypatch.setenv("PYTHONPATH", str(rehearsed.folder))
    (rehearsed.folder / "sitecustomize.py").write_text("import os\nos.urandom = lambda count: bytes(count)\n")
    row = next(row for row in gpu_box.ROWS if row.what == "index_add")
    answer = gpu_box.run_row(row, rehearsed, 120)
    assert answer.state == gpu_box.FAILED
    assert "1 different without flags" in answer.says


def test_a_row_that_hangs_is_killed_with_what_it_started_and_the_next_one_runs(
    rehearsed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hangs.py").write_text(
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "print('the driver is asked', flush=True)\nchild.wait()\n"
    )
    monkeypatch.setattr(gpu_box, "PROBES", str(tmp_path / "hangs.py"))
    rows = [gpu_box.Row("hangs", 5, "probe", "hangs"), gpu_box.Row("driver", 60, "fact", "driver")]
    begun = time.monotonic()
    hung, after = (gpu_box.run_row(row, rehearsed, row.seconds) for row in rows)
    assert time.monotonic() - begun < 100
    assert hung.state == gpu_box.FAILED
    assert hung.says.startswith("killed after 5 s, its deadline")
    assert "the driver is asked" in hung.says
    assert after.state == gpu_box.PASSED
    child = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    assert not child.exists() or child.read_text().split()[2] == "Z"
    assert gpu_box.exit_code({rows[0]: hung, rows[1]: after}) == 1


@pytest.mark.engine
def test_the_containers_of_a_killed_row_are_removed_and_no_others(
    box: Box, another_box: Any, tmp_path: Path, rehearsed: Any
) -> None:
    """`box` has its home in the rows' folder; the other one's is elsewhere."""
    other = Box(another_box("x").settings)
    other.settings.home.rename(tmp_path.parent / f"{tmp_path.name}-other")
    elsewhere = {"REPRISE_HOME": str(tmp_path.parent / f"{tmp_path.name}-other")}
    mine = box.start("submit", str(write_job(tmp_path / "job", WAITS)))
    theirs = other.start("submit", str(write_job(tmp_path / "job2", WAITS)), **elsewhere)
    try:
        for process in (mine, theirs):
            assert process.stdout is not None
            while "up" not in process.stdout.readline():
                assert process.poll() is None
            process.kill()
            process.communicate()
        (run,) = box.json("history")["runs"]
        assert containers(run["id"])
        assert gpu_box.sweep(rehearsed) == ""
        assert containers(run["id"]) == []
        (kept,) = other.type("history", "--json", **elsewhere).json["runs"]
        assert containers(kept["id"])
    finally:
        gpu_box.sweep(gpu_box.Box(Path(elsewhere["REPRISE_HOME"]), True, None))


@pytest.mark.parametrize(
    ("body", "state", "says"),
    [
        ("", "passed", "noted"),
        ("pytest.skip('not run: no such way')", "not run", "no such way"),
        ("assert 1 == 2, 'the bits'", "FAILED", "the bits"),
    ],
)
def test_a_row_says_of_a_test_how_it_ended(tmp_path: Path, body: str, state: str, says: str) -> None:
    test = tmp_path / "test_x.py"
    test.write_text(
        f"import pytest\ndef test_x(record_property):\n    record_property('says', 'noted')\n    {body}\n"
    )
    report = tmp_path / "report.xml"
    words = ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(test), f"--junitxml={report}"]
    subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, check=False)
    answer = gpu_box.answer_of_test(report)
    assert answer.state == state
    assert says in answer.says


@pytest.mark.engine
def test_a_probe_works_as_a_job_where_no_python_here_sees_the_gpu(tmp_path: Path) -> None:
    row = next(row for row in gpu_box.ROWS if row.what == "digests")
    answer = gpu_box.run_row(row, gpu_box.Box(tmp_path, True, None), 240)
    assert answer.state == gpu_box.PASSED, answer.says
    assert "in a container" in answer.says


@pytest.mark.engine
@pytest.mark.acceptance
def test_every_row_is_rehearsed_on_the_cpu(tmp_path: Path) -> None:
    words = [sys.executable, str(PROGRAM), "--rehearse"]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ, check=False)
    states = [line[:8].strip() for line in done.stdout.splitlines()[2:] if line[:8].strip()]
    assert done.returncode == 4, done.stdout
    assert sorted(set(states)) == ["not run", "passed"], done.stdout
    assert states.count("not run") == 2, done.stdout  # this engine hands no GPU on
