"""An attempt that no engine executed: its plan, its container, and a sink for what it left."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.digest import Digest
from orchestrator.image.image_model import REPORT, WORKSPACE
from orchestrator.run.attempt_model import Mount, Plan
from orchestrator.run.engine.engine import ContainerState


class MemorySink:
    """A sink that keeps all blobs in memory."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}

    def add(self, stream: BinaryIO, size: int) -> Digest:
        data = stream.read(size)
        digest = Digest.of(data)
        self.blobs[digest] = data
        return digest


def attempt_plan(workspace: Path, report: Path, **changes: Any) -> Plan:
    """A plan with these two folders of this machine."""
    mounts = (
        Mount(source=workspace, target=WORKSPACE, read_only=False),
        Mount(source=report, target=REPORT, read_only=False),
    )
    fields = {
        "run": "r", "attempt": 1, "container": "run-r-1", "image": "i", "command": ("x",), "environment": {},
        "mounts": mounts, "user": "1", "network": "none", "cpus": None, "memory": 1, "shm": 1, "processes": 1,
        "file_size": 1 << 20, "timeout": None,
    }  # fmt: skip
    return Plan.model_validate(fields | changes)


def container_state(**changes: Any) -> ContainerState:
    """A container that has ended well."""
    now = datetime.now(UTC)
    fields = {
        "id": "1", "name": "run-r-1", "status": "exited", "image": "i", "exit_code": 0, "oom_killed": False,
        "error": "", "started_at": now, "finished_at": now, "pid": 1, "labels": {},
    }  # fmt: skip
    return ContainerState.model_validate(fields | changes)
