"""Which GPUs of a box an attempt may use, as an executor hands them over."""

from __future__ import annotations

from orchestrator.errors import UsageError
from orchestrator.run.hardware import Gpu


def visible_gpus(found: tuple[Gpu, ...], chosen: str | None) -> tuple[Gpu, ...]:
    """The chosen ones of the GPUs that NVML found. UsageError for one that it did not find.

    `chosen`: comma-separated UUIDs, or indices in NVML's order; None: all; "": none. An engine can confine a
    process to its own GPUs (Slurm's ConstrainDevices). Then NVML shows only these and counts them from 0, but
    `chosen` counts the box's GPUs: as many indices as GPUs were found mean all of them.
    """
    if chosen is None:
        return found
    by_name = {gpu.uuid: gpu for gpu in found} | {str(number): gpu for number, gpu in enumerate(found)}
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    if names and len(set(names)) == len(found) and all(name.isdecimal() for name in names):
        return found
    missing = [name for name in names if name not in by_name]
    if missing:
        raise UsageError(
            f"no GPU {missing[0]} on this box, which has {len(found)}",
            "--gpus takes UUIDs, or NVML's indices, as `nvidia-smi -L` lists them",
        )
    return tuple(dict.fromkeys(by_name[name] for name in names))
