"""Verdict: a closed word, and the evidence for it."""

from __future__ import annotations

from enum import StrEnum

from orchestrator.digest import Digest
from orchestrator.errors import ExitCode
from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.value import Value


class Outcome(StrEnum):
    IDENTICAL = "identical"
    WITHIN_TOLERANCE = "within_tolerance"
    DIFFERENT = "different"
    NOT_COMPARABLE = "not_comparable"
    NOT_INSTRUMENTED = "not_instrumented"
    FAILED = "failed"

    @property
    def exit_code(self) -> ExitCode:
        return {
            Outcome.IDENTICAL: ExitCode.OK,
            Outcome.WITHIN_TOLERANCE: ExitCode.OK,
            Outcome.DIFFERENT: ExitCode.DIFFERENT,
            Outcome.NOT_COMPARABLE: ExitCode.NOT_COMPARABLE,
            Outcome.NOT_INSTRUMENTED: ExitCode.NOT_COMPARABLE,
            Outcome.FAILED: ExitCode.JOB_FAILED,
        }[self]


class FileDifference(Value):
    """One output that is not the same in both runs."""

    path: str
    original: Digest | None  # None: absent there
    rerun: Digest | None
    first_byte: int | None = None  # offset of the first differing byte; the shorter length if one is a prefix
    note: str = ""  # what was excused, and by which tolerance; or why it could not be compared


class TensorFinding(Value):
    """What two files of tensors of one path have in common, found inside a container of the run's image.

    Untrusted where the job is: whoever writes the files can write the container's answer, too.
    """

    path: str
    tolerance: Tolerance = Tolerance()  # what `outside` was counted with
    error: str | None = None  # why nothing more is known; the rest is empty then
    equal_tensors: bool = False  # the same tensors, bit for bit
    tensors: int = 0  # compared
    differing: int = 0
    first: str | None = None  # the first that differs, by the keys that lead to it
    max_abs: float = 0.0  # largest |a - b|; infinite where one is not finite and the other differs
    max_rel: float = 0.0  # largest |a - b| / |a|
    outside: int = 0  # elements beyond the tolerance
    problem: str = ""  # what no tolerance is for: other tensors, dtypes, shapes
    leaves: tuple[str, ...] = ()  # other entries that differ: `saved_at: 1.5 vs 2.5`; the first few
    leaf_count: int = 0


class MetricDifference(Value):
    name: str
    original: float | None
    rerun: float | None
    within: bool  # by the spec's tolerance


class Phase(StrEnum):
    """Where in a training step two runs parted, in the order in which a step goes."""

    INIT = "init"  # weights before the first step
    RNG = "rng"  # states of the random number generators
    BATCH = "batch"
    FORWARD = "forward"  # what the model returned, and the loss
    BACKWARD = "backward"  # gradients
    OPTIMIZER = "optimizer"  # weights after the step
    OUTPUT = "output"  # every traced step is equal, a file or a metric is not


class TraceDifference(Value):
    """The first traced thing that is not the same in both runs."""

    phase: Phase
    step: int  # optimizer steps that were complete before it
    rank: int = 0
    tensor: str | None = None  # by name: of a parameter, of a batch's entry, of a generator
    where: str = ""  # which optimizer, or which module
    differing: int = 0  # tensors of that event that differ, of `tensors`
    tensors: int = 0
    original: str = ""  # digests as hex, or what was seen there
    rerun: str = ""
    note: str = ""


class CauseKind(StrEnum):
    PROGRAM = "program"  # another program was run: code, parameters, packages
    SEED = "seed"
    INPUT = "input"  # other input data
    FLAGS_CHANGED = "flags_changed"  # the script moved a flag
    FLAGS = "flags"  # flags or settings read back differ
    THREADS = "threads"
    LIBRARY = "library"
    HARDWARE = "hardware"
    DATA_ORDER = "data_order"  # same data, other order or batches
    SCRIPT = "script"  # same program, same class of hardware: the script itself is nondeterministic
    WRITING = "writing"  # training is the same; something that the script writes is not


class Cause(Value):
    """A reason, the likeliest first. `fields` are the facts that speak for it: name -> `a vs b`."""

    kind: CauseKind
    text: str  # one sentence
    fields: dict[str, str] = {}


class Drift(Value):
    """How far a series of numbers of the two runs is apart."""

    name: str  # a metric's, or `trace.loss`
    points: int  # compared
    differing: int
    first: int | None  # step (or position, where there are no steps) of the first point that differs
    max_abs: float
    max_rel: float
    last_abs: float  # of the last points


class LeftOut(Value):
    """An output, or a part of one, that did not count, and why."""

    path: str
    why: str


class Renamed(Value):
    """An output that has another path in the rerun, and by what the two were paired."""

    original: str
    rerun: str
    why: str


class Traced(Value):
    """How much of the two traces was compared."""

    ranks: int = 0
    steps: int = 0
    events: int = 0
    tensors: int = 0  # digests


class Stopped(Value):
    """A rerun that was stopped where it parted from its original."""

    seconds: float | None  # its run time
    original: float | None  # the original's
    saved: float | None  # seconds less


class Verdict(Value):
    outcome: Outcome
    original: str  # run id
    rerun: str
    summary: str  # one sentence
    files: tuple[FileDifference, ...] = ()  # the differing ones, sorted by path
    metrics: tuple[MetricDifference, ...] = ()
    flags_changed: dict[str, str] = {}  # flag -> "original: a -> b; rerun: ..." where the script moved it
    compared: int = 0  # outputs compared
    by_content: int = 0  # of those, not byte for byte but by what they hold
    renamed: tuple[Renamed, ...] = ()
    traced: Traced | None = None  # None: nothing was traced in either run
    first: TraceDifference | None = None
    stopped: Stopped | None = None  # None: the rerun went to its end
    causes: tuple[Cause, ...] = ()
    drift: tuple[Drift, ...] = ()  # series that differ
    left_out: tuple[LeftOut, ...] = ()
    contents: tuple[
        TensorFinding, ...
    ] = ()  # of files that only torch can read; `audit` takes them from here
    notes: tuple[str, ...] = ()
