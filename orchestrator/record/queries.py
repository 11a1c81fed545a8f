"""Questions about many runs: a few queries per page, however long it is."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, false, func, not_, select, true

from orchestrator.errors import UsageError
from orchestrator.record import tables
from orchestrator.record.annotations import has_tag, is_archived, is_name, marks_of, named, names
from orchestrator.record.columns import scalar_of
from orchestrator.record.fields import Comparison, Field, Mismatch
from orchestrator.record.model import HistoryFilter, RunLine, VerdictLine
from orchestrator.record.order import Known, Order, executed, order_of
from orchestrator.record.pages import Wanted, among, page
from orchestrator.record.seeks import runs_where, seeks_of
from orchestrator.record.where import Condition, read_condition
from orchestrator.run.model import State

SHORTEST = 4  # characters of a shortened id
SHOWN = 20  # names in a hint
_CHUNK = 10_000  # keys in one query; SQLite takes 32,766 parameters
_ID = re.compile(r"[0-9a-f]{4,16}\Z")
_BOX = re.compile(r"[0-9a-f]{4,64}\Z")
_HISTORY = "`reprise history` lists the runs"

_original = tables.run.alias("original")


def find(connection: Connection, prefix: str) -> str:
    """The full id of the one run whose id begins so, or that has this name. UsageError otherwise."""
    run = tables.run
    if is_name(prefix.strip()):
        return _by_name(connection, prefix.strip())
    text = prefix.strip().lower()
    if len(text) < SHORTEST:
        raise UsageError(
            f"{prefix!r} is too short for a run", f"give at least {SHORTEST} of its 16 hex digits"
        )
    if text.startswith("sha256:"):
        runs = f"`reprise history --where 'image == \"{text}\"'` lists the runs of an image"
        raise UsageError(f"{prefix!r} is a digest, not a run", runs)
    if not _ID.match(text):
        raise UsageError(f"{prefix!r} is not a run", f"a run is 16 hex digits; {_HISTORY}")
    query = (
        select(run.c.public_id, tables.job.c.name, run.c.created_at)
        .join(tables.job, tables.job.c.id == run.c.job_id)
        .where(run.c.public_id >= text, run.c.public_id < text + "g")
        .order_by(run.c.created_at.desc())
        .limit(6)
    )
    rows = list(connection.execute(query))
    if not rows:
        raise UsageError(f"no run {prefix} is recorded", _HISTORY)
    if len(rows) > 1:
        names = [f"{row.public_id} ({row.name}, {row.created_at:%Y-%m-%d %H:%M} UTC)" for row in rows[:5]]
        more = ", and more" if len(rows) > 5 else ""
        raise UsageError(f"{prefix} fits more than one run: {', '.join(names)}{more}", "give more digits")
    return str(rows[0].public_id)


def _by_name(connection: Connection, word: str) -> str:
    found = named(connection, word)
    if found is not None:
        return found
    known = [item.name for item in names(connection) if item.run is not None]
    near = get_close_matches(word, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"a run is 16 hex digits, or a name; {_HISTORY}"
    raise UsageError(f"{word!r} is not a run, and no run has that name", hint)


def history(connection: Connection, wanted: HistoryFilter) -> list[RunLine]:
    """Lines that the filter lets through; newest first, or as it sorts. UsageError for a bad filter."""
    return _lines(connection, page(connection, _asked(connection, wanted), wanted.limit))


def _asked(connection: Connection, wanted: HistoryFilter) -> Wanted:
    """The filter as conditions, and what indexes know of them."""
    run, said = tables.run, tables.annotation
    order = _order(wanted.sort)
    found = read_condition(wanted.where) if wanted.where is not None else Condition(true(), ())
    job = None if wanted.job is None else _job(connection, wanted.job)
    exact: list[Any] = []  # equalities, and moments
    if wanted.job is not None:
        exact.append(run.c.job_id == job)
    if wanted.states:
        exact.append(run.c.state.in_(wanted.states))
    if wanted.since is not None:
        exact.append(run.c.created_at >= wanted.since)
    if wanted.by is not None:
        exact.append(run.c.submitted_by == wanted.by)
    conditions = exact if wanted.where is None else [*exact, found.held]
    seeks = [*(runs_where(one) for one in exact), *seeks_of(found.certain, job)]
    if wanted.box is not None:
        conditions = [*conditions, _on_box(wanted.box)]
        seeks.append(_seen_on(wanted.box))
    if wanted.tag is not None:
        conditions = [*conditions, has_tag(wanted.tag)]
        seeks.append(
            select(said.c.run_id.label("key")).where(said.c.kind == "tag", said.c.word == wanted.tag)
        )
    if wanted.archived is not None:
        conditions = [*conditions, is_archived() if wanted.archived else not_(is_archived())]
    if wanted.archived:
        seeks.append(select(said.c.run_id.label("key")).where(said.c.kind == "archive"))
    return Wanted(tuple(conditions), tuple(seeks), Known(found.certain, tuple(exact), job), order)


def _job(connection: Connection, name: str) -> int | None:
    return connection.execute(select(tables.job.c.id).where(tables.job.c.name == name)).scalar()


def _on_box(text: str) -> Any:
    """A box by what its worker calls it, or by the beginning of its id (eight characters are shown)."""
    low, column, box = text.lower(), tables.attempt.c.box, tables.box
    begins = (column >= low) & (column < low + "g") if _BOX.match(low) else false()
    return column.in_(select(box.c.id).where(box.c.name == text)) | begins


def _seen_on(text: str) -> Select[Any]:
    return select(tables.attempt.c.run_id.label("key")).where(_on_box(text))


def _order(sort: str | None) -> Order:
    try:
        return order_of(sort)
    except Mismatch as mismatch:
        raise UsageError(f"--sort: {mismatch.what}: {sort}", mismatch.hint) from mismatch


def best(connection: Connection, job: str, metric: str, *, minimize: bool) -> RunLine:
    """Among runs that succeeded and are not put away; the older one of equals. UsageError where none has
    the metric.
    """
    key, field = _job(connection, job), Field("metrics", metric)
    counting = (tables.run.c.state == State.SUCCEEDED, not_(is_archived()))

    def first(known: Comparison, descending: bool) -> list[RunLine]:
        asked = Wanted(counting, (), Known((known,), (), key), Order(field, descending))
        return _lines(connection, page(connection, asked, 1))

    lines = first(Comparison(field, ">=", -math.inf), not minimize) if key is not None else []
    if not lines:
        raise UsageError(f"no run of {job} succeeded with a metric {metric}", _metrics_of(connection, job))
    # Read backwards the index has the last of equals first.
    return lines[0] if minimize else first(Comparison(field, "==", lines[0].metrics[metric]), False)[0]


def _metrics_of(connection: Connection, job: str) -> str:
    """A hint: what can be asked for instead."""
    found = list(_succeeded_with(connection, _job(connection, job)))
    if found:
        more = ", and more" if len(found) > SHOWN else ""
        return f"its metrics are: {', '.join(found[:SHOWN])}{more}"
    jobs = list(connection.execute(select(tables.job.c.name).order_by(tables.job.c.name)).scalars())
    return f"recorded jobs are: {', '.join(jobs)}" if jobs and job not in jobs else _HISTORY


def _succeeded_with(connection: Connection, job: int | None) -> Iterator[str]:
    """Names of metrics, sorted; from one to the next in the index, whatever number of runs has them."""
    run, value = tables.run, tables.metric
    name: str | None = ""
    for _ in range(SHOWN + 1):
        following = select(func.min(value.c.name)).where(value.c.job_id == job, value.c.name > name)
        name = connection.execute(following).scalar()
        if name is None:
            return
        has = select(run.c.id).join(value, value.c.run_id == run.c.id)
        has = has.where(value.c.job_id == job, value.c.name == name, run.c.state == State.SUCCEEDED)
        if connection.execute(has.limit(1)).first():
            yield name


def runs_of_image(connection: Connection, text: str) -> list[str]:
    """Runs of the image that `sha256:…` names, oldest first; the digest, of manifest or config, may be short.

    UsageError where it fits different images. Two manifests with one config are one experiment.
    """
    run, image = tables.run, tables.image
    low = "sha256:" + text.removeprefix("sha256:").lower()
    fitting = select(image.c.id, image.c.digest, image.c.config_digest).where(
        _begins(image.c.digest, low) | _begins(image.c.config_digest, low)
    )
    images = list(connection.execute(fitting))
    different = {row.config_digest: row.digest for row in images}
    if len(different) > 1:
        raise UsageError(
            f"{text} fits more than one image: {', '.join(sorted(different.values())[:5])}",
            "give more digits",
        )
    query = select(run.c.public_id).where(run.c.image_id.in_([row.id for row in images])).order_by(run.c.id)
    return list(connection.execute(query).scalars())


def _begins(column: Any, low: str) -> Any:
    """A range, not LIKE, so that the index serves; `g` comes after every hex digit."""
    return (column >= low) & (column < low + "g")


def verdicts(connection: Connection, run: str) -> list[VerdictLine]:
    """Verdicts that name this run, as the rerun or as the original; oldest first."""
    table, rerun = tables.verdict, tables.run
    query = (
        select(table, rerun.c.public_id.label("rerun"), _original.c.public_id.label("original"))
        .join(rerun, rerun.c.id == table.c.run_id)
        .join(_original, _original.c.id == table.c.original_id)
        .where((rerun.c.public_id == run) | (_original.c.public_id == run))
        .order_by(table.c.id)
    )
    return [
        VerdictLine(
            run=row.rerun,
            original=row.original,
            outcome=row.outcome,
            document=json.loads(row.document),
            box=row.box,
            by=row.judged_by,
            created_at=row.created_at,
        )
        for row in connection.execute(query)
    ]


def _lines(connection: Connection, keys: Sequence[int]) -> list[RunLine]:
    """In the order of the keys."""
    run, job, image, attempt = tables.run, tables.job, tables.image, tables.attempt
    query = (
        select(
            run.c.id.label("run_key"),
            run.c.public_id.label("id"),
            job.c.name.label("job"),
            image.c.digest.label("image"),
            run.c.state,
            run.c.failure,
            _original.c.public_id.label("rerun_of"),
            run.c.submitted_by,
            run.c.created_at,
            run.c.seconds,
            attempt.c.box,
            tables.box.c.name.label("box_name"),
        )
        .join(job, job.c.id == run.c.job_id)
        .join(image, image.c.id == run.c.image_id)
        .outerjoin(_original, _original.c.id == run.c.rerun_of)
        .outerjoin(attempt, executed())
        .outerjoin(tables.box, tables.box.c.id == attempt.c.box)
    )
    rows: dict[int, Row[Any]] = {}
    for start in range(0, len(keys), _CHUNK):
        some = among(connection, run.c.id, keys[start : start + _CHUNK])
        rows |= {row.run_key: row for row in connection.execute(query.where(some))}
    return _read(connection, [rows[key] for key in keys])


def _read(connection: Connection, page: Sequence[Row[Any]]) -> list[RunLine]:
    """The page's lines, with what lies in other tables by one query each."""
    rows = [row._asdict() for row in page]
    keys = [row.pop("run_key") for row in rows]
    params: dict[int, dict[str, Any]] = {key: {} for key in keys}
    metrics: dict[int, dict[str, float]] = {key: {} for key in keys}
    judged: dict[int, str] = {}
    for item in _for_runs(connection, tables.param, keys):
        params[item.run_id][item.name] = scalar_of(item.type, item.text)
    for item in _for_runs(connection, tables.metric, keys):
        metrics[item.run_id][item.name] = float(item.text)
    for item in _for_runs(connection, tables.verdict, keys):
        judged[item.run_id] = item.outcome
    said = marks_of(connection, keys)
    return [
        RunLine(
            **row,
            params=params[key],
            metrics=metrics[key],
            verdict=judged.get(key),
            tags=said[key].tags,
            names=said[key].names,
            archived=said[key].archived is not None,
        )
        for key, row in zip(keys, rows, strict=True)
    ]


def _for_runs(connection: Connection, table: Table, keys: Sequence[int]) -> Iterator[Row[Any]]:
    for start in range(0, len(keys), _CHUNK):
        chosen = among(connection, table.c.run_id, keys[start : start + _CHUNK])
        yield from connection.execute(select(table).where(chosen).order_by(*table.primary_key.columns))
