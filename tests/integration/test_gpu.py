"""On a box with an NVIDIA GPU the verdict's promises hold, too. Elsewhere these say that they did not run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.box import Box, write_job

from orchestrator.run.hardware import gpus

pytestmark = [pytest.mark.engine, pytest.mark.gpu]
JOBS = Path(__file__).resolve().parents[2] / "jobs"
ON_GPU = "base: cuda\nresources: {gpus: 1}\n"


@pytest.fixture(autouse=True)
def gpu_box(box: Box) -> None:
    if not gpus():
        pytest.skip("did not run: this box has no NVIDIA GPU")
    pinned = {base["name"] for base in box.json("base", "list")["bases"]}
    if "cuda" not in pinned:
        pytest.fail("a GPU is here, but no cuda base: `reprise base build cuda`")


def test_the_example_job_twice_on_a_gpu_is_identical(box: Box, tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    shutil.copytree(JOBS / "digits", folder)
    spec = folder / "job.yaml"
    text = spec.read_text().replace("resources:\n", "resources:\n  gpus: 1\n")
    spec.write_text(text.replace("base: cpu\n", "base: cuda\n"))
    run = box.json("submit", str(spec))
    assert run["fingerprint"]["bit_class"]["gpus"]
    (trace,) = run["traces"]
    assert trace["complete"]
    assert trace["steps"] > 100
    again = box.json("rerun", run["image"])
    assert again["verdict"]["outcome"] == "identical", again["explanation"]


def test_a_tensor_has_one_digest_on_cpu_and_gpu(box: Box, tmp_path: Path) -> None:
    script = """
import sys, torch
sys.path.insert(0, "/opt/reprise")
from runtime.tensor_digest.digester import Digester, to_ints
bits = [torch.randint(-2**31, 2**31 - 1, (count,), dtype=torch.int32).view(torch.float32)
        for count in (1, 7, 4096, 100_003, 3_000_000)]
digester = Digester(torch)
on_cpu, on_gpu = (to_ints(digester.digest(some)) for some in (bits, [one.cuda() for one in bits]))
open("notes.txt", "w").write("\\n".join(digester.notes))
assert on_cpu == on_gpu, (on_cpu, on_gpu)
"""
    run = box.json("submit", str(write_job(tmp_path / "job", script, ON_GPU)))
    assert run["state"] == "succeeded", run["message"]


ADDING = """
import torch
index = torch.randint(0, 50, (200_000,), device="cuda")
values = torch.randn(200_000, 64, device="cuda")
total = torch.zeros(50, 64, device="cuda").index_add_(0, index, values)
torch.save(total.cpu(), "total.pt")
"""


def test_index_add_is_caught_without_the_flags_and_held_with_them(box: Box, tmp_path: Path) -> None:
    off = write_job(tmp_path / "off", ADDING, ON_GPU + "determinism: {level: 'off'}\n")
    run = box.json("submit", str(off))
    assert box.json("rerun", run["image"], code=3)["verdict"]["outcome"] == "different"
    strict = write_job(tmp_path / "strict", ADDING, ON_GPU)
    run = box.json("submit", str(strict))
    assert box.json("rerun", run["image"])["verdict"]["outcome"] == "identical"
