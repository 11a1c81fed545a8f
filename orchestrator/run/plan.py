"""The plan of an attempt: a pure function from the request and the box to a container's settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from orchestrator.errors import UsageError
from orchestrator.image.image_model import INPUTS, JOB_USER, REPORT, WORKSPACE
from orchestrator.run.attempt_model import GpuAccess, Mount, Plan
from orchestrator.run.engine.container_config import CACHES, cdi_name
from orchestrator.run.engine.engine import LABEL_ATTEMPT, LABEL_HOME, LABEL_RUN
from orchestrator.run.engine.engine_info import EngineInfo
from orchestrator.run.hardware import Gpu
from orchestrator.run.workspace import Folders
from orchestrator.spec.jobfile.job_spec import Resources
from orchestrator.spec.program import Program

NOTHING: Mapping[str, str] = MappingProxyType({})
VOID: Mapping[str, str] = MappingProxyType({"NVIDIA_VISIBLE_DEVICES": "void"})
MEMORY_SHARE = 0.9  # of the box, where the spec sets no limit: the rest keeps the box alive


def container_name(run: str, attempt: int) -> str:
    """The same attempt always has the same name: that is what makes starting it idempotent."""
    return f"run-{run}-{attempt}"


def plan_container(
    *,
    run: str,
    attempt: int,
    image: str,
    program: Program,
    resources: Resources,
    folders: Folders,
    inputs: Mapping[str, Path],
    gpus: tuple[Gpu, ...],
    engine: EngineInfo,
    home: str,
    environment: Mapping[str, str] = NOTHING,
) -> Plan:
    """Every setting of the container. UsageError where the engine cannot give what is asked for.

    `home` names the record that the run belongs to, for whoever removes leftovers. `environment` is added to
    the image's own, and is not part of the identity.
    """
    engine.refuse_unfit()
    access = _gpu_access(engine, gpus) if gpus else None
    return Plan(
        run=run,
        attempt=attempt,
        container=container_name(run, attempt),
        image=image,
        command=program.command,
        # void: a base's `all` would open every GPU to a job that asked for none, or for one by CDI, if nvidia
        # is the default runtime.
        environment={**CACHES, **(VOID if access is not GpuAccess.NVIDIA else NOTHING), **environment},
        mounts=(
            Mount(source=folders.workspace, target=WORKSPACE, read_only=False),
            Mount(source=folders.report, target=REPORT, read_only=False),
            *(
                Mount(source=path, target=f"{INPUTS}/{name}", read_only=True)
                for name, path in sorted(inputs.items())
            ),
        ),
        user=f"{JOB_USER}:{JOB_USER}",
        network=resources.network.value,
        ipv6=engine.ipv6,
        cpus=_cpus(resources, engine),
        memory=_memory(resources, engine),
        shm=resources.shm,
        processes=resources.processes,
        file_size=resources.output_size,
        timeout=resources.timeout,
        system_calls=engine.seccomp,
        log_driver=engine.log_driver,
        gpu_uuids=tuple(gpu.uuid for gpu in gpus),
        gpu_access=access,
        labels={LABEL_RUN: run, LABEL_ATTEMPT: str(attempt), LABEL_HOME: home},
    )


def _memory(resources: Resources, engine: EngineInfo) -> int:
    if resources.memory is None:
        return int(engine.memory * MEMORY_SHARE)
    if resources.memory > engine.memory:
        raise UsageError(
            f"resources.memory asks for {resources.memory >> 20} MiB, the engine has {engine.memory >> 20}",
            "ask for less, or leave it out: then nine tenths of the box",
        )
    return resources.memory


def _cpus(resources: Resources, engine: EngineInfo) -> float | None:
    if resources.cpus is not None and resources.cpus > engine.cpus:
        raise UsageError(
            f"resources.cpus asks for {resources.cpus:g}, the engine has {engine.cpus}",
            "ask for less; the number of threads is determinism.threads and may be larger",
        )
    return resources.cpus


def _gpu_access(engine: EngineInfo, gpus: tuple[Gpu, ...]) -> GpuAccess:
    """CDI where the engine found these very GPUs. The runtime's name alone does not say that it works."""
    if engine.podman:
        raise UsageError(
            "this engine is Podman's: its Docker socket drops GPU requests in silence",
            "use a Docker Engine for jobs with a GPU",
        )
    if {cdi_name(gpu.uuid) for gpu in gpus} <= set(engine.cdi_devices):
        return GpuAccess.CDI
    if "nvidia" in engine.runtimes:
        return GpuAccess.NVIDIA
    if engine.cdi:
        return GpuAccess.CDI
    raise UsageError(
        "the engine can give no GPU to a container: it has neither the nvidia runtime nor CDI",
        "install the NVIDIA container toolkit, then `reprise doctor`",
    )
