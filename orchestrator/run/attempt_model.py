"""Plan and Result: what a container is started with, and what is known when it is dead."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from orchestrator.digest import Digest
from orchestrator.run.fingerprint_limits import checked_facts
from orchestrator.run.metrics.series import MetricPoint as MetricPoint
from orchestrator.run.metrics.series import Points
from orchestrator.spec.jobfile.job_spec import Scalar
from orchestrator.value import Instant, Seconds, Value


class State(StrEnum):
    """The life of a run. The first four are open, the last four are final."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    COLLECTING = "collecting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def final(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.LOST)


OPEN_STATES = tuple(state for state in State if not state.final)
FINAL_STATES = tuple(state for state in State if state.final)


class Failure(StrEnum):
    """Whose fault a failure is."""

    JOB = "job"  # the command ended with another exit code than 0
    MEMORY = "memory"  # the kernel killed a process of the job for memory; the exit code does not count
    TIMEOUT = "timeout"
    POLICY = "policy"  # the job went past a limit that we watch: size or number of outputs
    INFRASTRUCTURE = "infrastructure"


class Mount(Value):
    source: Path  # on the host
    target: str  # in the container
    read_only: bool


class GpuAccess(StrEnum):
    """How a container is given GPUs: what the engine offers decides."""

    NVIDIA = "nvidia"  # DeviceRequest with driver nvidia
    CDI = "cdi"  # DeviceRequest with driver cdi


class LogDriver(StrEnum):
    """Where an engine keeps what a container writes while nobody is attached."""

    LOCAL = "local"  # Docker's: two files; the older one is removed when the newer one is full
    K8S_FILE = "k8s-file"  # Podman's: one file without a bound, because its rotation forgets all before it


class Plan(Value):
    """Every setting of the container, as data: printed by --dry-run, stored before anything is started."""

    run: str
    attempt: int
    container: str  # run-ID-ATTEMPT: the same attempt always has the same name
    image: str  # what the engine is asked to run: a local tag or an id
    command: tuple[str, ...]
    entrypoint: tuple[str, ...] | None = None  # None: the image's own, which is what every job has
    environment: dict[str, str]  # in addition to the image's own
    mounts: tuple[Mount, ...]
    user: str
    network: str  # none or bridge
    ipv6: bool = False  # the loopback has ::1 in addition to 127.0.0.1
    cpus: float | None
    memory: int  # bytes; swap is the same number, so none
    shm: int  # bytes
    processes: int
    file_size: int  # bytes: RLIMIT_FSIZE and the watched sum of the workspace
    timeout: float | None  # seconds
    stop_grace: float = 10.0  # seconds between TERM and KILL
    system_calls: bool = True  # our filter is set (syscall_filter.py); False: the engine cannot take it
    log_driver: LogDriver = LogDriver.LOCAL
    gpu_uuids: tuple[str, ...] = ()
    gpu_access: GpuAccess | None = None
    labels: dict[str, str] = {}


LINK = "symlink"  # the reason for which a link is not kept
NO_FILES = (LINK, "fifo", "socket", "device", "not a file")
"""The reasons of entries that hold no bytes. For any other reason there are bytes that nobody looked at."""


class OutputStatus(StrEnum):
    KEPT = "kept"
    REJECTED = "rejected"  # not a plain file, or a name that cannot be trusted: listed, never followed


class Output(Value):
    """One thing the job left in its workspace."""

    path: str  # relative; bytes that are not UTF-8 and control characters are escaped as \\xNN
    status: OutputStatus
    digest: Digest | None = None
    size: int = 0  # bytes
    reason: str | None = None  # why it was rejected: symlink, fifo, socket, device, name, ...
    target: str | None = None  # of a link: its text, never followed; escaped where `reason` says more

    @property
    def link(self) -> str | None:
        """The text of a link where it is known exactly, else None."""
        return self.target if self.reason == LINK else None

    @property
    def unread(self) -> bool:
        """Whether it may hold bytes that nobody looked at: they may be others in each run."""
        rejected = self.status is OutputStatus.REJECTED
        return rejected and self.target is None and self.reason not in NO_FILES


class Log(Value):
    """Standard output and error together, as the job wrote them, raw bytes in the store."""

    digest: Digest
    size: int  # bytes kept
    truncated: bool  # something in the middle was dropped, or lines were lost


Facts = Annotated[dict[str, Any], AfterValidator(checked_facts)]


class Fingerprint(Value):
    """A box, in three groups: what can change bits, what changes speed, which box it is (keyed hashes)."""

    bit_class: Facts
    perf_class: Facts
    identity: Facts
    bit_digest: Digest  # of the canonical JSON of bit_class: equal means bitwise equality is expected


class Readback(Value):
    """What one process of the job reported of itself: at its start and at its end, or only the first."""

    pid: int
    argv: tuple[str, ...]
    start: dict[str, Any] | None
    # If it was killed or left by os._exit: its last report of flags that had changed, or None.
    end: dict[str, Any] | None

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """Flags whose value at the end is not the one at the start."""
        if self.start is None or self.end is None:
            return {}
        names = sorted(self.start.keys() | self.end.keys())
        pairs = {name: (self.start.get(name), self.end.get(name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


class TraceFile(Value):
    """What one process of the job traced while it trained: JSON lines in the store."""

    rank: int  # of a distributed job; 0 where there is one process
    world: int
    pid: int
    digest: Digest
    size: int  # bytes
    steps: int  # optimizer steps taken, as the last line says: 0 where there is none
    events: int  # lines that can be compared
    complete: bool  # the process wrote its last line
    broken: str | None = None  # why the tracer stopped before the job did

    @property
    def told_steps(self) -> int | None:
        """None where the process was ended before it could say how many it took."""
        return self.steps if self.complete or self.steps else None


class LoggedParam(Value):
    """A parameter that the script logged for its tracker."""

    value: Scalar
    source: str  # the file or folder of the workspace that says so


class Result(Value):
    """What is known of an attempt whose container is dead. Turned into rows in one transaction."""

    state: State
    failure: Failure | None = None
    message: str = ""  # one line: why it did not succeed
    last_line: str | None = None  # of the log of a run that did not succeed: what the job said last
    exit_code: int | None = None
    oom_killed: bool = False
    started_at: Instant | None = None  # by the engine's clock, UTC
    finished_at: Instant | None = None
    seconds: Seconds | None = None  # the container's run time
    parted_at: int | None = None  # it was stopped because its trace parted from its original's: at this step
    outputs: tuple[Output, ...] = ()
    metrics: dict[str, float] = {}  # final values
    metrics_incomplete: str = ""  # which metrics could not be read, in a sentence; empty: all were
    series: Points = ()
    logged: dict[str, LoggedParam] = {}  # parameters that the script logged for its tracker, by name
    packages: dict[str, str] = {}  # as found in the container
    source: dict[str, str] = {}  # path -> sha256 hex of each source file, as the entry point found them
    readbacks: tuple[Readback, ...] = ()
    reports_missing: bool = False  # the runtime left nothing: not instrumented
    traces: tuple[TraceFile, ...] = ()  # by rank, then by when each began
    log: Log | None = None
    fingerprint: Fingerprint | None = None
    notes: tuple[str, ...] = ()  # gaps: what could not be read, and why
