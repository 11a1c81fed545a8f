"""RunRecord: one run as the record holds it, read back whole. What verdict, diff and show work on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrator.digest import Digest
from orchestrator.image.model import BaseRef, Layer
from orchestrator.run.model import Failure, Fingerprint, Log, MetricPoint, Output, Readback, State, TraceFile
from orchestrator.spec.model import Resources, Scalar, Tolerances
from orchestrator.spec.program import Program
from orchestrator.spec.tree import GitState
from orchestrator.value import Value


class RunRecord(Value):
    id: str
    job: str
    image: Digest
    config_digest: Digest
    reference: str  # what the engine is asked to run
    base: BaseRef
    program: Program
    resources: Resources
    tolerance: Tolerances
    input_paths: dict[str, str]  # where the inputs lay on the box that submitted
    state: State
    failure: Failure | None
    message: str
    attempt: int
    rerun_of: str | None
    submitted_by: str
    box: str | None  # keyed hash of the machine that executed it
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    exit_code: int | None
    oom_killed: bool
    metrics: dict[str, float]
    series: tuple[MetricPoint, ...]
    outputs: tuple[Output, ...]
    packages: dict[str, str]
    source: dict[str, str]  # path -> sha256 hex of each source file, as the entry point found them
    fingerprint: Fingerprint | None
    git: GitState | None  # without the patch's bytes; patch_digest names the blob
    readbacks: tuple[Readback, ...]
    log: Log | None
    notes: tuple[str, ...]
    description: str = ""
    reports_missing: bool = False  # the runtime left nothing: not instrumented
    traces: tuple[TraceFile, ...] = ()


class ImageFacts(Value):
    """What the record keeps of an image, whether it was assembled here or only found in an engine."""

    digest: Digest
    config_digest: Digest
    base: BaseRef
    layers: tuple[Layer, ...]  # size 0 where only the diff_id is known


class NewRun(Value):
    """A run to be queued: everything that is known before anything is started."""

    id: str  # 16 lower-case hex digits
    key: str  # idempotency key: the same key is the same run
    image: ImageFacts
    program: Program
    description: str = ""
    resources: Resources
    tolerance: Tolerances
    input_paths: dict[str, str] = {}
    git: GitState | None = None
    rerun_of: str | None = None
    submitted_by: str
    reference: str  # what the engine is asked to run


class RunLine(Value):
    """One line of the history."""

    id: str
    job: str
    image: Digest
    state: State
    failure: Failure | None
    rerun_of: str | None
    submitted_by: str
    created_at: datetime
    seconds: float | None
    params: dict[str, Scalar]
    metrics: dict[str, float]
    verdict: str | None  # the latest verdict of this run as a rerun


class OpenRun(Value):
    """A run that is not final: what an executor needs to take it over."""

    id: str
    state: State
    attempt: int  # 0: never claimed
    box: str | None
    boot: str | None  # boot id of the machine that the attempt was started on
    plan: str | None  # the stored Plan as JSON
    cancel_requested: bool
    rerun_of: str | None


class HistoryFilter(Value):
    """Which lines of the history, in which order. What is None does not narrow."""

    job: str | None = None
    states: tuple[State, ...] = ()
    since: datetime | None = None
    where: str | None = None  # the language of record/where.py
    sort: str | None = None  # such as metrics.accuracy; -seconds for the largest first; None: newest first
    limit: int | None = None


class Made(Value):
    """A file that a run left: where it lay there, and what is known of the run."""

    run: str
    job: str
    path: str
    digest: Digest
    state: State
    submitted_by: str
    created_at: datetime
    image: Digest
    commit: str | None
    dirty: bool  # the source differed from that commit; the patch is kept
    params: dict[str, Scalar]
    rerun_of: str | None
    verdicts: tuple[str, ...]  # outcomes that name the run, oldest first


class VerdictLine(Value):
    """A verdict as it was written down; `document` is the whole verdict as JSON values."""

    run: str  # the rerun
    original: str
    outcome: str
    document: dict[str, Any]
    box: str | None
    by: str
    created_at: datetime
