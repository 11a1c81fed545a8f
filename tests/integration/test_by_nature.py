"""What real scripts write that differs by nature: event files, logs with timings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.box import Box, make_box, write_job

from orchestrator.settings import Settings

pytestmark = pytest.mark.engine
LOCK = Path(__file__).parent / "data" / "tensorboard.txt"

SCRIPT = """
import os, sys, time
from tensorboardX import SummaryWriter

with SummaryWriter("runs/" + time.strftime("%b%d_%H-%M-%S") + "_mine") as writer:
    for step in range(4):
        writer.add_scalar("val/accuracy", step / 4, step)
        writer.add_scalar("loss", NOISE + 1 / (step + 1), step)
open("train.log", "w").write(f"took {time.time()} s")
"""
EXTRA = """requirements: tensorboard.txt
outputs: ["**", {glob: "*.log", volatile: true}]
"""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, shared_base: Settings) -> Box:
    """One for both: it unpacks the packages once."""
    return make_box(tmp_path_factory.mktemp("by_nature") / "home", shared_base)


def job(folder: Path, noise: str) -> Path:
    spec = write_job(folder, SCRIPT.replace("NOISE", noise), EXTRA)
    shutil.copy(LOCK, folder / "tensorboard.txt")
    return spec


def test_a_clock_in_event_files_and_logs_is_left_out_and_said(box: Box, tmp_path: Path) -> None:
    run = box.json("submit", str(job(tmp_path / "job", "0")))
    assert run["metrics"]["val/accuracy"] == 0.75
    assert box.json("best", "test", "--metric", "val/accuracy")["id"] == run["id"]
    assert len(box.json("history", "--job", "test", "--where", 'metrics["val/accuracy"] > 0.7')["runs"]) == 1

    again = box.json("rerun", run["id"])
    verdict = again["verdict"]
    assert verdict["outcome"] == "identical", again["explanation"]
    names = {item["path"].split("/")[0]: item["why"] for item in verdict["left_out"]}
    assert names.keys() == {"runs", "train.log"}
    assert "8 records" in names["runs"] or "9 records" in names["runs"]
    assert "2 tags" in names["runs"]
    assert "volatile" in names["train.log"]
    assert verdict["files"] == []
    assert any("left out" in line for line in again["explanation"])


@pytest.mark.acceptance  # event files that differ are also in tests/verdict
def test_another_value_in_an_event_file_is_named(box: Box, tmp_path: Path) -> None:
    noisy = "(int.from_bytes(os.urandom(4), 'big') / 2**32 if step == 2 else 0)"
    spec = job(tmp_path / "job", noisy)
    spec.write_text(spec.read_text().replace("name: test", "name: noisy"))
    run = box.json("submit", str(spec))
    verdict = box.json("rerun", run["id"], code=3)["verdict"]
    assert verdict["outcome"] == "different"
    (difference,) = verdict["files"]
    assert difference["note"].startswith("loss at step 2: ")
