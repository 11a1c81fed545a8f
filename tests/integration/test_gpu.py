"""On a box with an NVIDIA GPU the verdict's promises hold, too. Elsewhere these say that they did not run.

benchmarks/gpu_box.py runs them one by one and shows what they noted (`make gpu`). Its rehearsal sets
REPRISE_GPU_REHEARSAL: then they run on the CPU, small, and say nothing about a GPU.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.box import Box, write_job
from support.gpu_container import offered, seen_inside

from orchestrator.launch.session import Session
from orchestrator.run.attempt_model import GpuAccess
from orchestrator.run.hardware import gpus

pytestmark = [pytest.mark.engine, pytest.mark.gpu]
REPO = Path(__file__).resolve().parents[2]
REHEARSAL = bool(os.environ.get("REPRISE_GPU_REHEARSAL"))
DEVICE, BASE = ("cpu", "cpu") if REHEARSAL else ("cuda", "cuda")
ON_GPU = f"base: {BASE}\n" + ("" if REHEARSAL else "resources: {gpus: 1}\n")
# A box whose Python cannot have the example job's packages brings a job without them.
DIGITS = Path(os.environ.get("REPRISE_GPU_DIGITS") or REPO / "jobs" / "digits")
Note = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def gpu_box(box: Box) -> None:
    if not gpus() and not REHEARSAL:
        pytest.skip("did not run: this box has no NVIDIA GPU")
    pinned = {base["name"] for base in box.json("base", "list")["bases"]}
    if BASE not in pinned:
        pytest.fail(f"no {BASE} base is pinned here: `reprise base build {BASE}`")


@pytest.mark.parametrize("access", GpuAccess)
def test_a_container_sees_the_gpu_that_it_was_given_and_no_other(
    box: Box, tmp_path: Path, access: GpuAccess, record_property: Note
) -> None:
    session = Session(box.settings)
    info = session.engine.info()
    if not offered(info, access):
        pytest.skip(f"not run: engine {info.version} does not offer {access.value}")
    if not gpus():
        pytest.skip("not run: no GPU to hand on")
    # The base's own tag is in an engine only where the base was made; a job's image is where a job ran.
    image = box.json("submit", str(write_job(tmp_path / "plain", "pass", f"base: {BASE}")))["image"]
    given = gpus()[:1]
    seen = seen_inside(
        session.engine, access, given, f"reprise:{image.removeprefix('sha256:')}", tmp_path / "look"
    )
    record_property("says", f"sees {', '.join(seen['nodes'])}; {seen['uuids']}; libcuda {seen['libcuda']}")
    assert seen["uuids"] == [gpu.uuid for gpu in given]
    assert seen["sum"] == 499_500
    assert seen["libcuda"], "`ldconfig -p` does not show libcuda.so.1, where Triton looks for it"


def test_the_example_job_twice_on_a_gpu_is_identical(box: Box, tmp_path: Path, record_property: Note) -> None:
    folder = tmp_path / "digits"
    shutil.copytree(DIGITS, folder)
    spec = folder / "job.yaml"
    text = spec.read_text().replace("base: cpu\n", f"base: {BASE}\n")
    if not REHEARSAL:
        text = text.replace("resources:\n", "resources:\n  gpus: 1\n")
    spec.write_text(text)
    run = box.json("submit", str(spec))
    assert run["state"] == "succeeded", run["message"]
    assert bool(run["fingerprint"]["bit_class"]["gpus"]) is not REHEARSAL
    (trace,) = run["traces"]
    assert trace["complete"]
    assert trace["steps"] > 100
    again = box.json("rerun", run["image"])
    record_property("says", f"{again['verdict']['outcome']}, {trace['steps']} steps traced")
    assert again["verdict"]["outcome"] == "identical", again["explanation"]


@pytest.mark.parametrize("name", ["digests", "step", "index_add"])
def test_what_a_job_with_a_gpu_measures_holds(
    box: Box, tmp_path: Path, name: str, record_property: Note
) -> None:
    """benchmarks/gpu_probes.py as a job. It sets the flags itself, and traces itself."""
    size = " --small" if REHEARSAL else ""
    command = f"command: python bench/gpu_probes.py {name} --device {DEVICE}{size} --output answer.json\n"
    folder = write_job(tmp_path / "job", "", ON_GPU).parent
    (folder / "bench").mkdir()
    shutil.copy(REPO / "benchmarks" / "gpu_probes.py", folder / "bench")
    payload = REPO / "orchestrator" / "payload"
    shutil.copytree(
        payload, folder / "orchestrator" / "payload", ignore=shutil.ignore_patterns("__pycache__")
    )
    spec = folder / "job.yaml"
    off = "determinism: {level: 'off', trace: 'off'}\n"
    spec.write_text(re.sub(r"^command:.*\n", command + off, spec.read_text(), flags=re.MULTILINE))
    run = box.json("submit", str(spec))
    assert run["state"] == "succeeded", run["message"]
    box.json("outputs", run["id"], "--to", str(tmp_path / "out"))
    answer = json.loads((tmp_path / "out" / "answer.json").read_text())
    record_property("says", f"{answer['says']} (in a container)")
    assert answer["state"] == "passed", answer["says"]


ADDING = f"""
import os, torch
index = torch.randint(0, 50, (200_000,), device="{DEVICE}")
values = torch.randn(200_000, 64, device="{DEVICE}")
total = torch.zeros(50, 64, device="{DEVICE}").index_add_(0, index, values)
if "{DEVICE}" == "cpu" and not torch.are_deterministic_algorithms_enabled():
    total += os.urandom(1)[0]  # in a rehearsal, for what a GPU does
torch.save(total.cpu(), "total.pt")
"""


def test_index_add_is_caught_without_the_flags_and_held_with_them(
    box: Box, tmp_path: Path, record_property: Note
) -> None:
    off = write_job(tmp_path / "off", ADDING, ON_GPU + "determinism: {level: 'off'}\n")
    run = box.json("submit", str(off))
    assert run["state"] == "succeeded", run["message"]
    assert box.json("rerun", run["image"], code=3)["verdict"]["outcome"] == "different"
    strict = write_job(tmp_path / "strict", ADDING, ON_GPU)
    run = box.json("submit", str(strict))
    assert box.json("rerun", run["image"])["verdict"]["outcome"] == "identical"
    record_property("says", "different without the flags, identical with them")
