"""Questions about many runs: a few queries per page, however long it is."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, false, func, not_, select, true

from orchestrator.errors import UsageError
from orchestrator.message_wording import did_you_mean
from orchestrator.record.history.changes import changes
from orchestrator.record.history.cursor import cursor_of, place_at
from orchestrator.record.history.filter_fields import Field, Mismatch
from orchestrator.record.history.filter_language import Condition, read_condition
from orchestrator.record.history.index_seeks import runs_where, seeks_of
from orchestrator.record.history.lines import lines_of
from orchestrator.record.history.order import Known, Order, order_of
from orchestrator.record.history.pages import RunQuery, page
from orchestrator.record.history.recorded_names import KnownNames, RecordedNames
from orchestrator.record.run_record import Changed, HistoryFilter, HistoryPage, RunLine, VerdictLine
from orchestrator.record.runs.annotations import LATEST, has_tag, is_archived, is_name, named, names
from orchestrator.record.runs.run_states import key_of
from orchestrator.record.runs.unreadable_rows import readable, unreadable
from orchestrator.record.schema import tables
from orchestrator.record.schema.table_alias import alias
from orchestrator.run.attempt_model import State

LOOKED_AT = 2000  # runs, at most, for those in which something changed
AT_ONCE = 200
SHORTEST = 4  # characters of a shortened id
_ID = re.compile(r"[0-9a-f]{4,16}\Z")
_BOX = re.compile(r"[0-9a-f]{4,64}\Z")
HISTORY = "`reprise history` lists the runs"

_original = alias(tables.run, "original")


def find(connection: Connection, prefix: str) -> str:
    """The full id of the one run whose id begins so, or that has this name. UsageError otherwise."""
    run = tables.run
    if prefix.strip() == LATEST:
        return _latest(connection)
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
        raise UsageError(f"{prefix!r} is not a run", f"a run is 16 hex digits; {HISTORY}")
    query = (
        select(run.c.public_id, tables.job.c.name, run.c.created_at)
        .join(tables.job, tables.job.c.id == run.c.job_id)
        .where(run.c.public_id >= text, run.c.public_id < text + "g")
        .order_by(run.c.created_at.desc())
        .limit(6)
    )
    rows = list(connection.execute(query))
    if not rows:
        raise UsageError(f"no run {prefix} is recorded", HISTORY)
    if len(rows) > 1:
        names = [f"{row.public_id} ({row.name}, {row.created_at:%Y-%m-%d %H:%M} UTC)" for row in rows[:5]]
        more = ", and more" if len(rows) > 5 else ""
        raise UsageError(f"{prefix} fits more than one run: {', '.join(names)}{more}", "give more digits")
    return str(rows[0].public_id)


def _latest(connection: Connection) -> str:
    """The run that was submitted last, of those that are not put away."""
    run = tables.run
    if named(connection, LATEST) is not None:  # of a record from before the word had a meaning
        raise UsageError(
            f"{LATEST!r} is the run submitted last, and an alias of another run",
            f"`reprise alias {LATEST} --remove` takes the alias away; give the run another",
        )
    newest = (
        select(run.c.public_id).where(not_(is_archived())).order_by(run.c.created_at.desc(), run.c.id.desc())
    )
    found = connection.execute(newest.limit(1)).scalar()
    if found is None:
        raise UsageError("no run is recorded yet, so there is no latest", "`reprise submit` makes one")
    return str(found)


def _by_name(connection: Connection, word: str) -> str:
    found = named(connection, word)
    if found is not None:
        return found
    known = [item.name for item in names(connection) if item.run is not None]
    hint = did_you_mean(word, known, f"a run is 16 hex digits, an alias, or {LATEST}; {HISTORY}")
    raise UsageError(f"{word!r} is not a run, and no run has that alias", hint)


def latest_of_job(connection: Connection, job: str) -> str:
    """The newest run of a job that succeeded, is no rerun and is not put away. UsageError without one."""
    key, run = job_key(connection, job), tables.run
    counting = (run.c.state == State.SUCCEEDED, run.c.rerun_of.is_(None), not_(is_archived()))
    query = select(run.c.public_id).where(run.c.job_id == key, *counting)
    found = connection.execute(query.order_by(run.c.created_at.desc(), run.c.id.desc()).limit(1)).scalar()
    if found is None:
        jobs = list(connection.execute(select(tables.job.c.name).order_by(tables.job.c.name)).scalars())
        if key is not None:
            raise UsageError(f"no run of the job {job} has succeeded", HISTORY)
        raise UsageError(f"no job is called {job}", did_you_mean(job, jobs, HISTORY))
    return str(found)


def history(connection: Connection, wanted: HistoryFilter) -> HistoryPage:
    """Lines that the filter lets through; newest first, or as it sorts. UsageError for a bad filter."""
    if wanted.changed is not None:
        return _changed(connection, wanted, wanted.changed)
    query = _run_query(connection, wanted)
    keys = page(connection, query, None if wanted.limit is None else wanted.limit + 1)
    shown = keys[: wanted.limit]
    more = len(keys) > len(shown)
    following = cursor_of(connection, wanted.sort, query.order, shown[-1]) if more and shown else None
    return HistoryPage(lines=tuple(lines_of(connection, shown)), next=following)


def line_of(connection: Connection, run: str) -> RunLine:
    """One run as a line of the history, with its metrics' extremes. UsageError for an unknown one,
    RecordError for an altered one.
    """
    found = lines_of(connection, [key_of(connection, run)])
    if not found:
        raise unreadable(f"run {run}", ValueError("it makes no line of the history"))
    return found[0]


def named_lines(connection: Connection, runs: Sequence[str]) -> list[RunLine]:
    """Runs by their full ids, as lines of the history, in that order. UsageError for an unknown one."""
    return lines_of(connection, [key_of(connection, run) for run in runs])


def _changed(connection: Connection, wanted: HistoryFilter, aspect: str) -> HistoryPage:
    """Runs in which the aspect changed: each of LOOKED_AT at most is compared with the run before it."""
    found: list[RunLine] = []
    differing: dict[str, Changed] = {}
    limit = LOOKED_AT if wanted.limit is None else wanted.limit
    following = wanted.after
    for _ in range(0, LOOKED_AT, AT_ONCE):
        some = history(
            connection, wanted.model_copy(update={"changed": None, "after": following, "limit": AT_ONCE})
        )
        here = changes(connection, [line.id for line in some.lines], aspect)
        lines = [line for line in some.lines if line.id in here]
        following = some.next
        if len(found) + len(lines) > limit:
            lines = lines[: limit - len(found)]
            last = (found + lines)[-1]
            order = _run_query(connection, wanted).order
            following = cursor_of(connection, wanted.sort, order, key_of(connection, last.id))
        found += lines
        differing |= {line.id: here[line.id] for line in lines}
        if following is None or len(found) == limit:
            break
    left = following is not None and len(found) < limit
    return HistoryPage(lines=tuple(found), changes=differing, next=following, left=left)


def _run_query(connection: Connection, wanted: HistoryFilter) -> RunQuery:
    """The filter as conditions, and what indexes can find of them."""
    run, said = tables.run, tables.annotation
    names = RecordedNames(connection)
    order = _order(wanted.sort, names)
    if wanted.after is not None:
        order = order._replace(after=place_at(connection, wanted.after, wanted.sort, order))
    found = read_condition(wanted.where, names) if wanted.where is not None else Condition(true(), ())
    job = None if wanted.job is None else job_key(connection, wanted.job)
    exact: list[Any] = []  # equalities, and moments
    if wanted.job is not None:
        exact.append(run.c.job_id == job)
    if wanted.states:
        exact.append(run.c.state.in_(wanted.states))
    if wanted.since is not None:
        exact.append(run.c.created_at >= wanted.since)
    if wanted.by is not None:
        exact.append(run.c.submitted_by == wanted.by)
    conditions = exact if wanted.where is None else [*exact, found.sql]
    seeks = [*(runs_where(one) for one in exact), *seeks_of(found.certain, job)]
    if wanted.box is not None:
        conditions = [*conditions, on_box(wanted.box)]
        seeks.append(_seen_on(wanted.box))
    if wanted.tag is not None:
        conditions = [*conditions, has_tag(wanted.tag)]
        seeks.append(
            select(said.c.run_id.label("key")).where(said.c.kind == "tag", said.c.word == wanted.tag)
        )
    if wanted.archived is not None:
        conditions = [*conditions, is_archived() if wanted.archived else not_(is_archived())]
    if wanted.reruns is not None:
        again = run.c.rerun_of.is_not(None)
        conditions = [*conditions, again if wanted.reruns else not_(again)]
    if wanted.archived:
        seeks.append(select(said.c.run_id.label("key")).where(said.c.kind == "archive"))
    return RunQuery(tuple(conditions), tuple(seeks), Known(found.certain, tuple(exact), job), order)


def job_key(connection: Connection, name: str) -> int | None:
    return connection.execute(select(tables.job.c.id).where(tables.job.c.name == name)).scalar()


def on_box(text: str) -> Any:
    """A box by what its worker calls it, or by the beginning of its id (eight characters are shown)."""
    low, column, box = text.lower(), tables.attempt.c.box, tables.box
    begins = (column >= low) & (column < low + "g") if _BOX.match(low) else false()
    return column.in_(select(box.c.id).where(box.c.name == text)) | begins


def _seen_on(text: str) -> Select[Any]:
    return select(tables.attempt.c.run_id.label("key")).where(on_box(text))


def sorted_by(connection: Connection, sort: str) -> Field:
    field = _order(sort, RecordedNames(connection)).field
    assert field is not None  # noqa: S101  (only of no text)
    return field


def _order(sort: str | None, names: KnownNames) -> Order:
    try:
        return order_of(sort, names)
    except Mismatch as mismatch:
        raise UsageError(f"sort: {mismatch.what}: {sort}", mismatch.hint) from mismatch


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
    # By the key, not by the ids of the two joined runs: an `or` over those uses no index.
    key = key_of(connection, run)
    query = (
        select(table, rerun.c.public_id.label("rerun"), _original.c.public_id.label("original"))
        .join(rerun, rerun.c.id == table.c.run_id)
        .join(_original, _original.c.id == table.c.original_id)
        .where((table.c.run_id == key) | (table.c.original_id == key))
        .order_by(table.c.id)
    )
    return list(readable(connection.execute(query), _verdict_line, lambda row: row.rerun))


def outcomes_of_reruns(connection: Connection, run: str) -> dict[str, int]:
    """How often verdicts over a run's reruns say what, without their documents, which may be long."""
    outcome = tables.verdict.c.outcome
    query = select(outcome, func.count()).where(tables.verdict.c.original_id == key_of(connection, run))
    return {str(word): number for word, number in connection.execute(query.group_by(outcome))}


def _verdict_line(row: Row[Any]) -> VerdictLine:
    return VerdictLine(
        run=row.rerun,
        original=row.original,
        outcome=row.outcome,
        document=json.loads(row.document),
        box=row.box,
        by=row.judged_by,
        created_at=row.created_at,
    )
