"""The values of the record: what is submitted, a run read back whole, lines of a history."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from typing import Any, Self, TypeVar

from orchestrator.digest import Digest
from orchestrator.image.image_model import BaseRef, Layer
from orchestrator.run.attempt_model import Failure, Log, Result, State
from orchestrator.spec.inputs import InputData
from orchestrator.spec.jobfile.job_spec import Resources, Scalar, Tolerances
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState
from orchestrator.value import Instant, Plain, RunId, Seconds, Value

T = TypeVar("T", bound=Value)
OWN_BOX = "local"  # the executor of a run that only the box which submitted it can execute


class Wanted(Value):
    """Where a run is to be executed."""

    executor: str = OWN_BOX  # one of the words of launch/executors/kinds.py
    box: str | None = None  # only on this box, by its id; None: any (of old local runs, too)
    not_box: str | None = None  # on any box but this one
    attempts: int = 3  # after so many the run is lost


class InputOrigin(Value):
    """Where an input was looked up when it was not a path: a named data set, or outputs of an earlier run."""

    asked: str  # as it was written: `data:mnist`, `run:digits@best(accuracy)/model.pt`
    data: str | None = None  # the data set's name
    version: int | None = None  # of the data set
    run: RunId | None = None  # that left the outputs
    path: str | None = None  # of the output, or of the folder of outputs; empty: all of them

    @property
    def reference(self) -> str | None:
        """What a job file writes to have exactly this: `data:mnist@2`, `run:ID/model.pt`."""
        if self.data is not None:
            return f"data:{self.data}@{self.version}"
        return None if self.run is None else f"run:{self.run}/{self.path or ''}".removesuffix("/")


class ImageFacts(Value):
    """What the record keeps of an image, whether it was assembled here or only found in an engine."""

    digest: Digest
    config_digest: Digest
    base: BaseRef
    layers: tuple[Layer, ...]  # size 0 where only the diff_id is known


class Submission(Value):
    """What is asked for: all that is known of a run before anything is started."""

    id: RunId
    image: Digest
    config_digest: Digest
    base: BaseRef
    program: Program
    description: str = ""
    resources: Resources
    tolerance: Tolerances
    input_paths: dict[str, str] = {}  # where the inputs lay on the box that submitted
    input_origins: dict[str, InputOrigin] = {}  # of the inputs that were looked up in the record
    git: GitState | None = None  # without the patch's bytes; patch_digest names the blob
    rerun_of: RunId | None = None
    # A rerun is stopped so many steps after the first difference from its original; None: never.
    stop_after: int | None = None
    submitted_by: str
    reference: str  # what the engine is asked to run
    wanted: Wanted = Wanted()


class NewRun(Submission):
    """A submission with what only the queue needs. Made by `NewRun.of`."""

    key: str  # idempotency key: the same key is the same run
    layers: tuple[Layer, ...] = ()  # of the image
    inputs: tuple[InputData, ...] = ()  # what is known of the program's inputs

    @classmethod
    def of(cls, image: ImageFacts, key: str | None = None, **fields: Any) -> Self:
        """A new run of this image, under an id of its own, which is the `key` by default."""
        of_image = {"image": image.digest} | {name: getattr(image, name) for name in _IMAGE}
        asked = {"id": new_id(), **of_image, **fields}
        return cls(**asked, key=key or asked["id"])

    @property
    def image_facts(self) -> ImageFacts:
        return ImageFacts(digest=self.image, **{name: getattr(self, name) for name in _IMAGE})


_IMAGE = ("config_digest", "base", "layers")


def new_id() -> str:
    """16 hex digits: short to type, and two in a million runs collide with odds of 1 to 37 million."""
    return secrets.token_hex(8)


def is_run_id(text: str) -> bool:
    """Whether it is a whole id, as `new_id` makes them."""
    return len(text) == 16 and set(text) <= set("0123456789abcdef")


class Placement(Value):
    """Where a run is executed, and how it came into this record."""

    attempt: int  # 0: never claimed
    box: str | None  # keyed hash of the machine that executed it
    box_name: str | None = None  # as its worker called the box; None: it never had one
    created_at: Instant
    imported: Digest | None = None  # of the bundle that it came in; None: recorded here


class RunRecord(Submission, Placement, Result):
    """One run, read back whole: what was asked, where it went, what came of it.

    The fields of all three are its own, so that rows, bundles and documents are flat. While the run is open,
    `state` says how far it is, and the other fields of a result are at their defaults.
    """

    job: str  # the program's name

    @property
    def submission(self) -> Submission:
        return self._part(Submission)

    @property
    def result(self) -> Result | None:
        """None while the run is open."""
        return self._part(Result) if self.state.final else None

    def _part(self, kind: type[T]) -> T:
        found = kind.model_construct(**{name: getattr(self, name) for name in kind.model_fields})
        assert isinstance(found, kind)  # noqa: S101  (for mypy)
        return found


class Reached(Value):
    """A metric's least and greatest value, with their steps. The last value counts, and NaN does not."""

    last_step: int | None = None  # None: the value came without a step
    min: float | None = None  # None: it was never a number
    min_step: int | None = None
    max: float | None = None
    max_step: int | None = None


class RunLine(Value):
    """One line of the history."""

    id: RunId
    job: str
    image: Digest
    state: State
    failure: Failure | None
    rerun_of: RunId | None
    submitted_by: str
    created_at: Instant
    seconds: Seconds | None
    params: dict[str, Scalar]
    logged: dict[str, Scalar] = {}  # parameters that the script logged for its tracker
    metrics: dict[str, float]  # last values
    verdict: str | None  # the latest verdict of this run as a rerun
    box: str | None = None  # keyed hash of the machine that executed it
    box_name: str | None = None  # as its worker called it
    tags: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # that it has now
    archived: bool = False
    imported: Digest | None = None  # of the bundle that it came in; None: recorded here
    reached: dict[str, Reached] = {}  # by metric
    metrics_incomplete: str = ""  # as of RunRecord: what ranks runs by metrics says so
    operations_of_step: int | None = None  # of a pass of `compare --operations`: the optimizer step
    seed: int = 0
    message: str = ""  # why it did not succeed
    last_line: str | None = None  # of its log, where it did not succeed


_PASS = re.compile(r"localise (\d{1,9}):1\Z")


def pass_description(step: int) -> str:
    """The description of a pass of `compare --operations`, by which it is known again."""
    return f"localise {step}:1"


def step_of_pass(description: str | None, rerun_of: str | None) -> int | None:
    """The optimizer step whose operations a pass logged; None for every other run."""
    found = _PASS.match(description or "") if rerun_of is not None else None
    return int(found[1]) if found else None


class EndedRerun(Value):
    """A rerun that is over."""

    id: RunId
    description: str | None

    @property
    def is_pass(self) -> bool:
        """Whether it was made to log operations: no verdict is given on it."""
        return step_of_pass(self.description, self.id) is not None


class Best(Value):
    """The best run of a job, and what it is best by."""

    line: RunLine
    metric: str
    part: str  # min, max: of all points; last
    value: float
    step: int | None
    incomplete: int = 0  # runs that were compared, of whose metrics something could not be read


class Remark(Value):
    """One thing that a person said of a run. A remark is never changed or removed."""

    run: str
    kind: str  # one of tables.ANNOTATIONS
    word: str  # the tag or name; empty for the other kinds
    text: str  # the note; empty for the other kinds
    by: str
    at: datetime


class RunAnnotations(Value):
    """What people say of a run now."""

    notes: tuple[Remark, ...] = ()  # oldest first
    tags: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    archived: Remark | None = None  # who put it away, and when


class RunName(Value):
    """A name that people gave to a run, and the runs that had it."""

    name: str
    run: str | None  # None: taken away
    job: str | None
    past: tuple[Remark, ...]  # kinds name and unname, oldest first


class OpenRun(Value):
    """A run that is not final: what an executor needs to take it over."""

    id: RunId
    state: State
    attempt: int  # 0: never claimed
    box: str | None
    boot: str | None  # boot id of the machine that the attempt was started on
    executor: str | None  # the process that executes it, as `pid N` on that box
    plan: str | None  # the stored Plan as JSON
    cancel_requested: bool
    rerun_of: RunId | None
    wanted: Wanted = Wanted()


class LoggedRun(Value):
    """What is to be known of a run to read its log, or to say why there is none."""

    id: RunId
    job: str
    state: State
    attempt: int  # 0: never claimed
    executor: str  # one of the words of launch/executors/kinds.py
    message: str  # of its result
    started_at: Instant | None
    log: Log | None  # None while it is open


class Launched(Value):
    """An attempt as its executor knows it."""

    run: RunId
    number: int
    executor: str
    ref: str | None  # None: the process that launches it is still at work, or died
    launched_by: str
    launched_at: datetime
    age: float  # seconds since then, by the database's clock
    ended: str | None  # why it was given up; None: it was not
    ended_at: datetime | None


class BoxGpu(Value):
    name: str
    memory: int  # bytes


class BoxFacts(Value):
    """A box as its worker describes it. GPUs without serials: those stay on the box."""

    id: str
    name: str  # for people; the host's, unless they chose another
    state: str  # up: takes runs; draining: finishes what it has; down: left in order
    boot: str
    slots: int  # runs without a GPU that it executes at a time
    cpus: int
    memory: int  # bytes
    gpus: tuple[BoxGpu, ...]
    bit_class: dict[str, Any]  # as a run on one of its GPUs (on the CPU where there is none) will see it
    bit_digest: Digest
    versions: dict[str, str]
    trouble: str = ""  # why its worker takes nothing now


class BoxLine(BoxFacts):
    started_at: Instant
    seen_at: datetime
    silence: float  # seconds since then, by the database's clock
    runs: tuple[str, ...]  # open runs that it executes


class Queued(Value):
    """A run that waits for a box: what decides which one may take it."""

    id: RunId
    attempt: int
    gpus: int
    resources: Resources
    wanted: Wanted
    cancel_requested: bool
    inputs: dict[str, Digest] = {}  # name -> digest
    input_paths: dict[str, str] = {}  # where they lay on the box that submitted


class HistoryFilter(Value):
    """Which lines of the history, in which order. A field that is None leaves none out."""

    job: str | None = None
    states: tuple[State, ...] = ()
    since: datetime | None = None
    where: str | None = None  # the language of record/history/filter_language.py
    sort: str | None = None  # such as metrics.accuracy; -seconds for the largest first; None: newest first
    limit: int | None = None
    after: str | None = None  # `next` of the page before this one, of the same filter
    # Only runs that differ in this aspect (changes.py) from the run of their job before them.
    changed: str | None = None
    by: str | None = None  # who submitted
    box: str | None = None  # that executed: its name, or the beginning of its id
    tag: str | None = None
    archived: bool | None = None  # None: put away or not
    reruns: bool | None = None  # only runs that repeat another, or only those that do not


class Delta(Value):
    name: str
    before: Plain  # None: there was none
    after: Plain


class Changed(Value):
    """What differs in a run from the one before it of the same job."""

    run: str
    before: str
    deltas: tuple[Delta, ...]  # sorted by name


class HistoryPage(Value):
    """Some lines of the history, in its order."""

    lines: tuple[RunLine, ...]
    changes: dict[str, Changed] = {}  # by run, where the filter asks for what `changed`
    next: str | None = None  # `after` of the page that follows; None: there are no more
    left: bool = False  # the search stopped after many runs, and the page is not full


class VerdictLine(Value):
    """A verdict as it was written down; `document` is the whole verdict as JSON values."""

    run: str  # the rerun
    original: str
    outcome: str
    document: dict[str, Any]
    box: str | None
    by: str
    created_at: Instant
