"""Questions about many runs: a few queries per page, however long it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, false, not_, select, true

from orchestrator.errors import UsageError
from orchestrator.record import tables
from orchestrator.record.annotations import has_tag, is_archived, is_name, marks_of, named, names
from orchestrator.record.columns import scalar_of
from orchestrator.record.fields import Mismatch, Stretch, ordering
from orchestrator.record.model import HistoryFilter, RunLine, VerdictLine
from orchestrator.record.where import condition
from orchestrator.run.model import State

SHORTEST = 4  # characters of a shortened id
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
    run = tables.run
    query = _lines()
    if wanted.job is not None:
        query = query.where(tables.job.c.name == wanted.job)
    if wanted.states:
        query = query.where(run.c.state.in_(wanted.states))
    if wanted.since is not None:
        query = query.where(run.c.created_at >= wanted.since)
    if wanted.where is not None:
        query = query.where(condition(wanted.where))
    if wanted.by is not None:
        query = query.where(run.c.submitted_by == wanted.by)
    if wanted.box is not None:
        query = query.where(_on_box(wanted.box))
    if wanted.tag is not None:
        query = query.where(has_tag(wanted.tag))
    if wanted.archived is not None:
        query = query.where(is_archived() if wanted.archived else not_(is_archived()))
    newest = (run.c.created_at.desc(), run.c.id.desc())
    rows: list[Row[Any]] = []
    for stretch in _stretches(wanted.sort):
        left = None if wanted.limit is None else wanted.limit - len(rows)
        rows += connection.execute(stretch.narrow(query).order_by(*newest).limit(left))
    return _read(connection, rows)


def _on_box(text: str) -> Any:
    """A box by what its worker calls it, or by the beginning of its id (eight characters are shown)."""
    low, column = text.lower(), tables.attempt.c.box
    begins = (column >= low) & (column < low + "g") if _BOX.match(low) else false()
    return (tables.box.c.name == text) | begins


def _stretches(sort: str | None) -> tuple[Stretch, ...]:
    if sort is None:
        return (Stretch(None, true(), ()),)
    try:
        return ordering(sort)
    except Mismatch as mismatch:
        raise UsageError(f"--sort: {mismatch.what}: {sort}", mismatch.hint) from mismatch


def best(connection: Connection, job: str, metric: str, *, minimize: bool) -> RunLine:
    """Among runs that succeeded and are not put away; the older one of equals. UsageError where none has
    the metric.
    """
    run, value = tables.run, tables.metric
    query = (
        _lines()
        .join(value, (value.c.run_id == run.c.id) & (value.c.name == metric))
        .where(tables.job.c.name == job, run.c.state == State.SUCCEEDED, value.c.num.is_not(None))
        .where(not_(is_archived()))
        .order_by(value.c.num.asc() if minimize else value.c.num.desc(), run.c.id)
        .limit(1)
    )
    lines = _read(connection, connection.execute(query).all())
    if not lines:
        raise UsageError(f"no run of {job} succeeded with a metric {metric}", _metrics_of(connection, job))
    return lines[0]


def _metrics_of(connection: Connection, job: str) -> str:
    """A hint: what can be asked for instead."""
    run, value = tables.run, tables.metric
    names = (
        select(value.c.name)
        .distinct()
        .join(run, run.c.id == value.c.run_id)
        .join(tables.job, tables.job.c.id == run.c.job_id)
        .where(tables.job.c.name == job, run.c.state == State.SUCCEEDED)
        .order_by(value.c.name)
    )
    found = list(connection.execute(names).scalars())
    if found:
        return f"its metrics are: {', '.join(found)}"
    jobs = list(connection.execute(select(tables.job.c.name).order_by(tables.job.c.name)).scalars())
    return f"recorded jobs are: {', '.join(jobs)}" if jobs and job not in jobs else _HISTORY


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


def _lines() -> Select[Any]:
    run, job, image, attempt = tables.run, tables.job, tables.image, tables.attempt
    now_at = (attempt.c.run_id == run.c.id) & (attempt.c.number == run.c.attempt)
    return (
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
        .outerjoin(attempt, now_at & (run.c.state != State.QUEUED))
        .outerjoin(tables.box, tables.box.c.id == attempt.c.box)
    )


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
        chosen = table.c.run_id.in_(keys[start : start + _CHUNK])
        yield from connection.execute(select(table).where(chosen).order_by(*table.primary_key.columns))
