"""What a container sees of the GPUs that it was given, by each way in which an engine hands them on."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from orchestrator.run.attempt_model import GpuAccess
from orchestrator.run.engine.engine import Engine, EngineInfo
from orchestrator.run.hardware import Gpu
from orchestrator.run.plan import plan_container
from orchestrator.run.workspace import Folders
from orchestrator.spec.jobfile.job_spec import Resources
from orchestrator.spec.program import Program

# Device nodes and whether they open, what the runtime was asked for, whether Triton would find the driver.
NODES = """
import glob, json, os, subprocess
def opens(path):
    try:
        os.close(os.open(path, os.O_RDWR))
        return True
    except OSError:
        return False
libraries = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
seen = {
    "nodes": {path: opens(path) for path in sorted(glob.glob("/dev/nvidia*")) if not os.path.isdir(path)},
    "visible": os.environ.get("NVIDIA_VISIBLE_DEVICES"),
    "libcuda": "libcuda.so.1" in libraries,
}
"""
TORCH = """
import torch
seen["uuids"] = [f"GPU-{torch.cuda.get_device_properties(n).uuid}" for n in range(torch.cuda.device_count())]
seen["sum"] = int(torch.arange(1000, device="cuda").sum()) if seen["uuids"] else None
"""
TELL = "print(json.dumps(seen))\n"


def offered(info: EngineInfo, access: GpuAccess) -> bool:
    """Whether an engine hands GPUs on in this way."""
    return info.cdi if access is GpuAccess.CDI else "nvidia" in info.runtimes


def seen_inside(
    engine: Engine,
    access: GpuAccess,
    gpus: tuple[Gpu, ...],
    image: str,
    folder: Path,
    script: str = NODES + TORCH + TELL,
) -> dict[str, Any]:
    """What `script` prints last, in a container as Reprise plans it for a job with these GPUs."""
    folders = Folders(folder / "workspace", folder / "report")
    for path in (folders.workspace, folders.report):
        path.mkdir(parents=True)
    asked = {
        GpuAccess.CDI: {"runtimes": (), "cdi": True},
        GpuAccess.NVIDIA: {"runtimes": ("nvidia",), "cdi": False, "cdi_devices": ()},
    }[access]
    plan = plan_container(
        run=f"gpu{secrets.token_hex(6)}",
        attempt=1,
        image=image,
        program=Program(name="look", command=("python",), gpus=len(gpus)),
        resources=Resources(gpus=len(gpus)),
        folders=folders,
        inputs={},
        gpus=gpus,
        engine=engine.info().model_copy(update=asked),
        home="a-test-of-gpus",
    ).model_copy(update={"entrypoint": ("python", "-c"), "command": (script,)})
    assert plan.gpu_access is access
    engine.create(plan)
    try:
        engine.start(plan.container)
        assert engine.wait(plan.container, 60), "the container does not end"
        said = engine.api.logs(plan.container, stdout=True, stderr=True).decode(errors="replace")
    finally:
        engine.remove(plan.container)
    lines = [line for line in said.splitlines() if line.startswith("{")]
    assert lines, said
    return dict(json.loads(lines[-1]))
