"""One run read back whole, from one snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Table, select

from orchestrator.errors import UsageError
from orchestrator.image.image_model import BaseRef, Layer
from orchestrator.record.run_record import ImageFacts, OpenRun, RunRecord, Wanted
from orchestrator.record.runs.attempts import wanted_columns, wanted_of
from orchestrator.record.runs.run_states import OPEN
from orchestrator.record.runs.unreadable_rows import WRONG, readable, unreadable
from orchestrator.record.schema import tables
from orchestrator.run.attempt_model import Fingerprint, Log, Output, Readback, State, TraceFile
from orchestrator.run.metrics.series import Series
from orchestrator.spec.jobfile.job_spec import Resources, Tolerances
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState

FETCHED = 5000  # rows of a long list that are fetched at a time

T = TypeVar("T", Output, Log, TraceFile)

_original = tables.run.alias("original")
# A run that is queued again has no attempt: the last one was given up.
_now_at = (
    (tables.attempt.c.run_id == tables.run.c.id)
    & (tables.attempt.c.number == tables.run.c.attempt)
    & (tables.run.c.state != State.QUEUED)
)


def whole_run(connection: Connection, run: str) -> RunRecord:
    """The record of a run by its full id. UsageError for an unknown one, RecordError for a row that is no
    run: somebody altered it.
    """
    try:
        return _whole_run(connection, run)
    except WRONG as error:
        raise unreadable(f"run {run}", error) from error


def _whole_run(connection: Connection, run: str) -> RunRecord:
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
            *wanted_columns(),
        )
        .join(image, image.c.id == table.c.image_id)
        .outerjoin(tables.wanted, tables.wanted.c.run_id == table.c.id)
        .outerjoin(attempt, _now_at)
        .outerjoin(tables.box, tables.box.c.id == attempt.c.box)
        .outerjoin(_original, _original.c.id == table.c.rerun_of)
        .where(table.c.public_id == run)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UsageError(f"no run {run} is recorded", "`reprise history` lists the runs")
    program = Program.model_validate(json.loads(row.program))
    return RunRecord(
        id=row.public_id,
        job=program.name,
        image=row.digest,
        config_digest=row.config_digest,
        base=_base(row),
        program=program,
        resources=Resources.model_validate(json.loads(row.resources)),
        tolerance=Tolerances.model_validate(json.loads(row.tolerance)),
        input_paths=json.loads(row.input_paths),
        state=row.state,
        failure=row.failure,
        message=row.message,
        attempt=row.attempt,
        rerun_of=row.original,
        submitted_by=row.submitted_by,
        box=row.box,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        seconds=row.seconds,
        exit_code=row.exit_code,
        oom_killed=row.oom_killed,
        reference=row.reference,
        description=row.description,
        reports_missing=row.reports_missing,
        metrics_incomplete=row.metrics_incomplete or "",
        wanted=wanted_of(row),
        box_name=row.box_name,
        imported=row.imported_from,
        **_parts(connection, row.id),
    )


def _parts(connection: Connection, key: int) -> dict[str, Any]:
    """What lies in tables of its own."""
    metrics = _of_run(connection, tables.metric, key)
    series = _points(connection, key)
    outputs = _of_run(connection, tables.output, key)
    flags = _of_run(connection, tables.flag, key)
    prints = _of_run(connection, tables.fingerprint, key)
    states = _of_run(connection, tables.git_state, key)
    logs = _of_run(connection, tables.log, key)
    return {
        "metrics": {row.name: float(row.text) for row in metrics},
        "series": Series((row.name, row.step, float(row.text)) for row in series),
        "outputs": tuple(_value(Output, row) for row in outputs),
        "packages": {row.name: row.version for row in _of_run(connection, tables.package, key)},
        "source": {row.path: row.sha256 for row in _of_run(connection, tables.source_file, key)},
        "readbacks": tuple(_readback(row) for row in flags),
        "fingerprint": _fingerprint(prints[0]) if prints else None,
        "git": _git(states[0]) if states else None,
        "log": _value(Log, logs[0]) if logs else None,
        "traces": tuple(_value(TraceFile, row) for row in _of_run(connection, tables.trace, key)),
        "notes": tuple(row.text for row in _of_run(connection, tables.note, key)),
    }


def _points(connection: Connection, key: int) -> Iterator[Any]:
    """As _of_run, without holding them: there may be a million."""
    table = tables.metric_point
    query = select(table.c.name, table.c.step, table.c.text).where(table.c.run_id == key)
    ordered = query.order_by(table.c.position)
    yield from connection.execute(ordered, execution_options={"yield_per": FETCHED})


def _of_run(connection: Connection, table: Table, key: int) -> list[Row[Any]]:
    """In the order of the primary key: position or name."""
    query = select(table).where(table.c.run_id == key).order_by(*table.primary_key.columns)
    return list(connection.execute(query))


def _value(kind: type[T], row: Row[Any]) -> T:
    """A value whose fields are columns of the same names."""
    fields = kind.model_fields.keys() & row._mapping.keys()
    return kind.model_validate({name: row._mapping[name] for name in fields})


def _git(row: Row[Any]) -> GitState:
    inner = {} if row.submodules is None else json.loads(row.submodules)
    plain = {name: row._mapping[name] for name in GitState.model_fields.keys() & row._mapping.keys()}
    return GitState.model_validate(plain | {"submodules": inner})


def _readback(row: Row[Any]) -> Readback:
    return Readback(
        pid=row.pid,
        argv=tuple(json.loads(row.argv)),
        start=None if row.start is None else json.loads(row.start),
        end=None if row.end is None else json.loads(row.end),
    )


def _fingerprint(row: Row[Any]) -> Fingerprint:
    return Fingerprint(
        bit_class=json.loads(row.bit_class),
        perf_class=json.loads(row.perf_class),
        identity=json.loads(row.identity),
        bit_digest=row.bit_digest,
    )


def _base(row: Row[Any]) -> BaseRef:
    return BaseRef(name=row.base_name, digest=row.base_digest, config_digest=row.base_config_digest)


def whole_image(connection: Connection, digest: str) -> tuple[ImageFacts, Program]:
    """An image by its full manifest or config digest, and the program in it. UsageError if unknown."""
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
    # The same image holds the same program, so any of its runs tells it; an image comes with its first run.
    program = connection.execute(
        select(run.c.program).where(run.c.image_id == row.id).order_by(run.c.id).limit(1)
    ).scalar_one()
    facts = ImageFacts(
        digest=row.digest,
        config_digest=row.config_digest,
        base=_base(row),
        layers=tuple(
            Layer(
                kind=item.kind,
                digest=item.digest,
                diff_id=item.diff_id,
                size=item.size,
                media_type=item.media_type,
                title=item.title,
            )
            for item in layers
        ),
    )
    return facts, Program.model_validate(json.loads(program))


def state_of(connection: Connection, run: str) -> State | None:
    """None for a run that the record does not know."""
    return connection.execute(select(tables.run.c.state).where(tables.run.c.public_id == run)).scalar()


def cancel_requested(connection: Connection, run: str) -> bool:
    moment = tables.run.c.cancel_requested_at
    query = select(tables.run.c.id).where(tables.run.c.public_id == run, moment.is_not(None))
    return connection.execute(query).first() is not None


def stop_asked(connection: Connection, run: str, number: int) -> bool:
    """Whether an attempt should end: someone asked for it, or the run is not its own any more."""
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
    row = connection.execute(_open_runs().where(tables.run.c.public_id == run)).one_or_none()
    if row is None:
        raise UsageError(f"no run {run} is recorded", "`reprise history` lists the runs")
    try:
        return _opened(row)
    except WRONG as error:
        raise unreadable(f"run {run}", error) from error


def open_runs(connection: Connection, box: str) -> list[OpenRun]:
    """Oldest first: the open runs whose attempt is on this box, and the queued ones that are for it alone."""
    table, wanted = tables.run, tables.wanted.c
    local = wanted.executor.is_(None) | (wanted.executor == Wanted().executor)
    mine = local & (wanted.box.is_(None) | (wanted.box == box))
    here = ((table.c.state == State.QUEUED) & mine) | (tables.attempt.c.box == box)
    query = _open_runs().where(table.c.state.in_(OPEN), here).order_by(table.c.id)
    return list(readable(connection.execute(query), _opened, lambda row: row.id))


def open_elsewhere(connection: Connection, ours: tuple[str, ...]) -> list[OpenRun]:
    """Oldest first: open runs that wait for other kinds of executors than `ours`."""
    table = tables.run
    query = _open_runs().where(table.c.state.in_(OPEN), tables.wanted.c.executor.not_in(ours))
    rows = connection.execute(query.order_by(table.c.id))
    return list(readable(rows, _opened, lambda row: row.id))


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
