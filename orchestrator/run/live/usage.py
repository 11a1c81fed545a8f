"""What a running container takes: memory and processors from its cgroup, GPUs from their driver."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator.run.hardware import gpu_use
from orchestrator.run.live.live_state import LiveGpu, LiveUse

CGROUPS = Path("/sys/fs/cgroup")
_MOST = 1 << 16  # bytes


class UsageReader:
    """What one container uses, by the pid of its first process on this machine. Never raises."""

    def __init__(self, pid: int, gpu_uuids: tuple[str, ...], limit: int | None) -> None:
        self._pid, self._uuids, self._limit = pid, gpu_uuids, limit
        self._before: tuple[float, float] | None = None  # seconds by the clock, by the processors

    def look(self) -> LiveUse | None:
        """None where nothing can be read, as on a machine with a remote engine."""
        memory = processors = None
        for folder, second in _folders(self._pid):
            if memory is None and (number := _number(folder / second["memory"])) is not None:
                memory = number
            spent = _spent(folder, second["time"])
            if spent is not None:
                now = time.monotonic()
                if self._before is not None and now > self._before[0]:
                    processors = max(0.0, (spent - self._before[1]) / (now - self._before[0]))
                self._before = now, spent
        gpus = tuple(_gpus(self._uuids))
        if memory is None and processors is None and not gpus:
            return None
        return LiveUse(memory=memory, limit=self._limit, processors=processors, gpus=gpus)


_V2 = {"memory": "memory.current", "time": "cpu.stat"}
_V1_MEMORY = {"memory": "memory.usage_in_bytes", "time": ""}
_V1_TIME = {"memory": "", "time": "cpuacct.usage"}


def _folders(pid: int) -> Iterator[tuple[Path, dict[str, str]]]:
    """The cgroups of a process, and the names of their files."""
    for line in _text(Path("/proc") / str(pid) / "cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        below = path.lstrip("/")
        if ".." in below.split("/"):  # of another namespace
            continue
        if number == "0" and not controllers:
            yield CGROUPS / below, _V2
        elif "memory" in controllers.split(","):
            yield CGROUPS / "memory" / below, _V1_MEMORY
        elif "cpuacct" in controllers.split(","):
            yield CGROUPS / "cpuacct" / below, _V1_TIME


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_MOST).decode("utf-8", "replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _spent(folder: Path, name: str) -> float | None:
    """Seconds of processors."""
    if name == "cpuacct.usage" and (nanoseconds := _number(folder / name)) is not None:
        return nanoseconds / 1e9
    found = re.search(r"^usage_usec ([0-9]{1,18})$", _text(folder / name), re.MULTILINE) if name else None
    return int(found[1]) / 1e6 if found else None


def _gpus(uuids: tuple[str, ...]) -> Iterator[LiveGpu]:
    for name, busy, memory, total in gpu_use(uuids) if uuids else ():
        yield LiveGpu(name=name, busy=busy, memory=memory, total=total)
