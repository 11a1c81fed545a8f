"""The log of operations, written by a process of its own: a dispatch mode is for the whole of one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.programs import ran

pytestmark = pytest.mark.torch

SCRIPT = """
import os, sys
sys.path.insert(0, sys.argv[1])
import torch
from orchestrator.payload.tracer import operation_log
operation_log.install(torch, sys.argv[2])
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    pid = os.fork() if step == 1 else None
    if pid == 0:
        torch.ones(3).exp()
        sys.exit()
    if pid:
        os.waitpid(pid, 0)
torch.save(model.state_dict(), sys.argv[3])
"""
ROOT = Path(__file__).parents[2]


def ops(tmp_path: Path, wanted: str) -> tuple[list[dict[str, Any]], bytes]:
    folder = tmp_path / wanted.replace(":", "-")
    folder.mkdir()
    saved = folder / "model.pt"
    ran(sys.executable, "-c", SCRIPT, str(ROOT), wanted, str(saved), env={"REPRISE_REPORT": str(folder)})
    logs = sorted(folder.glob("ops-*.jsonl"))
    assert not list(folder.glob("error-*.json"))
    assert len(logs) <= 1
    return [json.loads(line) for log in logs for line in log.read_text().splitlines()], saved.read_bytes()


@pytest.mark.acceptance
@pytest.mark.slow
def test_the_first_step_is_seen_from_the_making_of_the_weights_on(tmp_path: Path) -> None:
    (head, *lines, end), first = ops(tmp_path, "0:1")
    assert (head["ops"], head["step"], head["rank"]) == (1, 0, 0)
    assert end == {"end": True, "ops": len(lines), "steps": 1}
    assert [line["i"] for line in lines] == list(range(len(lines)))
    assert all(line["s"] == 0 for line in lines)
    by_name = {line["op"]: line for line in lines}
    assert by_name["aten::empty"]["out"] == [["float32[1]", "-"]]  # nothing has written to it
    drawn = by_name["aten::uniform_"]
    assert (drawn["r"], drawn["in"]) == (1, [])
    assert len(drawn["out"][0][1]) == 16
    places = {(line["p"], line["w"]) for line in lines if line["op"] in ("aten::addmm", "aten::mm")}
    assert {("forward", "0"), ("forward", "1"), ("backward", "1")} <= places
    assert ("optimizer", "SGD") in {(line["p"], line["w"]) for line in lines}
    again, second = ops(tmp_path, "9:1")
    assert again == []  # a step that was never taken
    assert first == second  # and whoever watches changes nothing


@pytest.mark.slow
def test_only_the_wanted_steps_are_seen_and_a_forked_child_adds_nothing(tmp_path: Path) -> None:
    (_, *lines, end), _ = ops(tmp_path, "1:2")
    assert {line["s"] for line in lines} == {1, 2}
    assert end["steps"] == 3
    assert "aten::exp" not in {line["op"] for line in lines}
    assert next(line["i"] for line in lines if line["s"] == 2) == 0
