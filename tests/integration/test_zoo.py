"""Scripts as people publish them, unchanged: run, run again, the same bits, and a trace of every step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, stored

# Four containers with PyTorch for each; tests/payload traces the same scripts outside of containers.
pytestmark = [pytest.mark.engine, pytest.mark.acceptance]
ZOO = Path(__file__).resolve().parents[2] / "jobs" / "zoo"

# Script -> optimizer steps it takes: 25 batches in 2 epochs, 40, 8 in 4 epochs, 4, 60 of each optimizer, 25.
STEPS = {"cnn": 50, "transformer": 40, "vae": 32, "lstm": 4, "gan": 120, "rl": 25}


# Where the number of threads moves no bit under the portable profile; sums of norms and of LBFGS do.
SAME_ON_TWO_THREADS = ("cnn", "vae", "rl")


def events(box: Box, run: dict[str, Any]) -> list[str]:
    (trace,) = run["traces"]
    lines = stored(box.settings.store, trace["digest"]).read_text().splitlines()
    return [json.loads(line).get("e", "") for line in lines]


@pytest.mark.parametrize("script", STEPS)
def test_a_script_as_published_is_identical_on_one_cpu_and_on_two(
    box: Box, tmp_path: Path, script: str
) -> None:
    first = box.json("submit", str(ZOO / "job.yaml"), "-p", f"script={script}")
    assert first["state"] == "succeeded"
    (trace,) = first["traces"]
    assert trace["complete"]
    assert trace["steps"] == STEPS[script]
    found = events(box, first)
    assert found.count("params") == STEPS[script]
    assert found.count("init") >= 1
    for kind in ("rng", "batch", "forward", "loss", "grads"):
        assert found.count(kind) >= STEPS[script] / 2, kind
    losses = box.json("show", first["id"], "--series")["series"]
    assert sum(point["name"] == "trace.loss" for point in losses) >= STEPS[script]

    again = box.json("rerun", first["image"], "--cpus", "1", "--stop-at-difference")  # which finds none
    assert again["verdict"]["outcome"] == "identical", again["explanation"]
    assert again["verdict"]["traced"]["steps"] == STEPS[script]
    assert again["verdict"]["first"] is None
    assert again["verdict"]["causes"] == []

    # Two threads are another program, as reproducible as the first.
    copy = tmp_path / "zoo"
    shutil.copytree(ZOO, copy)
    spec = copy / "job.yaml"
    spec.write_text(spec.read_text() + "determinism:\n  threads: 2\n")
    two = box.json("submit", str(spec), "-p", f"script={script}")
    if script not in SAME_ON_TWO_THREADS:
        again = box.json("rerun", two["image"], "--stop-at-difference")
        assert again["verdict"]["outcome"] == "identical", again["explanation"]
    compared = box.json("compare", first["id"], two["id"], code=4)["verdict"]
    assert compared["outcome"] == "not_comparable"
    assert compared["causes"][0]["fields"] == {"determinism.threads": "1 vs 2"}
    if script in SAME_ON_TWO_THREADS:
        assert compared["first"] is None
        assert [item["digest"] for item in two["outputs"]] == [item["digest"] for item in first["outputs"]]
