"""The tables. Statements elsewhere are SQLAlchemy Core over these: inserts of rows in bulk run at 219k rows
a second, through mapped objects at 16k.

A run has an integer key for joins and a public id of 16 hex digits. Facts that exist once per run have the
run's key as their primary key; lists have (run_id, position).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ColumnElement, FromClause, Index, func, literal_column
from sqlalchemy import text as sql
from sqlmodel import Field

from orchestrator.image.image_model import LayerKind
from orchestrator.record.schema.columns import Moment, Words, closed
from orchestrator.record.schema.ledger_tables import checkpoint as checkpoint
from orchestrator.record.schema.ledger_tables import event as event
from orchestrator.record.schema.ledger_tables import ledger as ledger
from orchestrator.record.schema.table_base import Row as Row
from orchestrator.record.schema.table_base import table_of
from orchestrator.run.attempt_model import Failure, OutputStatus, State

# The verdict room stands above this one, so its words are written here once more; a test holds them equal.
OUTCOMES = ("identical", "within_tolerance", "different", "not_comparable", "not_instrumented", "failed")
SCALAR_TYPES = ("bool", "int", "float", "str")
PREFIX = 100  # characters of a text parameter that are indexed, and sorted by
ANNOTATIONS = ("note", "tag", "untag", "name", "unname", "archive", "restore")


def _one_of(column: str, words: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(word) for word in words)})", name=column)


def _where(condition: str) -> dict[str, Any]:
    """Of an index over some rows only. Postgres is told by the migration: to say so here imports its dialect,
    drivers and all, 25 ms for every command."""
    return {"sqlite_where": sql(condition)}


_PREFIX = sql(f"substr(text, 1, {PREFIX})")


def prefix_of(table: FromClause) -> ColumnElement[str]:
    """What is indexed of a text parameter; written as in the index, or SQLite does not know it again."""
    found: ColumnElement[str] = func.substr(table.c.text, literal_column("1"), literal_column(str(PREFIX)))
    return found


def _run_key() -> Any:
    return Field(primary_key=True, foreign_key="run.id")


class Job(Row, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Words, unique=True)
    created_at: datetime = Field(sa_type=Moment)


class Image(Row, table=True):
    id: int | None = Field(default=None, primary_key=True)
    digest: str = Field(sa_type=Words, unique=True)  # of the manifest
    config_digest: str = Field(sa_type=Words, index=True)
    base_name: str = Field(sa_type=Words)
    base_digest: str = Field(sa_type=Words, index=True)
    base_config_digest: str = Field(sa_type=Words)
    created_at: datetime = Field(sa_type=Moment)


class ImageLayer(Row, table=True):
    image_id: int = Field(primary_key=True, foreign_key="image.id")
    position: int = Field(primary_key=True)
    kind: LayerKind = Field(sa_type=closed(LayerKind, "kind"))
    digest: str = Field(sa_type=Words)
    diff_id: str = Field(sa_type=Words)
    size: int = Field(sa_type=BigInteger)  # bytes; 0: unknown
    media_type: str = Field(sa_type=Words)
    title: str = Field(sa_type=Words)


class Run(Row, table=True):
    __table_args__ = (
        Index(None, "job_id", "created_at"),
        Index(None, "created_at"),
        Index(None, "state", "created_at"),
        # With the key: runs of equal values are read in its order.
        Index(None, "seconds", "id"),
        Index(None, "seed", "id"),
        Index(None, "submitted_by", "created_at"),
        Index("ix_run_failure_created_at", "failure", "created_at", **_where("failure IS NOT NULL")),
        Index("ix_run_metrics_incomplete", "job_id", **_where("metrics_incomplete IS NOT NULL")),
        Index(None, "image_id"),
        Index(None, "rerun_of"),
    )

    id: int | None = Field(default=None, primary_key=True)
    public_id: str = Field(sa_type=Words, unique=True)
    key: str = Field(sa_type=Words, unique=True)
    job_id: int = Field(foreign_key="job.id")
    image_id: int = Field(foreign_key="image.id")
    rerun_of: int | None = Field(default=None, foreign_key="run.id")
    reference: str = Field(sa_type=Words)
    description: str = Field(sa_type=Words)
    submitted_by: str = Field(sa_type=Words)
    seed: int = Field(sa_type=BigInteger)
    program: str = Field(sa_type=Words)  # documents, as the values' JSON
    resources: str = Field(sa_type=Words)
    tolerance: str = Field(sa_type=Words)
    input_paths: str = Field(sa_type=Words)
    state: State = Field(sa_type=closed(State, "state"))
    attempt: int  # 0: never claimed; the fencing token of every write after the claim
    cancel_requested_at: datetime | None = Field(default=None, sa_type=Moment)
    created_at: datetime = Field(sa_type=Moment)
    # From the result
    failure: Failure | None = Field(default=None, sa_type=closed(Failure, "failure"))
    message: str = Field(sa_type=Words)
    exit_code: int | None = None
    oom_killed: bool
    reports_missing: bool
    metrics_incomplete: str | None = Field(default=None, sa_type=Words)  # NULL: nothing was lost
    started_at: datetime | None = Field(default=None, sa_type=Moment)
    finished_at: datetime | None = Field(default=None, sa_type=Moment)
    seconds: float | None = None
    recorded_at: datetime | None = Field(default=None, sa_type=Moment)  # when the result was committed
    imported_from: str | None = Field(default=None, sa_type=Words)  # the bundle's digest; NULL: recorded here


class Attempt(Row, table=True):
    run_id: int = _run_key()
    number: int = Field(primary_key=True)
    box: str = Field(sa_type=Words, index=True)
    boot: str = Field(sa_type=Words)
    executor: str = Field(sa_type=Words)
    plan: str | None = Field(default=None, sa_type=Words)
    seal: str | None = Field(default=None, sa_type=Words)  # box_seal.py
    claimed_at: datetime = Field(sa_type=Moment)


class Wanted(Row, table=True):
    """Where a run is to be executed. Runs from before this table have no row: the box that submitted."""

    run_id: int = _run_key()
    executor: str = Field(sa_type=Words)
    box: str | None = Field(default=None, sa_type=Words)
    not_box: str | None = Field(default=None, sa_type=Words)
    attempts: int  # after so many the run is lost


class Launch(Row, table=True):
    """An attempt as its executor knows it: there before the claim, and kept when the attempt is given up."""

    run_id: int = _run_key()
    number: int = Field(primary_key=True)
    executor: str = Field(sa_type=Words)
    ref: str | None = Field(default=None, sa_type=Words)
    launched_by: str = Field(sa_type=Words)
    launched_at: datetime = Field(sa_type=Moment)
    ended: str | None = Field(default=None, sa_type=Words)  # why it was given up
    ended_at: datetime | None = Field(default=None, sa_type=Moment)


class Box(Row, table=True):
    """A machine that takes queued runs: what its worker last said of itself."""

    id: str = Field(primary_key=True, sa_type=Words)
    name: str = Field(sa_type=Words)
    state: str = Field(sa_type=Words)
    boot: str = Field(sa_type=Words)
    slots: int
    cpus: int
    memory: int = Field(sa_type=BigInteger)  # bytes
    gpus: str = Field(sa_type=Words)  # documents
    bit_class: str = Field(sa_type=Words)
    bit_digest: str = Field(sa_type=Words)
    versions: str = Field(sa_type=Words)
    started_at: datetime = Field(sa_type=Moment)
    seen_at: datetime = Field(sa_type=Moment)
    trouble: str = Field(default="", sa_type=Words)  # why it takes nothing


class LogChunk(Row, table=True):
    """What an open run wrote, for readers on other boxes; removed with the end of the attempt."""

    run_id: int = _run_key()
    number: int = Field(primary_key=True)
    start: int = Field(primary_key=True, sa_type=BigInteger)  # bytes before it
    data: bytes


class Param(Row, table=True):
    __table_args__ = (
        Index(None, "name", "num", "run_id"),
        # An index takes no long text.
        Index("ix_param_name_text_run_id", "name", _PREFIX, "run_id", **_where("num IS NULL")),
        _one_of("type", SCALAR_TYPES),
    )

    run_id: int = _run_key()
    name: str = Field(primary_key=True, sa_type=Words)
    type: str = Field(sa_type=Words)
    text: str = Field(sa_type=Words)
    num: float | None = None  # int, float, bool as a 64-bit float


class Metric(Row, table=True):
    """Final values. `text` is repr; `num` is NULL for NaN. `job_id` is the run's, which never changes: the
    best run of a job is read from an index, however other jobs' values lie. `low` to `last_step` follow from
    the points (metric_extremes.py).
    """

    __table_args__ = (
        *(Index(None, "name", value, "run_id") for value in ("num", "low", "high")),
        *(Index(None, "job_id", "name", value, "run_id") for value in ("num", "low", "high")),
    )

    run_id: int = _run_key()
    name: str = Field(primary_key=True, sa_type=Words)
    text: str = Field(sa_type=Words)
    num: float | None = None
    job_id: int
    low: float | None = None
    low_step: int | None = Field(default=None, sa_type=BigInteger)
    high: float | None = None
    high_step: int | None = Field(default=None, sa_type=BigInteger)
    last_step: int | None = Field(default=None, sa_type=BigInteger)


class MetricPoint(Row, table=True):
    """Series, in the order in which the job wrote them."""

    run_id: int = _run_key()
    position: int = Field(primary_key=True)
    name: str = Field(sa_type=Words)
    step: int | None = Field(default=None, sa_type=BigInteger)
    text: str = Field(sa_type=Words)
    num: float | None = None


class Output(Row, table=True):
    __table_args__ = (Index(None, "digest", "run_id"),)

    run_id: int = _run_key()
    position: int = Field(primary_key=True)
    path: str = Field(sa_type=Words)
    status: OutputStatus = Field(sa_type=closed(OutputStatus, "status"))
    digest: str | None = Field(default=None, sa_type=Words)
    size: int = Field(sa_type=BigInteger)  # bytes
    reason: str | None = Field(default=None, sa_type=Words)
    target: str | None = Field(default=None, sa_type=Words)


class Package(Row, table=True):
    __table_args__ = (Index(None, "name", "version"),)

    run_id: int = _run_key()
    name: str = Field(primary_key=True, sa_type=Words)
    version: str = Field(sa_type=Words)


class SourceFile(Row, table=True):
    run_id: int = _run_key()
    path: str = Field(primary_key=True, sa_type=Words)
    sha256: str = Field(sa_type=Words)  # hex


class Fingerprint(Row, table=True):
    run_id: int = _run_key()
    bit_digest: str = Field(sa_type=Words, index=True)
    bit_class: str = Field(sa_type=Words)
    perf_class: str = Field(sa_type=Words)
    identity: str = Field(sa_type=Words)


class GitState(Row, table=True):
    run_id: int = _run_key()
    remote: str | None = Field(default=None, sa_type=Words)
    commit: str = Field(sa_type=Words, index=True)
    branch: str | None = Field(default=None, sa_type=Words)
    author: str | None = Field(default=None, sa_type=Words)
    committed_at: datetime | None = Field(default=None, sa_type=Moment)
    subject: str = Field(sa_type=Words)
    dirty: bool
    patch_digest: str | None = Field(default=None, sa_type=Words, index=True)
    submodules: str | None = Field(default=None, sa_type=Words)  # JSON: path -> commit


class Flag(Row, table=True):
    """Determinism flags as one process of the job read them back, at its start and at its end."""

    run_id: int = _run_key()
    position: int = Field(primary_key=True)
    pid: int = Field(sa_type=BigInteger)
    argv: str = Field(sa_type=Words)
    start: str | None = Field(default=None, sa_type=Words)
    end: str | None = Field(default=None, sa_type=Words)


class Log(Row, table=True):
    run_id: int = _run_key()
    digest: str = Field(sa_type=Words, index=True)
    size: int = Field(sa_type=BigInteger)  # bytes
    truncated: bool


class Trace(Row, table=True):
    """What one process of the job traced: JSON lines in the store."""

    run_id: int = _run_key()
    position: int = Field(primary_key=True)
    rank: int
    world: int
    pid: int = Field(sa_type=BigInteger)
    digest: str = Field(sa_type=Words, index=True)
    size: int = Field(sa_type=BigInteger)  # bytes
    steps: int = Field(sa_type=BigInteger)
    events: int = Field(sa_type=BigInteger)
    complete: bool
    broken: str | None = Field(default=None, sa_type=Words)


class Verdict(Row, table=True):
    __table_args__ = (Index(None, "run_id"), Index(None, "original_id"), _one_of("outcome", OUTCOMES))

    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id")  # the rerun
    original_id: int = Field(foreign_key="run.id")
    outcome: str = Field(sa_type=Words)
    document: str = Field(sa_type=Words)
    box: str | None = Field(default=None, sa_type=Words)
    judged_by: str = Field(sa_type=Words)
    created_at: datetime = Field(sa_type=Moment)


class Note(Row, table=True):
    run_id: int = _run_key()
    position: int = Field(primary_key=True)
    text: str = Field(sa_type=Words)


class Annotation(Row, table=True):
    """What people said of a run. Rows are only added: the present state is what the last ones say."""

    __table_args__ = (
        Index(None, "run_id", "kind", "word"),
        Index(None, "kind", "word"),
        _one_of("kind", ANNOTATIONS),
    )

    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id")
    kind: str = Field(sa_type=Words)
    word: str = Field(sa_type=Words)  # the tag or name; empty for the other kinds
    text: str = Field(sa_type=Words)  # the note; empty for the other kinds
    made_by: str = Field(sa_type=Words)
    made_at: datetime = Field(sa_type=Moment)


class RunInput(Row, table=True):
    """The inputs of the run's program, to be asked by content."""

    run_id: int = _run_key()
    name: str = Field(primary_key=True, sa_type=Words)
    digest: str = Field(sa_type=Words, index=True)


class InputData(Row, table=True):
    """What lies behind an input's digest, as whoever hashed it saw it. Not there for older runs."""

    digest: str = Field(primary_key=True, sa_type=Words)
    folder: bool
    files: int = Field(sa_type=BigInteger)
    size: int = Field(sa_type=BigInteger)  # bytes of all files


class InputFile(Row, table=True):
    """The files of an input that is a folder, in the order of its digest; none for a very long list."""

    folder: str = Field(primary_key=True, sa_type=Words)  # the folder's digest
    position: int = Field(primary_key=True)
    path: str = Field(sa_type=Words)
    digest: str = Field(sa_type=Words, index=True)
    size: int = Field(sa_type=BigInteger)  # bytes


job, image, image_layer = table_of(Job), table_of(Image), table_of(ImageLayer)
run, attempt = table_of(Run), table_of(Attempt)
wanted, launch, box, log_chunk = table_of(Wanted), table_of(Launch), table_of(Box), table_of(LogChunk)
param, metric, metric_point = table_of(Param), table_of(Metric), table_of(MetricPoint)
output, package, source_file = table_of(Output), table_of(Package), table_of(SourceFile)
fingerprint, git_state, flag = table_of(Fingerprint), table_of(GitState), table_of(Flag)
log, trace, verdict, note = table_of(Log), table_of(Trace), table_of(Verdict), table_of(Note)
annotation, run_input = table_of(Annotation), table_of(RunInput)
input_data, input_file = table_of(InputData), table_of(InputFile)
