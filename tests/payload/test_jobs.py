"""The example job gives the same bytes twice; the controls do what their first lines say."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from support.programs import ran

JOBS = Path(__file__).resolve().parents[2] / "jobs"
OUTPUTS = {"metrics.json", "metrics.jsonl", "predictions.csv", "model.pt"}


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".py"}


def twice(image: Any, tmp_path: Path, script: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    found = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        done = image.run(str(script), cwd=folder)
        assert (done.code, done.err) == (0, "")
        found.append(outputs(folder))
    return found[0], found[1]


# Two runs of a script in processes of their own; what takes seconds to import, an optimizer's part of torch
# too, is imported once for both.
TWICE = """
import gc, os, runpy, sklearn.datasets, sys, torch._dynamo
gc.freeze()
for folder in sys.argv[1:3]:
    sys.stdout.flush()
    if os.fork() == 0:
        os.chdir(folder)
        sys.argv[1:3] = []
        runpy.run_path("train.py", run_name="__main__")
        break
    assert os.wait()[1] == 0
"""


@pytest.mark.slow
@pytest.mark.torch
def test_digits_learns_and_gives_the_same_bytes(tmp_path: Path) -> None:
    """As any script, without the runtime: what it leaves must not hold times, paths or the like."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        shutil.copy(JOBS / "digits" / "train.py", folder)
    environ = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    words = [*map(str, folders), "--epochs", "6"]
    done = ran(sys.executable, "-c", TWICE, *words, cwd=tmp_path, env=environ, timeout=120)
    assert done.stderr == ""
    assert done.stdout.count("epoch") == 12
    found = list(map(outputs, folders))
    assert set(found[0]) == OUTPUTS
    assert found[0] == found[1]
    metrics = json.loads(found[0]["metrics.json"])
    assert metrics["accuracy"] > 0.97
    series = [json.loads(line) for line in found[0]["metrics.jsonl"].splitlines()]
    assert [point["step"] for point in series] == list(range(1, 7))
    assert series[-1]["accuracy"] == metrics["accuracy"]


def test_the_lock_names_no_host_and_pins_every_hash() -> None:
    text = (JOBS / "digits" / "requirements.txt").read_text()
    assert "://" not in text
    assert "index" not in text
    pins = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert all("==" in line and line.endswith("\\") for line in pins)
    assert "scikit-learn" in text


def test_hello_draws_the_same_numbers_though_it_never_seeds(image: Any, tmp_path: Path) -> None:
    first, second = twice(image, tmp_path, JOBS / "hello" / "hello.py")
    assert set(first) == {"greeting.txt", "metrics.json"}
    assert first == second


@pytest.mark.parametrize(
    ("control", "differing"),
    [("clock", {"clock.txt"}), ("urandom", {"weights.txt"}), ("race", {"order.txt", "sum.txt"})],
)
def test_controls_that_differ(image: Any, tmp_path: Path, control: str, differing: set[str]) -> None:
    first, second = twice(image, tmp_path, JOBS / "controls" / control / f"{control}.py")
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} == differing


def test_identity_tells_what_it_can_read(image: Any, tmp_path: Path) -> None:
    done = image.run(str(JOBS / "controls" / "identity" / "identity.py"), cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "identity.txt").read_text().startswith("hostname ")


@pytest.mark.acceptance
@pytest.mark.slow
@pytest.mark.torch
def test_flags_off_is_seen_by_the_read_back(image: Any, tmp_path: Path) -> None:
    done = image.run(str(JOBS / "controls" / "flags_off" / "flags_off.py"), cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert set(done.changed) == {
        "torch.deterministic_algorithms",
        "cudnn.deterministic",
        "cudnn.benchmark",
        "inductor.deterministic",
        "tf32.matmul",
        "tf32.matmul_precision",
        "tf32.cuda.matmul",
        "tf32.cudnn",
        "tf32.cuda.conv",
        "tf32.cuda.rnn",
        "env.CUBLAS_WORKSPACE_CONFIG",
    }


@pytest.mark.acceptance
@pytest.mark.slow
@pytest.mark.torch
def test_an_operation_without_a_deterministic_form_fails_under_strict(image: Any, tmp_path: Path) -> None:
    script = str(JOBS / "controls" / "nondeterministic_op" / "unpool.py")
    done = image.run(script, cwd=tmp_path)
    assert done.code == 1
    assert "max_unpooling2d_forward_out does not have a deterministic implementation" in done.err
    assert not (tmp_path / "restored.pt").exists()
    assert image.run(script, cwd=tmp_path, level="warn").code == 0


@pytest.mark.parametrize("path", sorted(JOBS.rglob("job.yaml")), ids=lambda path: path.parent.name)
def test_every_control_says_what_is_expected(path: Path) -> None:
    text = path.read_text()
    assert ("# Expected: " in text) == (path.parent.parent.name == "controls")
    assert "\nsource: ." in text
