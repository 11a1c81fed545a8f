"""The tables.

A run has an integer key for joins and a public id of 16 hex digits. Facts that exist once per run have the
run's key as their primary key; lists have (run_id, position). Where a row is a value, its columns are made of
the value's fields.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    ColumnElement,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    UniqueConstraint,
    func,
    literal_column,
)
from sqlalchemy import text as sql

from orchestrator.image.image_model import Layer
from orchestrator.record.run_record import BoxFacts, InputOrigin, Submission, Wanted
from orchestrator.record.schema.ledger_tables import checkpoint as checkpoint
from orchestrator.record.schema.ledger_tables import event as event
from orchestrator.record.schema.ledger_tables import ledger as ledger
from orchestrator.record.schema.table_base import METADATA as METADATA
from orchestrator.record.schema.table_base import (
    big,
    column,
    fields_of,
    key,
    moment,
    number,
    of_run,
    owner,
    table,
    text,
    whole,
)
from orchestrator.run.attempt_model import Fingerprint, Log, Output, Readback, Result, TraceFile
from orchestrator.spec.inputs import InputFile
from orchestrator.spec.source.source_tree import GitState

# The verdict room stands above this one, so its words are written here once more; a test holds them equal.
OUTCOMES = ("identical", "within_tolerance", "different", "not_comparable", "not_instrumented", "failed")
SCALAR_TYPES = ("bool", "int", "float", "str")
PREFIX = 100  # characters of a text parameter that are indexed, and sorted by
ANNOTATIONS = ("note", "tag", "untag", "name", "unname", "archive", "restore")

# Fields of a submission that are columns of `run`.
SUBMITTED = (
    *("reference", "description", "submitted_by", "program", "resources", "tolerance", "input_paths"),
    "stop_after",
)
# Fields of a result that have tables of their own (field_tables.py); the others are columns of `run`.
_LISTS = {
    *("metrics", "outputs", "packages", "source", "readbacks", "traces", "notes", "log", "fingerprint"),
    *("series", "logged"),
}
ENDED = tuple(name for name in Result.model_fields if name not in _LISTS)

_INDEXED = {"index": True}
_32_BITS = {"type_": Integer}
_NULL = {"nullable": True}


def _one_of(name: str, words: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{name} IN ({', '.join(repr(word) for word in words)})", name=name)


def _where(condition: str) -> dict[str, Any]:
    """The condition of an index over some rows only. Postgres gets it when a record is made (migrate.py):
    here it would import the dialect with its drivers, 25 ms in every command.
    """
    return {"sqlite_where": sql(condition)}


_PREFIX = sql(f"substr(text, 1, {PREFIX})")


def prefix_of(table: FromClause) -> ColumnElement[str]:
    """What is indexed of a text parameter; written as in the index, or SQLite does not know it again."""
    found: ColumnElement[str] = func.substr(table.c.text, literal_column("1"), literal_column(str(PREFIX)))
    return found


job = table("job", key(), text("name", unique=True), moment("created_at"))

image = table(
    "image",
    key(),
    text("digest", unique=True),  # of the manifest
    text("config_digest", index=True),
    text("base_name"),
    text("base_digest", index=True),
    text("base_config_digest"),
    moment("created_at"),
)

image_layer = table(
    "image_layer",
    owner("image", primary_key=True),
    whole("position", primary_key=True),
    *fields_of(Layer, without=("path",)),
)

run = table(
    "run",
    key(),
    text("public_id", unique=True),
    text("key", unique=True),
    owner("job"),
    owner("image"),
    owner("run", "rerun_of", nullable=True),
    big("seed"),
    *fields_of(Submission, only=SUBMITTED),
    whole("attempt"),  # 0: never claimed; the fencing token of every write after the claim
    moment("cancel_requested_at", nullable=True),
    moment("created_at"),
    *fields_of(Result, only=ENDED, options={"exit_code": _32_BITS, "metrics_incomplete": _NULL}),
    moment("recorded_at", nullable=True),  # when the result was committed
    text("imported_from", nullable=True),  # the bundle's digest; NULL: recorded here
    Index(None, "job_id", "created_at"),
    Index(None, "created_at"),
    Index(None, "state", "created_at"),
    # They end with the key: runs of equal values are read in its order.
    Index(None, "seconds", "id"),
    Index(None, "seed", "id"),
    Index(None, "submitted_by", "created_at"),
    Index("ix_run_failure_created_at", "failure", "created_at", **_where("failure IS NOT NULL")),
    Index("ix_run_metrics_incomplete", "job_id", **_where("metrics_incomplete IS NOT NULL")),
    Index(None, "image_id"),
    Index(None, "rerun_of"),
)

attempt = table(
    "attempt",
    *of_run(whole("number")),
    text("box", index=True),
    text("boot"),
    text("executor"),
    text("plan", nullable=True),
    text("seal", nullable=True),  # box_seal.py
    moment("claimed_at"),
)

# Where a run is to be executed. Runs from before this table have no row: the box that submitted.
wanted = table("wanted", *of_run(), *fields_of(Wanted, options={"attempts": _32_BITS}))

# An attempt as its executor knows it: there before the claim, and kept when the attempt is given up.
launch = table(
    "launch",
    *of_run(whole("number")),
    text("executor"),
    text("ref", nullable=True),
    text("launched_by"),
    moment("launched_at"),
    text("ended", nullable=True),  # why it was given up
    moment("ended_at", nullable=True),
)

# A machine that takes queued runs: what its worker last said of itself.
box = table(
    "box",
    *fields_of(BoxFacts, options={"id": {"primary_key": True}, "slots": _32_BITS, "cpus": _32_BITS}),
    moment("started_at"),
    moment("seen_at"),
)

# What an open run wrote, for readers on other boxes; removed with the end of the attempt.
log_chunk = table("log_chunk", *of_run(whole("number"), big("start")), column("data", LargeBinary))

# What an attempt on another box has measured and traced so far, reduced; removed with it, too.
live_state = table("live_state", *of_run(whole("number")), text("document"), moment("at"))

param = table(
    "param",
    *of_run(text("name")),
    text("type"),
    text("text"),
    number("num"),  # int, float, bool as a 64-bit float
    Index(None, "name", "num", "run_id"),
    # An index takes no long text.
    Index("ix_param_name_text_run_id", "name", _PREFIX, "run_id", **_where("num IS NULL")),
    _one_of("type", SCALAR_TYPES),
)

# Parameters that a script logged for its tracker; `source`: the file or folder that says so.
logged_param = table(
    "logged_param",
    *of_run(text("name")),
    text("source"),
    text("type"),
    text("text"),
    number("num"),
    Index(None, "name", "num", "run_id"),
    _one_of("type", SCALAR_TYPES),
)

# Final values. `text` is repr; `num` is NULL for NaN. `job_id` is the run's, which never changes: the best
# run of a job is read from an index, however other jobs' values lie. `low` to `last_step` follow from the
# points (metric_extremes.py).
metric = table(
    "metric",
    *of_run(text("name")),
    text("text"),
    number("num"),
    whole("job_id"),
    number("low"),
    big("low_step", nullable=True),
    number("high"),
    big("high_step", nullable=True),
    big("last_step", nullable=True),
    *(Index(None, "name", value, "run_id") for value in ("num", "low", "high")),
    *(Index(None, "job_id", "name", value, "run_id") for value in ("num", "low", "high")),
)

# Series, in the order in which the job wrote them.
metric_point = table(
    "metric_point",
    *of_run(whole("position")),
    text("name"),
    big("step", nullable=True),
    text("text"),
    number("num"),
    number("at"),  # seconds since 1970 by the job's clock
    Index(None, "run_id", "name", "position"),
)

output = table(
    "output",
    *of_run(whole("position")),
    *fields_of(Output),
    Index(None, "digest", "run_id"),
)

package = table("package", *of_run(text("name")), text("version"), Index(None, "name", "version"))

source_file = table("source_file", *of_run(text("path")), text("sha256"))  # hex

fingerprint = table("fingerprint", *of_run(), *fields_of(Fingerprint, options={"bit_digest": _INDEXED}))

git_state = table(
    "git_state",
    *of_run(),
    *fields_of(
        GitState,
        without=("patch",),
        options={"commit": _INDEXED, "patch_digest": _INDEXED, "submodules": _NULL},
    ),
)

# Determinism flags as one process of the job read them back, at its start and at its end.
flag = table("flag", *of_run(whole("position")), *fields_of(Readback))

log = table("log", *of_run(), *fields_of(Log, options={"digest": _INDEXED}))

# What one process of the job traced: JSON lines in the store.
trace = table(
    "trace",
    *of_run(whole("position")),
    *fields_of(TraceFile, options={"rank": _32_BITS, "world": _32_BITS, "digest": _INDEXED}),
)

verdict = table(
    "verdict",
    key(),
    owner("run"),  # the rerun
    owner("run", "original_id"),
    text("outcome"),
    text("document"),
    text("box", nullable=True),
    text("judged_by"),
    moment("created_at"),
    Index(None, "run_id"),
    Index(None, "original_id"),
    _one_of("outcome", OUTCOMES),
)

note = table("note", *of_run(whole("position")), text("text"))

# What people said of a run. Rows are only added: the present state is what the last ones say.
annotation = table(
    "annotation",
    key(),
    owner("run"),
    text("kind"),
    text("word"),  # the tag or name; empty for the other kinds
    text("text"),  # the note; empty for the other kinds
    text("made_by"),
    moment("made_at"),
    Index(None, "run_id", "kind", "word"),
    Index(None, "kind", "word"),
    _one_of("kind", ANNOTATIONS),
)

# The inputs of the run's program, to be asked by content.
run_input = table("run_input", *of_run(text("name")), text("digest", index=True))

# What lies behind an input's digest, as it was seen when it was hashed. Older runs have no such row.
input_data = table(
    "input_data",
    text("digest", primary_key=True),
    column("folder", Boolean),
    big("files"),
    big("size"),  # bytes of all files
)

# The files of an input that is a folder, in the order of its digest; none for a very long list.
input_file = table(
    "input_file",
    text("folder", primary_key=True),  # the folder's digest
    whole("position", primary_key=True),
    *fields_of(InputFile, options={"digest": _INDEXED}),
)

# The inputs that were looked up in the record when their run was submitted.
input_origin = table(
    "input_origin",
    *of_run(text("name")),
    *fields_of(InputOrigin, options={"version": _32_BITS}),
    Index(None, "run"),
    Index(None, "data", "version"),
)

# Names that people gave to data. Rows are only added: the last version of a name is the name's.
data_version = table(
    "data_version",
    key(),
    text("name"),
    whole("version"),  # 1, 2, 3 … of each name
    text("digest", index=True),
    text("added_by"),
    moment("added_at"),
    UniqueConstraint("name", "version"),
)
