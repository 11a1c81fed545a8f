"""Kills for memory that an engine did not report, by what this machine's kernel counts and logs.

On cgroup v2 an engine can miss such a kill: of 30 jobs Docker Engine 26.1 with the systemd driver missed 5. A
job that loses a child so and ends with 0 would be recorded as succeeded. Three places say more:

- `oom_kill` in /proc/vmstat, every kill for memory on the machine. Where it did not rise, there was none.
- `memory.events` of the container's own cgroup, while it is there.
- the kernel's log, which names the cgroup of the process that was killed; root can read it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_COUNT = re.compile(rb"^oom_kill ([0-9]{1,19})$", re.MULTILINE)
_OWN = re.compile(r"^0::(/.*)$", re.MULTILINE)
_MOST = 1 << 16  # bytes of a file that the kernel makes
_RECORD = 1 << 13  # bytes: a read of the log gives one record, and fails where the room is smaller
_RECORDS = 1 << 18  # more than the largest log holds


@dataclass(frozen=True)
class KernelFiles:
    proc: Path = Path("/proc")
    cgroup: Path = Path("/sys/fs/cgroup")
    log: Path = Path("/dev/kmsg")


class MemoryKills:
    """Whether a process of one container was killed for memory, for a container of this machine's kernel.

    `saved` keeps the machine's count from before the container was started: whoever takes the attempt over
    reads it there.
    """

    def __init__(self, saved: Path, files: KernelFiles = KernelFiles()) -> None:
        self._saved, self._files = saved, files
        self._events: Path | None = None
        self._seen = False  # a kill, in the container's own cgroup

    def before_start(self) -> None:
        """Keep the machine's count. An earlier one stays: a silent engine may have started then."""
        count = self._machine_count()
        if count is not None:
            with suppress(OSError), self._saved.open("x") as stream:  # without it, nothing is known later
                stream.write(f"oom_kill {count}\n")

    def look(self, container: str, pid: int) -> None:
        """Read the count of a running container's own cgroup. `pid`: its first process, by the engine."""
        if self._events is None:
            self._events = self._events_of(container, pid)
        if self._events is not None:
            self._seen |= bool(_count(self._events))

    def happened_in(self, container: str) -> bool | None:
        """Whether a process of the ended container was killed for memory; None where it cannot be known."""
        before, now = _count(self._saved), self._machine_count()
        if before is not None and now == before:
            return False
        return True if self._seen or self._logged(container) else None

    def _machine_count(self) -> int | None:
        return _count(self._files.proc / "vmstat")

    def _events_of(self, container: str, pid: int) -> Path | None:
        """The events of the container's cgroup; None where `pid` is that of another process here."""
        data = _read(self._files.proc / str(pid) / "cgroup") if pid > 0 else None
        found = _OWN.search(data.decode("utf-8", "replace")) if data is not None else None
        parts = Path(found[1]).parts[1:] if found is not None else ()
        depth = next((number for number, part in enumerate(parts, 1) if container in part), 0)
        if not depth or ".." in parts:
            return None
        return self._files.cgroup.joinpath(*parts[:depth]) / "memory.events"

    def _logged(self, container: str) -> bool:
        return any(container in where for where in _killed_in(self._files.log))


def _killed_in(log: Path) -> Iterator[str]:
    """The cgroup of each process that the kernel's log says was killed for memory; none where it is closed.

    The kernel leaves lines out where there are many: a kill that is not in the log may have happened.
    """
    try:
        fd = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for _ in range(_RECORDS):
            try:
                record = os.read(fd, _RECORD)
            except BrokenPipeError:  # written over meanwhile: the next read goes on with the oldest
                continue
            except OSError:  # EAGAIN: all lines were read
                return
            if not record:
                return
            for line in record.decode("utf-8", "replace").splitlines():
                _, said, rest = line.partition(";oom-kill:")
                if said:
                    # The name of a program comes last, and may be anything.
                    yield rest.partition(",task=")[0].partition(",task_memcg=")[2]
    finally:
        os.close(fd)


def _count(path: Path) -> int | None:
    data = _read(path)
    found = _COUNT.search(data) if data is not None else None
    return int(found[1]) if found is not None else None


def _read(path: Path) -> bytes | None:
    """The start of a file; None where it is not there, or its cgroup is gone."""
    try:
        with path.open("rb", buffering=0) as stream:
            return stream.read(_MOST)
    except OSError:
        return None
