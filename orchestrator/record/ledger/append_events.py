"""Appending to the ledger, in the transaction of the change that an event tells of.

Writers are alone (database.py), so the next index is simply the ledger's size. An event is a document,

    {"at", "by", "data", "index", "kind", "run", "v": 1}

as canonical JSON; its bytes are a leaf of the tree (merkle.py), and are never written again. What `data`
says of rows is in row_evidence.py; beside it there may be words for people under names that are no table's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, LargeBinary, bindparam, insert, select, update

from orchestrator.digest import canonical_json
from orchestrator.errors import RecordError
from orchestrator.record.database.database_clock import now
from orchestrator.record.ledger.event_rules import said_too_much
from orchestrator.record.ledger.fold_events import exact_moment
from orchestrator.record.ledger.merkle import Frontier, leaf_hash
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import storable

FORMAT = 1

# Kind -> what it says happened.
KINDS = {
    "job.recorded": "a job's name was used for the first time",
    "image.recorded": "an image was named for the first time",
    "input.recorded": "input data was named for the first time",
    "data.named": "data got a name, or its next version",
    "box.introduced": "a worker started, or its box changed",
    "run.adopted": "a run from before the ledger, as it was when the ledger began",
    "run.imported": "a run of another record was brought in",
    "run.submitted": "a run was queued",
    "run.launched": "an attempt was announced to an executor",
    "run.placed": "the executor gave the attempt a name of its own",
    "run.claimed": "an attempt began",
    "run.planned": "the container's settings were fixed",
    "run.taken_over": "another process carried the attempt on",
    "run.moved": "the attempt went a step on",
    "run.requeued": "the attempt was given up",
    "run.cancel_requested": "somebody asked for the run's end",
    "run.finished": "the result was committed",
    "run.noted": "somebody wrote a note",
    "run.tagged": "a tag was added or removed",
    "run.named": "a name was given or taken away",
    "run.archived": "the run was put away or back",
    "verdict.given": "a rerun was judged",
    "verdict.imported": "a verdict of another record was brought in",
    "verdict.adopted": "a verdict from before the ledger",
    "store.mended": "stored blobs had other bytes, and were put again from good ones",
    "store.swept": "blobs were removed from the store",
}
# What makes a new tree head due.
ENDS = ("run.finished", "run.imported", "verdict.given", "verdict.imported", "store.swept")

_table, _ledger = tables.event, tables.ledger
_GROWN = (
    update(_ledger)
    .where(_ledger.c.id == bindparam("ledger"))
    .values(size=bindparam("grown"), frontier=bindparam("roots", type_=LargeBinary))
)
_ADDED = insert(_table).values({column.name: bindparam(f"new_{column.name}") for column in _table.columns})
# Two statements in one: on a server each is a round trip, while all writers wait.
_BOTH = _ADDED.add_cte(_GROWN.returning(_ledger.c.size).cte("grown_ledger"))


def append(connection: Connection, kind: str, run: str | None, data: Mapping[str, Any]) -> int:
    """Write down what this transaction has changed: the event's index.

    `run`: the public id. `connection` is inside a writing transaction. ValueError for an unknown kind, rows
    of which it says nothing (event_rules.py), or data that are not JSON; RecordError for a damaged ledger.
    Then the whole change is refused.
    """
    if (problem := said_too_much(kind, data)) is not None:
        raise ValueError(problem)
    ledger, frontier = read_ledger(connection)
    at, by = now(connection), storable(connection.get_execution_options().get("by", "unknown"))
    index = frontier.size
    told = {"v": FORMAT, "index": index, "at": exact_moment(at), "by": by, "kind": kind, "run": run}
    document = canonical_json(told | {"data": data})
    frontier.append(leaf_hash(document))
    row = {"idx": index, "at": at, "made_by": by, "kind": kind, "run": run, "document": document}
    added = {f"new_{name}": value for name, value in row.items()}
    grown = {"ledger": ledger, "grown": frontier.size, "roots": frontier.to_bytes()}
    if connection.dialect.name == "postgresql":
        connection.execute(_BOTH, added | grown)
    else:
        connection.execute(_ADDED, added)
        connection.execute(_GROWN, grown)
    return index


def read_ledger(connection: Connection) -> tuple[str, Frontier]:
    """The ledger's id and how far it has grown. RecordError where its row is gone or makes no sense."""
    rows = connection.execute(select(_ledger)).all()
    try:
        [row] = rows
        if not re.fullmatch("[0-9a-f]{16}", row.id):  # it goes into what is signed, line by line
            raise ValueError(row.id)  # noqa: TRY301
        return row.id, Frontier.from_bytes(row.size, row.frontier)
    except (ValueError, TypeError, AttributeError) as error:
        raise RecordError(
            f"the ledger is damaged: {len(rows)} rows in the table `ledger`, or one that makes no sense",
            "`reprise audit` says what else is; restore the database from a copy",
        ) from error
