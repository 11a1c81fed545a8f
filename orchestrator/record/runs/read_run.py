"""One run read back whole, from one snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table, exists, select

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.image.image_model import BaseRef, Layer
from orchestrator.message_wording import did_you_mean
from orchestrator.record.run_record import (
    EndedRerun,
    ImageFacts,
    LoggedRun,
    OpenRun,
    RunRecord,
    Submission,
    Wanted,
)
from orchestrator.record.runs.attempts import wanted_columns, wanted_of
from orchestrator.record.runs.field_tables import RESULTS, SUBMITTED, points_in
from orchestrator.record.runs.run_states import key_of, row_about
from orchestrator.record.runs.sealed_text import asked_as_text
from orchestrator.record.runs.unreadable_rows import WRONG, readable, unreadable
from orchestrator.record.schema import tables
from orchestrator.record.schema.stored_values import fields_from, value_from
from orchestrator.record.schema.table_alias import alias
from orchestrator.run.attempt_model import OPEN_STATES, Failure, Log, Output, Result, State
from orchestrator.run.metrics.series import NOT_READ, Point, points_of
from orchestrator.spec.program import Program

FETCHED = 1_000  # rows of a long list that are fetched at a time
POINTS = "series"

_original = alias(tables.run, "original")
# A run that is queued again has no attempt: the last one was given up.
_now_at = (
    (tables.attempt.c.run_id == tables.run.c.id)
    & (tables.attempt.c.number == tables.run.c.attempt)
    & (tables.run.c.state != State.QUEUED)
)


def recorded_run(connection: Connection, run: str) -> RunRecord:
    """The record of a run by its full id. UsageError for an unknown one, RecordError for an altered row.

    The points of its metrics, which can be millions and take seconds, are `NOT_READ`.
    """
    with _readable(run):
        return _recorded_run(connection, run)


def run_with_points(connection: Connection, run: str) -> RunRecord:
    """As `recorded_run`, and all points of its metrics."""
    return with_points(connection, recorded_run(connection, run))


def with_points(connection: Connection, run: RunRecord) -> RunRecord:
    """The same run with its points, if they were not read yet."""
    if run.series is not NOT_READ:
        return run
    held = RESULTS[POINTS]
    with _readable(run.id):
        points = held.field(_of_run(connection, held.table, key_of(connection, run.id)))
    return run.model_copy(update={POINTS: points})


def points_named(connection: Connection, run: RunRecord, name: str) -> list[Point]:
    """The points of one metric, or its last value where it has none; those of the others are not read.

    Each as it was written, where `metric_series` gives a chart what can be drawn. UsageError for a metric
    that the run has not, RecordError for an altered row.
    """
    table, key, series = tables.metric_point, key_of(connection, run.id), run.series
    with _readable(run.id):
        if series is NOT_READ:
            series = points_in(_of_run(connection, table, key, table.c.name == name))
        found = [point for point in points_of(series) if point.name == name]
        if not found and name in run.metrics:
            found = [Point(name, None, run.metrics[name])]
        if found:
            return found
        names = select(table.c.name).where(table.c.run_id == key).distinct()
        known = sorted({*run.metrics, *connection.execute(names).scalars()})
    has = f"it has {', '.join(known[:20]) or 'none'}"
    raise UsageError(f"run {run.id} has no metric {name}", did_you_mean(name, known, has))


class RunOutput(NamedTuple):
    """An output, and the job whose run left it."""

    job: str
    output: Output


def output_of(connection: Connection, run: str, digest: Digest) -> RunOutput | None:
    """The run's first output with these bytes: one row of what may be 100,000. None where it has none.

    RecordError for an altered row.
    """
    table = tables.output
    query = (
        select(table, tables.job.c.name.label("job"))
        .join(tables.run, tables.run.c.id == table.c.run_id)
        .join(tables.job, tables.job.c.id == tables.run.c.job_id)
        .where(tables.run.c.public_id == run, table.c.digest == digest)
        # `+ 0`, or SQLite would go through all outputs in this order and leave the digests' index aside.
        .order_by(table.c.position + 0)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    with _readable(run):
        return RunOutput(row.job, value_from(Output, table, row))


def logged_run(connection: Connection, run: str) -> LoggedRun:
    """What its log needs, without its outputs and files. UsageError for an unknown run, RecordError for an
    altered row.
    """
    table, log = tables.run, tables.log
    query = (
        select(
            table.c.state,
            table.c.attempt,
            table.c.message,
            table.c.started_at,
            tables.job.c.name.label("job"),
            tables.wanted.c.executor,
            log,
        )
        .join(tables.job, tables.job.c.id == table.c.job_id)
        .outerjoin(tables.wanted, tables.wanted.c.run_id == table.c.id)
        .outerjoin(log, log.c.run_id == table.c.id)
        .where(table.c.public_id == run)
    )
    row = row_about(connection, run, query)
    with _readable(run):
        return LoggedRun(
            id=run,
            job=row.job,
            attempt=row.attempt,
            executor=row.executor or Wanted().executor,
            log=None if row.run_id is None else value_from(Log, log, row),
            **fields_from(Result, table, row._mapping, ("state", "message", "started_at")),
        )


@contextmanager
def _readable(run: str) -> Iterator[None]:
    try:
        yield
    except WRONG as error:
        raise unreadable(f"run {run}", error) from error


class ToExecute(NamedTuple):
    """A run as its executor reads it at the beginning, from one snapshot."""

    record: RunRecord
    open: OpenRun
    asked: bytes  # compared at the end, by `sealed_text.asks`


def run_to_execute(connection: Connection, run: str) -> ToExecute:
    return ToExecute(recorded_run(connection, run), open_run(connection, run), asked_as_text(connection, run))


def _recorded_run(connection: Connection, run: str) -> RunRecord:
    table, image, attempt = tables.run, tables.image, tables.attempt
    query = (
        select(
            table,
            image.c.digest,
            image.c.config_digest,
            image.c.base_name,
            image.c.base_digest,
            image.c.base_config_digest,
            attempt.c.box,
            tables.box.c.name.label("box_name"),
            _original.c.public_id.label("original"),
        )
        .join(image, image.c.id == table.c.image_id)
        .outerjoin(attempt, _now_at)
        .outerjoin(tables.box, tables.box.c.id == attempt.c.box)
        .outerjoin(_original, _original.c.id == table.c.rerun_of)
        .where(table.c.public_id == run)
    )
    row = row_about(connection, run, query)
    plain = fields_from(Submission, table, row._mapping, tables.SUBMITTED)
    plain |= fields_from(Result, table, row._mapping, tables.ENDED)
    below = {name: held.field(_of_run(connection, held.table, row.id)) for name, held in SUBMITTED.items()}
    for name, held in RESULTS.items():  # written when the run ends: before that there is nothing to ask for
        if row.state.final and name == POINTS:
            below[name] = NOT_READ
        else:
            below[name] = held.field(_of_run(connection, held.table, row.id) if row.state.final else ())
    return RunRecord(
        id=row.public_id,
        job=plain["program"]["name"],
        image=row.digest,
        config_digest=row.config_digest,
        base=_base(row),
        attempt=row.attempt,
        rerun_of=row.original,
        box=row.box,
        box_name=row.box_name,
        created_at=row.created_at,
        imported=row.imported_from,
        **plain,
        **below,
    )


def _of_run(connection: Connection, table: Table, key: int, *where: Any) -> Iterable[Row[Any]]:
    """Rows in the order of the primary key: position or name. There may be a million points."""
    query = select(table).where(table.c.run_id == key, *where).order_by(*table.primary_key.columns)
    long = {"yield_per": FETCHED} if table is tables.metric_point else {}
    return connection.execute(query, execution_options=long)


def _base(row: Row[Any]) -> BaseRef:
    return BaseRef(name=row.base_name, digest=row.base_digest, config_digest=row.base_config_digest)


def whole_image(connection: Connection, digest: str) -> tuple[ImageFacts, Program]:
    """An image by its full manifest or config digest, and the program in it. UsageError if unknown,
    RecordError for an altered row.
    """
    try:
        return _whole_image(connection, digest)
    except WRONG as error:
        raise unreadable(f"image {digest}", error) from error


def _whole_image(connection: Connection, digest: str) -> tuple[ImageFacts, Program]:
    image, layer, run = tables.image, tables.image_layer, tables.run
    row = connection.execute(
        select(image)
        .where((image.c.digest == digest) | (image.c.config_digest == digest))
        .order_by(image.c.digest != digest, image.c.id)
        .limit(1)
    ).one_or_none()
    if row is None:
        raise UsageError(f"no image {digest} is recorded", "`reprise history` shows the digests of runs")
    layers = connection.execute(select(layer).where(layer.c.image_id == row.id).order_by(layer.c.position))
    # The same image holds the same program, so its first run has it; no image is recorded without a run.
    program = connection.execute(
        select(run.c.program).where(run.c.image_id == row.id).order_by(run.c.id).limit(1)
    ).scalar()
    facts = ImageFacts(
        digest=row.digest,
        config_digest=row.config_digest,
        base=_base(row),
        layers=tuple(value_from(Layer, layer, item) for item in layers),
    )
    return facts, Program.model_validate(json.loads(str(program)))


def state_of(connection: Connection, run: str) -> State | None:
    """None for a run that the record does not know."""
    return connection.execute(select(tables.run.c.state).where(tables.run.c.public_id == run)).scalar()


def cancel_requested(connection: Connection, run: str) -> bool:
    moment = tables.run.c.cancel_requested_at
    query = select(tables.run.c.id).where(tables.run.c.public_id == run, moment.is_not(None))
    return connection.execute(query).first() is not None


def stop_asked(connection: Connection, run: str, number: int) -> bool:
    """Whether an attempt should end: someone asked for it, or it no longer holds the run."""
    table = tables.run
    query = select(table.c.attempt, table.c.state, table.c.cancel_requested_at).where(
        table.c.public_id == run
    )
    row = connection.execute(query).one_or_none()
    if row is None or row.cancel_requested_at is not None:
        return True
    return bool(row.attempt != number or row.state.final or row.state is State.QUEUED)


def open_run(connection: Connection, run: str) -> OpenRun:
    """What an executor needs, whatever the state. UsageError for an unknown run."""
    row = row_about(connection, run, _open_runs().where(tables.run.c.public_id == run))
    with _readable(run):
        return _opened(row)


def open_runs(connection: Connection, box: str) -> list[OpenRun]:
    """Oldest first: the open runs whose attempt is on this box, and the queued ones that are for it alone."""
    table, wanted = tables.run, tables.wanted.c
    local = wanted.executor.is_(None) | (wanted.executor == Wanted().executor)
    mine = local & (wanted.box.is_(None) | (wanted.box == box))
    here = ((table.c.state == State.QUEUED) & mine) | (tables.attempt.c.box == box)
    query = _open_runs().where(table.c.state.in_(OPEN_STATES), here).order_by(table.c.id)
    return list(readable(connection.execute(query), _opened, lambda row: row.id))


def open_elsewhere(connection: Connection, ours: tuple[str, ...]) -> list[OpenRun]:
    """Oldest first: open runs that wait for other kinds of executors than `ours`."""
    table = tables.run
    query = _open_runs().where(table.c.state.in_(OPEN_STATES), tables.wanted.c.executor.not_in(ours))
    rows = connection.execute(query.order_by(table.c.id))
    return list(readable(rows, _opened, lambda row: row.id))


def unjudged_reruns(connection: Connection, box: str) -> list[str]:
    """Oldest first: reruns that ended on this box and have no verdict, though they may say something.

    Passes of `compare --operations` get none.
    """
    table = tables.run.c
    ended = table.state.in_((State.SUCCEEDED, State.FAILED)) | table.parted_at.is_not(None)
    query = (
        select(table.public_id, table.description)
        .join(tables.attempt, _now_at)
        .where(
            table.rerun_of.is_not(None),
            tables.attempt.c.box == box,
            ended,
            table.failure.is_distinct_from(Failure.INFRASTRUCTURE),
            table.imported_from.is_(None),
            ~exists().where(tables.verdict.c.run_id == table.id),
        )
        .order_by(table.id)
    )
    rows = readable(connection.execute(query), _ended_rerun, lambda row: row.public_id)
    return [rerun.id for rerun in rows if not rerun.is_pass]


def _ended_rerun(row: Any) -> EndedRerun:
    return EndedRerun(id=row.public_id, description=row.description)


def _opened(row: Row[Any]) -> OpenRun:
    fields = {name: value for name, value in row._asdict().items() if not name.startswith("wanted_")}
    return OpenRun(**fields, wanted=wanted_of(row))


def _open_runs() -> Any:
    table, attempt = tables.run, tables.attempt
    return (
        select(
            table.c.public_id.label("id"),
            table.c.state,
            table.c.attempt,
            attempt.c.box,
            attempt.c.boot,
            attempt.c.executor,
            attempt.c.plan,
            table.c.cancel_requested_at.is_not(None).label("cancel_requested"),
            _original.c.public_id.label("rerun_of"),
            *wanted_columns(),
        )
        .outerjoin(tables.wanted, tables.wanted.c.run_id == table.c.id)
        .outerjoin(attempt, _now_at)
        .outerjoin(_original, _original.c.id == table.c.rerun_of)
    )
