"""A job file that names no base, and the README's own, on a box that has what `make demo` made: cpu."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.box import Box

from orchestrator.errors import ExitCode
from orchestrator.image.base.base_pins import write_pin
from orchestrator.image.base.resolve_base import resolve_base

pytestmark = pytest.mark.engine

README = Path(__file__).parents[2] / "README.md"
TRAIN = """
import argparse, json, torch
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--seed", type=int)
lr = parser.parse_args().lr
torch.save(torch.full((2,), lr), "model.pt")
json.dump({"accuracy": lr}, open("metrics.json", "w"))
"""


def write(folder: Path, spec: str) -> str:
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "job.yaml").write_text(spec)
    return str(folder / "job.yaml")


def test_the_readmes_job_runs_on_what_the_demo_made(box: Box, tmp_path: Path) -> None:
    section = README.read_text("utf-8").split("## Your own job in two minutes")[1]
    spec = write(tmp_path / "job", re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[0])
    run = box.json("submit", spec)
    assert (run["state"], run["base"]["name"]) == ("succeeded", "cpu")
    assert {output["path"] for output in run["outputs"]} == {"model.pt", "metrics.json"}


def test_a_job_that_names_no_base_is_told_both_ways(box: Box, tmp_path: Path) -> None:
    cpu = resolve_base(box.settings, "cpu")
    box.settings.pins.unlink()  # a developer's box may have made cuda, too
    write_pin(box.settings.pins, "cpu", cpu)
    spec = write(tmp_path / "job", "name: bare\ncommand: python train.py --lr 1\n")
    for verb in (("submit", spec), ("submit", spec, "--dry-run"), ("build", spec)):
        said = box.type(*verb)
        assert said.code == ExitCode.USAGE
        assert "gets cuda, and cuda is not made on this box yet" in said.err
        assert "`reprise base build cuda`" in said.err
        assert "`base: cpu`" in said.err
        assert "Traceback" not in said.err
