"""Containers of ours beside those of jobs: a few lines of Python, confined as a job is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.image.image_model import JOB_USER
from orchestrator.run.attempt_model import Mount, Plan
from orchestrator.run.engine.engine import LABEL_RUN
from orchestrator.run.engine.engine_info import EngineInfo


def own_plan(
    name: str,
    info: EngineInfo,
    image: str,
    python: str,
    script: str,
    folders: Mapping[str, Path],
    *,
    memory: int,
    processes: int,
    seconds: float,
    labels: dict[str, str],
) -> Plan:
    """A container in which `python`, a path in the image, executes `script`; the targets are its arguments.

    `folders` are mounted to be written, by their targets. `memory` is in bytes; who starts the container ends
    it after `seconds`.
    """
    return Plan(
        run=labels.get(LABEL_RUN, ""),
        attempt=0,
        container=name,
        image=image,
        entrypoint=(python, "-I", "-S", "-c"),
        command=(script, *folders),
        environment={"NVIDIA_VISIBLE_DEVICES": "void", "REPRISE_LEVEL": ""},
        mounts=tuple(
            Mount(source=folder, target=target, read_only=False) for target, folder in folders.items()
        ),
        user=f"{JOB_USER}:{JOB_USER}",
        network="none",
        ipv6=info.ipv6,
        cpus=None,
        memory=memory,
        shm=1 << 20,
        processes=processes,
        file_size=1 << 20,
        timeout=seconds,
        system_calls=info.seccomp,
        log_driver=info.log_driver,
        labels=labels,
    )
