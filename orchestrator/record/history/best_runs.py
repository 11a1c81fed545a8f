"""The best run of a job: read from the index of a metric's least, greatest or last values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

from sqlalchemy import Connection, func, not_, select

from orchestrator.errors import UsageError
from orchestrator.record.history.filter_fields import Comparison, Field, Mismatch, Part
from orchestrator.record.history.lines import lines_of
from orchestrator.record.history.order import Known, Order
from orchestrator.record.history.pages import RunQuery, page
from orchestrator.record.history.queries import HISTORY, job_key
from orchestrator.record.history.recorded_names import Ambiguous, KnownNames, RecordedNames, field_of
from orchestrator.record.run_record import Best, RunLine
from orchestrator.record.runs.annotations import is_archived
from orchestrator.record.schema import tables
from orchestrator.run.attempt_model import State

SHOWN = 20  # names in a hint
PASSED_OVER = 100  # runs whose rows were altered, before a good one


def best(
    connection: Connection, job: str, metric: str, *, minimize: bool = False, last: bool = False
) -> Best:
    """The run with the best point or last value, of those that succeeded and are not put away.

    `metric` may name one of its values itself (`loss.min`). Of equal runs the oldest is best. UsageError
    where no run has the metric.
    """
    key = job_key(connection, job)
    if key is None:
        raise _no_such_run(connection, job, metric)
    try:
        field = _best_field(RecordedNames(connection, key), metric, minimize, last)
    except Ambiguous as mismatch:
        raise UsageError(f"metric: {mismatch.what}", mismatch.hint) from mismatch
    except Mismatch as mismatch:
        raise _no_such_run(connection, job, metric) from mismatch
    counting = (tables.run.c.state == State.SUCCEEDED, not_(is_archived()))

    def first(known: Comparison, descending: bool) -> list[RunLine]:
        """The first that can be read."""
        asked = RunQuery(counting, (), Known((known,), (), key), Order(field, descending))
        found = lines_of(connection, page(connection, asked, 1))
        return found or lines_of(connection, page(connection, asked, PASSED_OVER))

    lines = first(Comparison(field, ">=", -math.inf), not minimize)
    if not lines:
        raise _no_such_run(connection, job, str(field.name))
    if not minimize:  # the index was read backwards, so of equal runs the newest came first
        lines = first(Comparison(field, "==", _point(lines[0], field)[0]), False) or lines
    value, step = _point(lines[0], field)
    run = tables.run.c
    torn = select(func.count()).where(run.job_id == key, run.metrics_incomplete.is_not(None), *counting)
    return Best(
        line=lines[0],
        metric=str(field.name),
        part=field.part.value,
        value=value,
        step=step,
        incomplete=connection.execute(torn.select_from(tables.run)).scalar_one(),
    )


def _best_field(names: KnownNames, metric: str, minimize: bool, last: bool) -> Field:
    """Mismatch for an unknown metric."""
    field = field_of(metric if metric.startswith("metrics[") else f"metrics.{metric}", names)
    if field.part in (Part.MIN_STEP, Part.MAX_STEP, Part.LAST_STEP):
        raise UsageError(f"metric: {metric} is a step, no value", f"such as {field.name}.min")
    named = metric not in (field.name, f'metrics["{field.name}"]')
    if named and last:
        raise UsageError(f"last: {metric} names a value already", f"write --metric {field.name} --last")
    if named or last:
        return field
    return field._replace(part=Part.MIN if minimize else Part.MAX)


def _point(line: RunLine, field: Field) -> tuple[float, int | None]:
    """Value and step."""
    name = str(field.name)
    found = line.reached[name]
    pairs = {
        Part.MIN: (found.min, found.min_step),
        Part.MAX: (found.max, found.max_step),
        Part.LAST: (line.metrics[name], found.last_step),
    }
    value, step = pairs[field.part]
    assert value is not None  # noqa: S101  (it was found by its value)
    return value, step


def _no_such_run(connection: Connection, job: str, metric: str) -> UsageError:
    return UsageError(f"no run of {job} succeeded with a metric {metric}", _metrics_of(connection, job))


def _metrics_of(connection: Connection, job: str) -> str:
    """A hint: what can be asked for instead."""
    key = job_key(connection, job)
    found = list(islice(_succeeded_with(connection, key), SHOWN + 1)) if key is not None else []
    if found:
        more = ", and more" if len(found) > SHOWN else ""
        return f"its metrics are: {', '.join(found[:SHOWN])}{more}"
    jobs = list(connection.execute(select(tables.job.c.name).order_by(tables.job.c.name)).scalars())
    return f"recorded jobs are: {', '.join(jobs)}" if jobs and job not in jobs else HISTORY


def _succeeded_with(connection: Connection, job: int) -> Iterator[str]:
    """Names of metrics of runs that succeeded, sorted."""
    run, value = tables.run, tables.metric
    for name in RecordedNames(connection, job).some("metrics"):
        has = select(run.c.id).join(value, value.c.run_id == run.c.id)
        has = has.where(value.c.job_id == job, value.c.name == name, run.c.state == State.SUCCEEDED)
        if connection.execute(has.limit(1)).first():
            yield name
