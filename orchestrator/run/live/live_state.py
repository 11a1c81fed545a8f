"""What can be said of a run while it runs. It is whole each time, so a reader needs no history."""

from __future__ import annotations

from orchestrator.value import Value


class LiveSeries(Value):
    name: str
    points: int  # so far
    value: float | None  # the last; None: it is not finite
    low: float | None  # None: no value was finite
    high: float | None
    # Each holds points that follow each other: first and last step (or the point's number, without steps),
    # least and greatest value, to six digits. Values that are not finite are in none.
    buckets: tuple[tuple[int, int, float, float], ...]
    # For each bucket, when its first and its last point with a time was written, in seconds since the run's
    # start; None for a bucket without times. Empty if no point has a time.
    seconds: tuple[tuple[float, float] | None, ...] = ()
    not_finite: int = 0


class LiveStep(Value):
    """One optimizer step, or several that follow each other, by the phases that their events are of."""

    first: int
    last: int
    phases: dict[str, int]  # phase -> events
    apart: tuple[str, ...] = ()  # phases in which a rerun is not equal to its original


class LiveTrace(Value):
    """What the processes of a job have traced so far."""

    processes: int = 0
    steps: int = 0  # of the process that is farthest
    events: int = 0
    tensors: int = 0  # digests
    phase: str = ""  # of the last event
    ribbon: tuple[LiveStep, ...] = ()  # of the first process of the first rank
    compared: bool = False  # with the original's, event by event


class LiveGpu(Value):
    name: str
    busy: int | None  # percent
    memory: int | None  # bytes in use
    total: int  # bytes


class LiveUse(Value):
    """What the job takes of the box."""

    memory: int | None = None  # bytes
    limit: int | None = None  # bytes
    processors: float | None = None  # CPUs in use, since the look before
    gpus: tuple[LiveGpu, ...] = ()


class LiveState(Value):
    series: tuple[LiveSeries, ...] = ()
    more_series: int = 0  # that are not in it
    trace: LiveTrace | None = None
    use: LiveUse | None = None
    problems: tuple[str, ...] = ()  # what cannot be followed, and why
