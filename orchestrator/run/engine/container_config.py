"""The body of the engine's `create` call, made from a plan.

Every setting that confines a job is made here. Together they add 0.3 s to a start on Engine 20.10, most of
it spent in the engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.image.image_model import JOB_HOME, JOB_NAME
from orchestrator.run.attempt_model import GpuAccess, LogDriver, Plan
from orchestrator.run.engine.syscall_filter import profile

_LOG_SETTINGS: dict[LogDriver, dict[str, str]] = {
    # Two files, so that one is left after a rotation.
    LogDriver.LOCAL: {"max-size": "16m", "max-file": "2", "compress": "false"},
    # Set here, because a machine's containers.conf may set a bound.
    LogDriver.K8S_FILE: {"max-size": "1t"},
}
HOST_NAME = "reprise"  # a job that prints it prints the same everywhere
IPV6 = Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6")  # absent from a kernel with ipv6.disable=1
OPEN_FILES = 16384  # else the engine's default holds, from 1024 to 1073741816, different on each box
TMP_SHARE = 2  # /tmp may take half of the job's memory: it is a tmpfs, and counted there anyway

CACHES = {
    "HOME": JOB_HOME,
    "XDG_CACHE_HOME": "/tmp/cache",  # noqa: S108  (paths inside the container)
    "TRITON_CACHE_DIR": "/tmp/cache/triton",  # noqa: S108
    "TORCHINDUCTOR_CACHE_DIR": "/tmp/cache/inductor",  # noqa: S108
    "CUDA_CACHE_PATH": "/tmp/cache/cuda",  # noqa: S108
    "MPLCONFIGDIR": "/tmp/cache/matplotlib",  # noqa: S108
    "USER": JOB_NAME,
    "LOGNAME": JOB_NAME,
}


def container_config(plan: Plan) -> dict[str, Any]:
    """The JSON body of `POST /containers/create` for a plan."""
    return {
        "Image": plan.image,
        **({"Entrypoint": list(plan.entrypoint)} if plan.entrypoint is not None else {}),
        "Cmd": list(plan.command),
        "User": plan.user,
        "Hostname": HOST_NAME,
        "Env": [f"{name}={value}" for name, value in sorted(plan.environment.items())],
        "Labels": plan.labels,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host(plan),
    }


def _host(plan: Plan) -> dict[str, Any]:
    return {
        "NetworkMode": plan.network,
        **_names(plan),
        "IpcMode": "private",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", *([f"seccomp={profile()}"] if plan.system_calls else [])],
        "Init": True,  # without it a plain program as pid 1 ignores TERM
        "PidsLimit": plan.processes,
        "Memory": plan.memory,
        "MemorySwap": plan.memory,
        "ShmSize": plan.shm,
        "NanoCpus": round(plan.cpus * 1e9) if plan.cpus else 0,
        # exec, against the engine's default: without it compiled kernels cannot be loaded from here
        "Tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={plan.memory // TMP_SHARE}"},  # noqa: S108
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
            {"Name": "fsize", "Soft": plan.file_size, "Hard": plan.file_size},
        ],
        "LogConfig": {"Type": plan.log_driver.value, "Config": _LOG_SETTINGS[plan.log_driver]},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,  # a dead container is evidence until it is collected
        "Mounts": [
            {
                "Type": "bind",
                "Source": str(mount.source),
                "Target": mount.target,
                "ReadOnly": mount.read_only,
                "BindOptions": {"Propagation": "rprivate"},
            }
            for mount in plan.mounts
        ],
        "DeviceRequests": _devices(plan),
    }


def _names(plan: Plan) -> dict[str, Any]:
    """`localhost` and the container's own name lead to the loopback, as on any machine.

    Processes of one job find each other by them (torchrun, gloo, mp.spawn). The engine writes /etc/hosts for
    network `none` too, with `localhost`, but our own name only where there is an address to give it. That
    file names ::1, which Engine 20.10 removes from the loopback and Engine 28 keeps. Without a network the
    job would see the host's own name servers, and could not reach them.
    """
    hosts = [f"{HOST_NAME}:127.0.0.1", *([f"{HOST_NAME}:::1"] if plan.ipv6 else [])]
    alone = {"ExtraHosts": hosts, "Dns": ["127.0.0.1"], "DnsSearch": ["."]}
    return {
        **(alone if plan.network == "none" else {}),
        **({"Sysctls": {"net.ipv6.conf.lo.disable_ipv6": "0"}} if plan.ipv6 else {}),
    }


def cdi_name(uuid: str) -> str:
    """A GPU's name as the container toolkit writes CDI files."""
    return f"nvidia.com/gpu={uuid}"


def _devices(plan: Plan) -> list[dict[str, Any]]:
    if plan.gpu_access is GpuAccess.NVIDIA:
        capabilities = [["gpu", "compute", "utility"]]
        return [{"Driver": "nvidia", "DeviceIDs": list(plan.gpu_uuids), "Capabilities": capabilities}]
    if plan.gpu_access is GpuAccess.CDI:
        return [{"Driver": "cdi", "DeviceIDs": [cdi_name(uuid) for uuid in plan.gpu_uuids]}]
    return []
