"""The second pass on a real engine: it names the operation in which two runs part."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.box import Box, make_box, write_job

from orchestrator.settings import Settings

pytestmark = pytest.mark.engine

# Each step for itself, as the optimizer moves nothing: 0 is always the same, the sum of 1 counts its threads,
# 2 is given bytes from outside of torch, 3 draws by another seed each time.
TRAIN = """
import os, torch
torch.manual_seed(1)
weight = torch.nn.Parameter(torch.randn(1_000_000))
optimizer = torch.optim.SGD([weight], lr=0.0)
for step in range(4):
    optimizer.zero_grad()
    some = weight if step == 1 else weight[:64]
    some = some * 3
    if step == 2:
        some = some + torch.frombuffer(bytearray(os.urandom(8)), dtype=torch.int64)
    if step == 3:
        torch.seed()
        some = torch.nn.functional.dropout(some, 0.5)
    loss = some.sum()
    loss.backward()
    optimizer.step()
    if step == 1:
        with torch.no_grad():
            weight.div_(loss)
torch.save(weight, 'weight.pt')
"""

SAME = """
import torch
torch.manual_seed(1)
model = torch.nn.Linear(32, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(2):
    optimizer.zero_grad()
    model(torch.randn(16, 32)).pow(2).mean().backward()
    optimizer.step()
torch.save(model.state_dict(), 'model.pt')
"""


def submit(box: Box, folder: Path, script: str, extra: str = "") -> str:
    return str(box.json("submit", str(write_job(folder, script, extra)))["id"])


def test_where_two_runs_part_is_named(box: Box, shared_base: Settings, tmp_path: Path) -> None:
    spec = "determinism: {{threads: {}, portable_cpu: false}}"
    one = submit(box, tmp_path / "one", TRAIN, spec.format(1))
    two = submit(box, tmp_path / "two", TRAIN, spec.format(2))
    # The operation that counts its threads, in the first step whose traces differ.
    found = box.json("compare", "--operations", one, two, code=3)
    assert found["conclusion"] == "operation", found
    assert found["difference"]["op"] == "aten::sum"
    assert found["step"] == 1
    passes = [box.json("show", run) for run in found["passes"]]
    assert [run["rerun_of"] for run in passes] == [one, two]
    # Another box with the same record compares what was made where the runs were made.
    shared = {"REPRISE_DATABASE_URL": box.settings.database_url, "REPRISE_STORE": str(box.settings.store)}
    other = make_box(tmp_path / "other", shared_base, **shared)
    assert other.json("compare", "--operations", one, two, code=3) == found


@pytest.mark.acceptance  # three containers with PyTorch; logs with noise are also in tests/verdict
def test_noise_is_named_where_it_enters(box: Box, tmp_path: Path) -> None:
    one = submit(box, tmp_path / "one", TRAIN)
    found = box.json("compare", "--operations", one, one, "--step", "2", code=3)
    assert (found["conclusion"], found["step"]) == ("input", 2)
    assert (found["difference"]["op"], found["difference"]["step"]) == ("aten::add", 2)
    assert found["operations"] > 0


@pytest.mark.acceptance  # three containers with PyTorch; logs of random operations are also in tests/verdict
def test_random_numbers_of_another_seed_are_named(box: Box, tmp_path: Path) -> None:
    one = submit(box, tmp_path / "one", TRAIN)
    found = box.json("compare", "--operations", one, one, "--step", "3", code=3)
    assert found["conclusion"] == "operation"
    assert found["difference"]["random"]
    assert "generator was in another state" in found["summary"]


@pytest.mark.acceptance  # four containers with PyTorch; equal logs are also in tests/verdict
def test_two_runs_that_are_identical_need_no_pass(box: Box, tmp_path: Path) -> None:
    run = submit(box, tmp_path / "job", SAME)
    again = box.json("rerun", run)["run"]["id"]
    found = box.json("compare", "--operations", run, again)
    assert (found["conclusion"], found["passes"]) == ("equal", [])
    found = box.json("compare", "--operations", run, again, "--step", "1")
    assert (found["conclusion"], len(found["passes"])) == ("equal", 2)
    assert found["operations"] > 5


def test_a_step_that_was_never_taken_tells_nothing(box: Box, tmp_path: Path) -> None:
    run = submit(box, tmp_path / "job", "open('done.txt', 'w').write('done')")
    quiet = box.type("compare", "--operations", run, run, "--step", "99", "--quiet")
    assert (quiet.code, quiet.out) == (4, "unknown\n")
