"""What this box is: its GPUs by NVML, its CPU, and a fingerprint in three groups.

`bit_class` can change bits, `perf_class` changes speed. `identity` says which box it was, by keyed hashes
only: serial numbers stay on the box. NVML is not asked on a box without an NVIDIA driver.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
import secrets
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.digest import Digest, canonical_json
from orchestrator.durable import locked, new_file
from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.run.attempt_model import Fingerprint, Readback
from orchestrator.run.engine.engine_info import EngineInfo
from orchestrator.settings import Settings
from orchestrator.spec.jobfile.job_spec import Resources
from orchestrator.value import Value

DRIVER = Path("/dev/nvidiactl")

# The numeric libraries choose their kernels by these; a CPU's other flags change no bits.
_ISA = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
)
# Cores of one SM by compute capability: `_ConvertSMVer2Cores` of NVIDIA's CUDA samples. Where NVML does not
# tell the SM count; not verified on a GPU.
_CORES_PER_SM = {
    "6.0": 64,
    "6.1": 128,
    "7.0": 64,
    "7.5": 64,
    "8.0": 64,
    "8.6": 128,
    "8.9": 128,
    "9.0": 128,
    "10.0": 128,
    "10.3": 128,
    "12.0": 128,
}
# Read-back flags that name how numbers were made, by the prefixes of the runtime's read-back.
_BIT_FLAGS = (
    "torch.cpu_capability",
    "torch.num_threads",
    "torch.omp_",
    "torch.mkl_",
    "numpy.cpu_features",
    "library.",
    "cuda.",
)


class Gpu(Value):
    """One GPU as NVML sees it."""

    uuid: str
    name: str
    compute: str  # "9.0"
    sms: int | None
    memory: int  # bytes
    driver: str
    vbios: str
    mig: bool
    power_limit: int | None = None  # milliwatts
    ecc: bool | None = None


def gpus() -> tuple[Gpu, ...]:
    """The GPUs of this box; empty without an NVIDIA driver. Not verified on a box with MIG slices."""
    if not DRIVER.exists():
        return ()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_gpu(pynvml, handle, driver) for handle in handles)
    except pynvml.NVMLError as error:
        raise InfrastructureError(
            f"the NVIDIA driver does not answer: {error}", "`nvidia-smi` says more"
        ) from error
    finally:
        pynvml.nvmlShutdown()


def gpu_use(uuids: Iterable[str]) -> list[tuple[str, int | None, int, int]]:
    """Name, percent busy, bytes in use and in all, of each GPU that answers; percent None of a MIG slice."""
    if not DRIVER.exists():
        return []
    import pynvml

    nvml: Any = pynvml
    found: list[tuple[str, int | None, int, int]] = []
    with suppress(pynvml.NVMLError):
        nvml.nvmlInit()
        try:
            for uuid in uuids:
                with suppress(pynvml.NVMLError):
                    found.append(_one_gpu_use(nvml, uuid))
        finally:
            nvml.nvmlShutdown()
    return found


def _one_gpu_use(nvml: Any, uuid: str) -> tuple[str, int | None, int, int]:
    handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
    memory, busy = nvml.nvmlDeviceGetMemoryInfo(handle), None
    with suppress(nvml.NVMLError):
        busy = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    return str(nvml.nvmlDeviceGetName(handle)), busy, int(memory.used), int(memory.total)


def _gpu(nvml: Any, handle: Any, driver: str) -> Gpu:
    def ask(name: str, *arguments: Any) -> Any:
        """None where this GPU or driver cannot answer."""
        try:
            return getattr(nvml, name)(handle, *arguments)
        except (nvml.NVMLError, AttributeError):
            return None

    major, minor = ask("nvmlDeviceGetCudaComputeCapability") or (0, 0)
    mig, ecc = ask("nvmlDeviceGetMigMode"), ask("nvmlDeviceGetEccMode")
    compute = f"{major}.{minor}"
    # NVML documents the attributes for MIG slices only; a GPU without MIG reports its number of cores.
    sms = getattr(ask("nvmlDeviceGetAttributes_v2"), "multiprocessorCount", None)
    return Gpu(
        uuid=ask("nvmlDeviceGetUUID") or "",
        name=ask("nvmlDeviceGetName") or "",
        compute=compute,
        sms=sms or sms_of(ask("nvmlDeviceGetNumGpuCores"), compute),
        memory=getattr(ask("nvmlDeviceGetMemoryInfo"), "total", 0),
        driver=driver,
        vbios=ask("nvmlDeviceGetVbiosVersion") or "",
        mig=bool(mig and mig[0]),
        power_limit=ask("nvmlDeviceGetPowerManagementLimit"),
        ecc=bool(ecc[0]) if ecc else None,
    )


def sms_of(cores: int | None, compute: str) -> int | None:
    """Streaming multiprocessors of a GPU with so many cores; None where the number is unknown."""
    per_sm = _CORES_PER_SM.get(compute)
    if not cores or per_sm is None or cores % per_sm:
        return None
    return cores // per_sm


def of_model(found: Iterable[Gpu], model: str | None) -> tuple[Gpu, ...]:
    """The GPUs whose name contains `model`, in any case; all of them without one."""
    return tuple(gpu for gpu in found if (model or "").lower() in gpu.name.lower())


def choose_gpus(resources: Resources, found: Iterable[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs that a job gets, of those found here. UsageError, which names them, if they do not suffice."""
    if resources.gpus == 0:
        return ()
    found = tuple(found)
    fitting = of_model(found, resources.gpu)
    if len(fitting) < resources.gpus:
        model = f" {resources.gpu}" if resources.gpu else ""
        have = ", ".join(gpu.name for gpu in found) or "none"
        raise UsageError(
            f"the job asks for {resources.gpus}{model} GPU(s); this box has {have}",
            "submit it on a box that has them, or set resources.gpus to 0 for a run on the CPU",
        )
    return fitting[: resources.gpus]


def fingerprint(
    settings: Settings, used: tuple[Gpu, ...], engine: EngineInfo, readbacks: Iterable[Readback]
) -> Fingerprint:
    """This box and, from the job's read-backs, how its libraries saw it."""
    cpu = _cpu()
    bit_class = {**host_bits(used), "effective": _effective(readbacks)}
    perf_class = {
        "cpu_model": cpu.get("model name", ""),
        "microcode": cpu.get("microcode", ""),
        "cores": os.cpu_count(),
        "cpus_allowed": len(os.sched_getaffinity(0)),
        "memory": engine.memory,
        "numa_nodes": len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))),
        "kernel": engine.kernel,
        "os": engine.os,
        "engine": engine.version,
        "storage": engine.storage,
        "cgroup": engine.cgroup,
        "power_limits": [gpu.power_limit for gpu in used],
        "ecc": [gpu.ecc for gpu in used],
    }
    key = identity_key(settings)
    identity = {"box": box_id(settings), "gpus": [_keyed(key, gpu.uuid) for gpu in used]}
    return Fingerprint(
        bit_class=bit_class,
        perf_class=perf_class,
        identity=identity,
        bit_digest=Digest.of(canonical_json(bit_class)),
    )


def host_bits(used: tuple[Gpu, ...]) -> dict[str, Any]:
    """The part of `bit_class` that is known before anything runs; `used`: the run's GPUs."""
    cpu = _cpu()
    return {
        "gpus": [
            {"name": gpu.name, "compute": gpu.compute, "sms": gpu.sms, "memory": gpu.memory, "mig": gpu.mig}
            for gpu in used
        ],
        "driver": used[0].driver if used else None,
        "vbios": sorted({gpu.vbios for gpu in used}),
        "world_size": len(used),
        "cpu_vendor": cpu.get("vendor_id", ""),
        "cpu_isa": [flag for flag in _ISA if flag in cpu.get("flags", "").split()],
        "machine": platform.machine(),
    }


def _effective(readbacks: Iterable[Readback]) -> dict[str, Any]:
    """How the job's own libraries saw the box, by the first process that reports it."""
    for readback in readbacks:
        flags = readback.end or readback.start or {}
        chosen = {name: flag for name, flag in sorted(flags.items()) if name.startswith(_BIT_FLAGS)}
        if chosen:
            return {name: str(flag) if isinstance(flag, float) else flag for name, flag in chosen.items()}
    return {}


@lru_cache(maxsize=1)
def _cpu() -> dict[str, str]:
    """The first processor's entry in /proc/cpuinfo."""
    facts: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        facts[name.strip()] = value.strip()
    return facts


def identity_key(settings: Settings) -> bytes:
    """The key of this home's hashes, made on first use. Two processes that make it at once agree."""
    path = settings.home / "identity.key"
    if not path.exists():
        settings.home.mkdir(parents=True, exist_ok=True)
        with locked(path.parent), new_file(path, 0o600) as made:
            if not path.exists():
                made.stream.write(secrets.token_bytes(32))
                made.keep(path)
    return path.read_bytes()


def box_id(settings: Settings) -> str:
    """The id of this machine in this home's record: a keyed hash that is the same after a restart."""
    machine = Path("/etc/machine-id")
    known = machine.read_text().strip() if machine.exists() else ""
    return _keyed(identity_key(settings), known or platform.node())


def home_id(settings: Settings) -> str:
    """The id of this home. Homes that share an engine remove only the leftovers that bear their own."""
    return _keyed(identity_key(settings), "home")


def boot_id() -> str:
    """The id of this start of the machine: each restart gives another."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _keyed(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:16]
