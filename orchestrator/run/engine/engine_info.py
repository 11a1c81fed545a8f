"""What an engine says of itself, and what it cannot hold: refused before a job is made, in words.

An engine leaves out a limit or a setting that its machine does not give it, with a warning that nobody reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.errors import EngineError
from orchestrator.run.attempt_model import LogDriver
from orchestrator.run.engine.container_config import IPV6
from orchestrator.value import Value

PODMAN = 5  # the oldest major version; 4.3 ignores the tag of an import, and reports no kill for memory

# What the engine says -> the limit of a job that stands on it.
_LIMITS = {
    "MemoryLimit": "resources.memory",
    "SwapLimit": "resources.memory, against swapping",
    "PidsLimit": "resources.processes",
    "CpuCfsQuota": "resources.cpus",
}


class EngineInfo(Value):
    """What an engine says of itself, as far as it matters to a run."""

    id: str
    version: str
    podman: bool
    storage: str
    containerd_store: bool
    cgroup: str  # "1" or "2"
    kernel: str
    os: str
    root: str
    cpus: int
    memory: int  # bytes
    runtimes: tuple[str, ...]
    cdi: bool  # CDI devices can be asked for
    live_restore: bool
    seccomp: bool = True  # it takes a filter of system calls from us; Podman wants a file of its own host
    ipv6: bool  # its kernel has IPv6
    rootless: bool = False  # it runs without root's rights
    not_held: tuple[str, ...] = ()  # limits of a job that it does not keep
    log_drivers: tuple[str, ...] = (LogDriver.LOCAL,)
    cdi_devices: tuple[str, ...] = ()  # those that it found, such as nvidia.com/gpu=GPU-…; from 28.2 on

    @property
    def name(self) -> str:
        return f"{'Podman' if self.podman else 'Docker Engine'} {self.version}"

    @property
    def log_driver(self) -> LogDriver:
        """The driver that keeps a job's lines. EngineError where the engine has none of ours."""
        ours = (LogDriver.LOCAL, LogDriver.K8S_FILE)
        found = next((driver for driver in ours if driver in self.log_drivers), None)
        if found is None:
            raise EngineError(
                f"{self.name} has no log driver that keeps a job's lines: it offers "
                f"{', '.join(self.log_drivers) or 'none'}, and {' or '.join(ours)} is needed",
                "use an engine that has one, such as Docker Engine 20.10 or later",
            )
        return found

    def refuse_unfit(self) -> None:
        """EngineError where the engine cannot hold what every job is promised: its limits and its log."""
        if self.podman and _major(self.version) < PODMAN:
            raise EngineError(
                f"{self.name} is too old: it reports no kill for memory, and loads images under other names",
                f"use Podman {PODMAN} or later, or Docker Engine 20.10 or later (DOCKER_HOST)",
            )
        if self.not_held:
            without_root = self.rootless and self.cgroup != "2"
            why = "it runs without root's rights on cgroup v1" if without_root else "its machine has them off"
            raise EngineError(
                f"{self.name} does not hold these limits of a job: {'; '.join(self.not_held)}: {why}",
                _way_out(self),
            )
        _ = self.log_driver


def read_info(info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineInfo:
    """From the engine's answers to `GET /info` and `GET /version`."""
    status = dict(pair for pair in info.get("DriverStatus") or [] if len(pair) == 2)
    podman = is_podman(version)
    security = str(info.get("SecurityOptions"))
    return EngineInfo(
        id=info.get("ID") or "",
        version=info.get("ServerVersion") or "",
        podman=podman,
        storage=info.get("Driver") or "",
        containerd_store="io.containerd.snapshotter" in str(status.get("driver-type", "")),
        cgroup=str(info.get("CgroupVersion") or "1"),
        kernel=info.get("KernelVersion") or "",
        os=info.get("OperatingSystem") or "",
        root=info.get("DockerRootDir") or "",
        cpus=int(info.get("NCPU") or 1),
        memory=int(info.get("MemTotal") or 0),
        runtimes=tuple(sorted(info.get("Runtimes") or {})),
        cdi=bool(info.get("CDISpecDirs")),
        live_restore=podman or bool(info.get("LiveRestoreEnabled")),  # its containers have no daemon
        seccomp=not podman and "name=seccomp" in security,
        ipv6=IPV6.exists(),  # no engine reports it, but it has this machine's kernel
        rootless="name=rootless" in security or bool(info.get("Rootless")),
        not_held=_not_held(info),
        cdi_devices=tuple(sorted(_cdi_devices(info))),
        log_drivers=tuple(sorted((info.get("Plugins") or {}).get("Log") or ())),
    )


def is_podman(version: Mapping[str, Any]) -> bool:
    """Whether an engine is Podman, by its answer to `GET /version`."""
    return "podman" in json.dumps(version.get("Components") or []).lower()


def _cdi_devices(info: Mapping[str, Any]) -> Iterator[str]:
    for device in info.get("DiscoveredDevices") or []:
        if device.get("Source") == "cdi" and device.get("ID"):
            yield device["ID"]


def _not_held(info: Mapping[str, Any]) -> tuple[str, ...]:
    missing = [said for said in _LIMITS if info.get(said) is False]
    if "MemoryLimit" in missing:
        missing = [said for said in missing if said != "SwapLimit"]  # said already
    return tuple(_LIMITS[said] for said in missing)


def _major(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdecimal() else 0


def _way_out(info: EngineInfo) -> str:
    if info.rootless:
        return (
            "use an engine of root (DOCKER_HOST=unix:///var/run/docker.sock, or `docker context use default`)"
            ", or a machine with cgroup v2 whose systemd hands cpu, memory and pids to users (Delegate=)"
        )
    if info.not_held == (_LIMITS["SwapLimit"],) and info.cgroup == "2":
        # The engine looks for memory.swap.max in its own cgroup. The root has none, so it drops the limit.
        return (
            "start the engine in a cgroup of its own with the controller `memory`, as systemd does, "
            "not in the root of cgroup v2"
        )
    if info.not_held == (_LIMITS["SwapLimit"],):
        return "boot the engine's machine with swapaccount=1, or with cgroup v2"
    return (
        "`docker info` ends with warnings that name them; most are switched on by the kernel's command line"
    )
