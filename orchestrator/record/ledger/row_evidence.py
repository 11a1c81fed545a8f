"""Rows as values that events hold and the audit recomputes: one set of functions for both.

An event's data is a mapping from tables to values, so that all events of a run, folded, say what its rows
must be now. What a table's value is depends on its shape:

- `run`: one row, column -> value; a later event changes the columns that it names.
- KEYED (attempt, launch, verdict, annotation; job, image, input_data, box, data_version): key -> row, changed
  likewise.
- every other: all rows in the order of their key, replaced whole. Up to LISTED rows they are there in full;
  of more, and always of DIGESTED tables, `{"rows": count, "sha256": hex}` over the canonical rows, each
  followed by a newline.

A row is its columns but for its owner's key and what is NULL. Moments are UTC text with microseconds, floats
are `repr` (neither 0.0 nor -0.0 is kept apart by SQLite), text of more than its limit is `{"bytes",
"sha256"}`. Names that are no column (`job`, `image`, `original` of a run) are what its foreign keys lead to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from enum import Enum
from functools import cache, partial
from hashlib import sha256
from itertools import chain, groupby, islice
from typing import Any

from sqlalchemy import Connection, Float, RowMapping, Select, Table, case, null, select
from sqlalchemy import Enum as OneOf

from orchestrator.digest import canonical_json
from orchestrator.record.ledger.fold_events import KEYED as KEYED
from orchestrator.record.ledger.fold_events import LIST_NAMES, exact_moment
from orchestrator.record.ledger.fold_events import OWNED as OWNED
from orchestrator.record.ledger.fold_events import SHARED as SHARED
from orchestrator.record.ledger.fold_events import fold as fold
from orchestrator.record.runs import field_tables
from orchestrator.record.runs.metric_extremes import without_extremes
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import Moment, NoMoment, Words, storable
from orchestrator.record.schema.table_alias import alias

LISTED = 50  # rows
LONG = 1000  # bytes of a text that an event holds in full
FETCHED = 5000  # rows that are fetched at a time

Value = dict[str, Any]
Columns = Mapping[str, Any] | RowMapping
Rows = Iterable[Mapping[str, Any]] | Iterable[RowMapping]

# Columns whose limit is another one: plans and fingerprints are long and seldom read, verdicts are the point.
_LIMITS = {
    ("attempt", "plan"): 0,
    ("fingerprint", "bit_class"): 0,
    ("fingerprint", "perf_class"): 0,
    ("fingerprint", "identity"): 0,
    ("verdict", "document"): 1 << 16,
}
RESULTS = {held.table.name for held in field_tables.RESULTS.values()}
LISTS = tuple(tables.METADATA.tables[name] for name in LIST_NAMES)
DIGESTED = {
    *("image_layer", "input_file", "metric_point", "package", "source_file", "flag", "trace", "note"),
}

_PASSING = "what an open attempt prints; removed at its end, when the whole log's digest is recorded"
_BEAT = "a heartbeat: it says whether a worker lives now, and nothing rests on what it said before"
_LEDGER = "the ledger itself: checked against its own tree and the tree heads"
# `table.column` or `table` that no event holds -> why not.
NOT_COVERED = {
    "box.state": _BEAT,
    "box.seen_at": _BEAT,
    "box.trouble": _BEAT,
    "log_chunk": _PASSING,
    "live_state": _PASSING,
    "event": _LEDGER,
    "ledger": _LEDGER,
    "checkpoint": "signed notes over the ledger: checked against it and the keys",
}


# Values of rows


def row_value(table: Table, row: Columns, *, change: bool = False) -> Value:
    """A row, or some of its columns. In a `change`, None says that the column is NULL now."""
    return {
        name: None if row[name] is None else plain(row[name])
        for name, plain in _columns(table)
        if name in row and (change or row[name] is not None)
    }


def rows_value(table: Table, rows: Iterable[Columns]) -> Any:
    """Rows in the order of their key; None for none."""
    values = (row_value(table, row) for row in rows)
    first = list(islice(values, LISTED + 1))
    if not first:
        return None
    if len(first) <= LISTED and table.name not in DIGESTED:
        return first
    count, hasher = 0, sha256()
    for value in chain(first, values):
        hasher.update(canonical_json(value) + b"\n")
        count += 1
    return {"rows": count, "sha256": hasher.hexdigest()}


def lists_value(lists: Iterable[tuple[Table, Rows]]) -> Value:
    """Tables with their rows as they are about to be written; empty ones are left out."""
    values = {table.name: rows_value(table, _ordered(table, rows)) for table, rows in lists}
    return {name: value for name, value in values.items() if value is not None}


def _ordered(table: Table, rows: Rows) -> Rows:
    """Rows in the order of their key. Points come in it already, and are too many to sort."""
    return rows if table is tables.metric_point else sorted(rows, key=_order(table))


@cache
def _columns(table: Table) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Columns of the canonical row, sorted by name, each with what makes its value plain."""
    skipped = {"run_id", KEYED.get(table.name), SHARED.get(table.name), OWNED.get(table.name, ("", ""))[1]}
    skipped |= {name.partition(".")[2] for name in NOT_COVERED if name.startswith(f"{table.name}.")}
    if table.name == "run":
        skipped.add("public_id")
    return tuple(
        (column.name, _plain(table.name, column.name, column.type))
        for column in sorted(table.columns, key=lambda column: column.name)
        if column.name not in skipped
    )


def _plain(table: str, column: str, kind: Any) -> Callable[[Any], Any]:
    if isinstance(kind, Moment):
        return _moment
    if isinstance(kind, Words):
        return _text(_LIMITS.get((table, column), LONG))
    if isinstance(kind, OneOf):
        return lambda word: word.value if isinstance(word, Enum) else str(word)
    if isinstance(kind, Float):
        return _number
    return lambda value: value  # int and bool


def _moment(moment: datetime) -> str:
    if isinstance(moment, NoMoment):
        raise ValueError("a text where a moment should be")  # noqa: TRY004, it is the row's value that is wrong
    return exact_moment(moment)


def _text(limit: int) -> Callable[[str], Any]:
    def plain(text: str) -> Any:
        kept = storable(text)
        data = kept.encode()
        return kept if len(data) <= limit else {"bytes": len(data), "sha256": sha256(data).hexdigest()}

    return plain


def _number(value: float) -> str | None:
    number = float(value) + 0.0  # -0.0 becomes 0.0
    return None if math.isnan(number) else repr(number)


def _order(table: Table) -> Callable[[Columns], tuple[Any, ...]]:
    """As databases order by the primary key: text by code points."""
    names = [column.name for column in table.primary_key if column.name not in ("run_id", _owner(table))]

    def key(row: Columns) -> tuple[Any, ...]:
        return tuple(storable(row[name]) if isinstance(row[name], str) else row[name] for name in names)

    return key


def _owner(table: Table) -> str:
    return OWNED.get(table.name, ("", "run_id"))[1]


# Rows as they are now


def of_run(connection: Connection, key: int) -> Value:
    """All rows of one run by its key."""
    return next(of_runs(connection, key, key))[1]


def of_runs(connection: Connection, low: int, high: int) -> Iterator[tuple[str, Value]]:
    """(public id, rows) of the runs with keys from `low` to `high`, which are read at once."""
    below = {
        table.name: _grouped(connection, _rows_of(table), table, low, high)
        for table in (*LISTS, tables.attempt, tables.launch, tables.annotation)
    }
    below["verdict"] = _grouped(connection, _verdicts(), tables.verdict, low, high)
    rows = connection.execute(runs().where(tables.run.c.id.between(low, high)).order_by(tables.run.c.id))
    for row in rows.mappings():
        value: Value = {"run": run_value(row)}
        for name, groups in below.items():
            if row["id"] in groups:
                value[name] = groups[row["id"]]
        yield row["public_id"], value


def _rows_of(table: Table) -> Select[Any]:
    """All columns of a table; of `metric.job_id`, a copy of the run's, only what differs from that."""
    if table is not tables.metric:
        return select(table)
    copy, run = table.c.job_id, tables.run
    others = [column for column in table.columns if column is not copy]
    parted = case((copy != run.c.job_id, copy), else_=null()).label(copy.name)
    return select(*others, parted).outerjoin(run, run.c.id == table.c.run_id)


def lists_of(connection: Connection, key: int, known: Mapping[str, Any] | None = None) -> Value:
    """A run's rows in LISTS, by table; `known`: what was just written, of the tables that a result fills."""
    found: Value = {}
    for table in LISTS:
        if known is not None and table.name in RESULTS:
            value = known.get(table.name)
        else:
            value = _grouped(connection, _rows_of(table), table, key, key).get(key)
        if value is not None:
            found[table.name] = value
    return found


def lists_of_runs(
    connection: Connection, names: Iterable[str], low: int, high: int
) -> dict[int, dict[str, Any]]:
    """Key of a run -> its rows in some of LISTS, by table, of the runs with keys from `low` to `high`."""
    found: dict[int, dict[str, Any]] = {}
    for table in (tables.METADATA.tables[name] for name in names):
        for key, value in _grouped(connection, _rows_of(table), table, low, high).items():
            found.setdefault(key, {})[table.name] = value
    return found


def run_value(row: Columns) -> Value:
    """A row of `run` with what its foreign keys lead to: `job`, `image` and `original`."""
    names = {"job": row["job"], "image": row["image"], "original": row["original"]}
    return row_value(tables.run, row) | {name: text for name, text in names.items() if text is not None}


def verdict_value(row: Columns) -> Value:
    """A row of `verdict` with the public id of its `original`."""
    return row_value(tables.verdict, row) | {"original": row["original"]}


def runs() -> Select[Any]:
    original = alias(tables.run, "original_run")
    names = (
        tables.job.c.name.label("job"),
        tables.image.c.digest.label("image"),
        original.c.public_id.label("original"),
    )
    return (
        select(tables.run, *names)
        .outerjoin(tables.job, tables.job.c.id == tables.run.c.job_id)
        .outerjoin(tables.image, tables.image.c.id == tables.run.c.image_id)
        .outerjoin(original, original.c.id == tables.run.c.rerun_of)
    )


def _verdicts() -> Select[Any]:
    return select(tables.verdict, tables.run.c.public_id.label("original")).outerjoin(
        tables.run, tables.run.c.id == tables.verdict.c.original_id
    )


def _grouped(connection: Connection, query: Select[Any], table: Table, low: int, high: int) -> dict[int, Any]:
    """Key of a run -> the value of its rows in one table."""
    owner = table.c.run_id
    ordered = query.where(owner.between(low, high)).order_by(owner, *_rest_of_key(table, "run_id"))
    fetched = connection.execute(ordered, execution_options={"yield_per": FETCHED}).mappings()
    rows: Iterable[Columns] = fetched
    if table is tables.metric:
        rows = without_extremes(connection, fetched, low, high)
    found = {}
    for key, group in groupby(rows, lambda row: row["run_id"]):
        if table.name not in KEYED:
            found[key] = rows_value(table, group)
        else:
            one = verdict_value if table is tables.verdict else partial(row_value, table)
            found[key] = {str(row[KEYED[table.name]]): one(row) for row in group}
    return found


def _rest_of_key(table: Table, owner: str) -> list[Any]:
    return [column for column in table.primary_key if column.name != owner]


def orphans(connection: Connection) -> list[tuple[str, str]]:
    """(table, key of an owner that is not there) of rows that no other function here reads.

    Databases refuse such rows, unless somebody has switched foreign keys off.
    """
    every = tables.METADATA.tables
    owners = [(table.c.run_id, tables.run.c.id) for table in every.values() if "run_id" in table.columns]
    owners += [
        (every[name].c[column_name], every[owner].c[SHARED[owner]])
        for name, (owner, column_name) in OWNED.items()
    ]
    found = []
    for column, key in owners:
        lost = select(column).where(~select(key).where(key == column).exists()).distinct().order_by(column)
        found += [(column.table.name, str(owner)) for owner in connection.execute(lost).scalars()]
    return found
