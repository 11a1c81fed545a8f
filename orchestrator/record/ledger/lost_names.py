"""Blobs that the ledger names, and that no row names any more: somebody took the row away, or altered it.

Collecting garbage asks for them: what an audit could still show must not go because a row went.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from orchestrator.digest import Digest
from orchestrator.record.ledger.event_rules import RULES
from orchestrator.record.ledger.fold_events import LIST_NAMES, fold
from orchestrator.record.ledger.read_ledger import NO_VALUE, event_lines, no_value
from orchestrator.record.ledger.row_evidence import lists_of_runs
from orchestrator.record.ledger.snapshot import BLOBS, INPUTS, PAGE
from orchestrator.record.runs.unreadable_rows import WRONG
from orchestrator.record.schema import tables

# Lists of a run in which blobs and input data stand, each with the column of their digest.
_LISTS = {column.table.name: column.name for column in (*BLOBS, *INPUTS) if column.table.name in LIST_NAMES}
_KINDS = tuple(kind for kind, rule in RULES.items() if not _LISTS.keys().isdisjoint(rule.adds))
_NAMED_DATA = "data.named"
_INPUT = tables.run_input.name


class LostNames(NamedTuple):
    """What one run's events, or the events about named data, name beyond the rows."""

    blobs: tuple[Digest, ...] = ()
    inputs: tuple[Digest, ...] = ()  # files, and folders, not what these hold
    untold: str = ""  # `trace of run 3f2c…`: the ledger has one digest of all of them, and not those of each


def of_a_page(connection: Connection, after: int | None) -> tuple[list[LostNames], int | None]:
    """(what the next PAGE runs have lost, the key of the last), from one snapshot; None at the end."""
    run = tables.run.c
    query = select(run.id, run.public_id).order_by(run.id).limit(PAGE)
    found = connection.execute(query if after is None else query.where(run.id > after)).all()
    if not found:
        return [], None
    told = _told(connection, [str(row.public_id) for row in found])
    rows = _rows(connection, [row.id for row in found])
    lost = (_lost(str(row.public_id), told.get(row.public_id, {}), rows.get(row.id, {})) for row in found)
    return list(chain.from_iterable(lost)), found[-1].id


def of_runs_without_rows(connection: Connection, runs: Sequence[str]) -> list[LostNames]:
    """The same of runs of which nothing but their events is left."""
    told = (_told(connection, runs[at : at + PAGE]) for at in range(0, len(runs), PAGE))
    return [lost for page in told for run, said in page.items() for lost in _lost(run, said, {})]


def of_named_data(connection: Connection) -> list[LostNames]:
    """What events called by a name, and no row of named data has."""
    event, named = tables.event, tables.data_version.name
    found: set[Digest] = set()
    for line in event_lines(connection, select(event).where(event.c.kind == _NAMED_DATA)):
        with suppress(*WRONG):  # the audit tells of a damaged event
            found.update(_digests(line.data[named].values(), tables.data_version.c.digest.name))
    found -= set(connection.execute(select(tables.data_version.c.digest)).scalars())
    return [LostNames(inputs=tuple(sorted(found)))] if found else []


def _told(connection: Connection, runs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Run -> what its events say of its lists."""
    event = tables.event
    query = select(event).where(event.c.run.in_(runs), event.c.kind.in_(_KINDS)).order_by(event.c.idx)
    found: dict[str, dict[str, Any]] = {}
    for line in event_lines(connection, query):
        with suppress(*WRONG):
            data = line.data
            fold(found.setdefault(str(line.run), {}), {name: data[name] for name in _LISTS if name in data})
    return found


def _rows(connection: Connection, keys: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Key of a run -> the values of its lists; without a list that holds another kind of value."""
    try:
        return lists_of_runs(connection, _LISTS, keys[0], keys[-1])
    except NO_VALUE as error:
        no_value(error)
    if len(keys) > 1:
        half = len(keys) // 2
        return _rows(connection, keys[:half]) | _rows(connection, keys[half:])
    found: dict[str, Any] = {}
    for name in _LISTS:
        with suppress(*NO_VALUE):
            found |= lists_of_runs(connection, (name,), keys[0], keys[0]).get(keys[0], {})
    return {keys[0]: found}


def _lost(run: str, said: Mapping[str, Any], rows: Mapping[str, Any]) -> Iterator[LostNames]:
    for name, value in said.items():
        if rows.get(name) == value:
            continue
        if not isinstance(value, list):
            yield LostNames(untold=f"{name} of run {run}")
            continue
        with suppress(*WRONG):
            digests = _digests(value, _LISTS[name])
            yield LostNames(inputs=digests) if name == _INPUT else LostNames(blobs=digests)


def _digests(rows: Any, column: str) -> tuple[Digest, ...]:
    found = (Digest.parse(row[column]) for row in rows if isinstance(row.get(column), str))
    return tuple(digest for digest in found if digest is not None)
