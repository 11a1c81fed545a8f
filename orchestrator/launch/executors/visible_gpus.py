"""Which GPUs of a box an attempt may use, as an executor hands them over."""

from __future__ import annotations

from orchestrator.errors import UsageError
from orchestrator.run.hardware import Gpu


def visible_gpus(there: tuple[Gpu, ...], chosen: str | None) -> tuple[Gpu, ...]:
    """`chosen`: comma-separated UUIDs, or indices in NVML's order; None: all; "": none.

    UsageError for one that is not there: a run must never start on a GPU that was not given to it. Where an
    engine confines its processes to the GPUs it gave them (Slurm's ConstrainDevices), NVML shows these alone
    and counts from 0, while the indices are the box's: as many as there are GPUs mean all of them.
    """
    if chosen is None:
        return there
    by_name = {gpu.uuid: gpu for gpu in there} | {str(number): gpu for number, gpu in enumerate(there)}
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    if names and len(set(names)) == len(there) and all(name.isdecimal() for name in names):
        return there
    missing = [name for name in names if name not in by_name]
    if missing:
        raise UsageError(
            f"no GPU {missing[0]} on this box, which has {len(there)}",
            "--gpus takes UUIDs, or NVML's indices, as `nvidia-smi -L` lists them",
        )
    return tuple(dict.fromkeys(by_name[name] for name in names))
