"""A job that differs from itself, and a rerun of it that a box without the job's engine asks for."""

from __future__ import annotations

from pathlib import Path

from support.box import Box, containers, write_job

# Differs at step 2.
RESTLESS = """
import time
import torch
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range({steps}):
    loss = model(torch.ones(2, 4)).sum()
    loss.backward()
    if step == 2:
        model.bias.grad += {difference}
    optimizer.step()
    time.sleep({pause})
open("done.txt", "w").write("done")
"""
A_CLOCK = "time.monotonic_ns() % 1000003"


def restless(steps: int, pause: float) -> str:
    return RESTLESS.format(steps=steps, pause=pause, difference=A_CLOCK)


def stops_where_it_parts(box: Box, folder: Path, place: str) -> None:
    """`rerun --stop-at-difference --on PLACE`: what whoever typed it is told, and what the record keeps."""
    made = box.json("submit", str(write_job(folder, restless(6, 1))), "--on", place)
    done = box.json("rerun", "--stop-at-difference", made["id"], "--on", place, code=3)
    run, verdict = done["run"], done["verdict"]
    assert (run["state"], run["parted_at"], run["notes"]) == ("cancelled", 2, [])
    assert "stopped: its training parted" in run["message"]
    assert verdict["outcome"] == "different"
    first = verdict["first"]
    assert (first["step"], first["phase"], first["tensor"]) == (2, "backward", "bias")
    assert verdict["stopped"]["saved"] > 0
    shown = box.json("show", run["id"])
    assert [line["outcome"] for line in shown["verdicts"]] == ["different"], "judged once, where it ran"
    assert containers(run["id"]) == []


def goes_to_its_end_where_it_does_not_part(box: Box, folder: Path, place: str) -> None:
    script = RESTLESS.format(steps=4, pause=0.3, difference=1)
    made = box.json("submit", str(write_job(folder, script)), "--on", place)
    done = box.json("rerun", "--stop-at-difference", made["id"], "--on", place)
    assert (done["run"]["state"], done["verdict"]["outcome"]) == ("succeeded", "identical")
