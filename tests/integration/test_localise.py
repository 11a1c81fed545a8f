"""The second pass on a real engine: it names the operation in which two runs part."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.box import Box, make_box, write_job

from orchestrator.settings import Settings

pytestmark = pytest.mark.engine

TRAIN = """
import os, torch
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(32, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data = torch.randn(16, 32)
for step in range(3):
    optimizer.zero_grad()
    out = model(data)
    {noise}
    out.pow(2).mean().backward()
    optimizer.step()
torch.save(model.state_dict(), 'model.pt')
"""


def submit(box: Box, folder: Path, script: str, extra: str = "") -> str:
    return str(box.json("submit", str(write_job(folder, script, extra)))["id"])


def test_the_operation_that_counts_its_threads_is_named(
    box: Box, shared_base: Settings, tmp_path: Path
) -> None:
    script = """
import torch
torch.manual_seed(1)
weight = torch.nn.Parameter(torch.randn(1_000_000))
optimizer = torch.optim.SGD([weight], lr=0.1)
for step in range(2):
    optimizer.zero_grad()
    loss = (weight * 3).sum()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        weight.div_(loss)
torch.save(weight, 'weight.pt')
"""
    spec = "determinism: {{threads: {}, portable_cpu: false}}"
    one = submit(box, tmp_path / "one", script, spec.format(1))
    two = submit(box, tmp_path / "two", script, spec.format(2))
    found = box.json("compare", "--operations", one, two, code=3)
    assert found["conclusion"] == "operation", found
    assert found["difference"]["op"] == "aten::sum"
    assert found["step"] == 0
    passes = [box.json("show", run) for run in found["passes"]]
    assert [run["rerun_of"] for run in passes] == [one, two]
    # Another box with the same record compares what was made where the runs were made.
    shared = {"REPRISE_DATABASE_URL": box.settings.database_url, "REPRISE_STORE": str(box.settings.store)}
    again = make_box(tmp_path / "other", shared_base, **shared).json(
        "compare", "--operations", one, two, code=3
    )
    assert again == found
    quiet = box.type(
        "compare", "--operations", one, two, "--step", "99", "--quiet"
    )  # a step that was never taken
    assert (quiet.code, quiet.out) == (4, "unknown\n")


def test_noise_that_an_operation_brings_in_is_found_where_it_enters(box: Box, tmp_path: Path) -> None:
    noise = "out = out + (torch.frombuffer(bytearray(os.urandom(1)), dtype=torch.uint8) if step else 0)"
    run = submit(box, tmp_path / "job", TRAIN.format(noise=noise))
    verdict = box.json("rerun", run, code=3)["verdict"]
    assert verdict["first"]["step"] == 1
    found = box.json("compare", "--operations", run, verdict["rerun"], code=3)
    assert (found["conclusion"], found["step"]) == ("input", 1)
    assert (found["difference"]["op"], found["difference"]["step"]) == ("aten::add", 1)
    assert found["operations"] > 3


def test_random_numbers_of_another_seed_are_said_to_be_that(box: Box, tmp_path: Path) -> None:
    noise = "torch.seed() if step == 2 else None; out = torch.nn.functional.dropout(out, 0.5)"
    run = submit(box, tmp_path / "job", TRAIN.format(noise=noise))
    found = box.json("compare", "--operations", run, run, "--step", "2", code=3)
    assert found["conclusion"] == "operation"
    assert found["difference"]["random"]
    assert "generator was in another state" in found["summary"]


def test_two_runs_that_are_identical_need_no_pass(box: Box, tmp_path: Path) -> None:
    run = submit(box, tmp_path / "job", TRAIN.format(noise="pass"))
    again = box.json("rerun", run)["run"]["id"]
    found = box.json("compare", "--operations", run, again)
    assert (found["conclusion"], found["passes"]) == ("equal", [])
    found = box.json("compare", "--operations", run, again, "--step", "1")
    assert (found["conclusion"], len(found["passes"])) == ("equal", 2)
    assert found["operations"] > 10
