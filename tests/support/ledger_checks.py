"""What must be true of every ledger, recomputed from its bytes and from the rows."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, select

from orchestrator.digest import canonical_json
from orchestrator.record.ledger import read_ledger, row_evidence
from orchestrator.record.ledger.merkle import MerkleTree, leaf_hash
from orchestrator.record.ledger.snapshot import Snapshot, events_of_runs, shared_rows
from orchestrator.record.record import Record
from orchestrator.record.schema import tables
from orchestrator.structural_difference import differences


def told(record: Record) -> list[dict[str, Any]]:
    """The documents, in order, after looking at everything that can be wrong with them."""
    with record.reading() as connection:
        lines = list(Snapshot(connection).ledger_events())
        head = read_ledger.head(connection)
    assert [line.index for line in lines] == list(range(head.size))
    assert MerkleTree(leaf_hash(line.document) for line in lines).root == head.root
    found = []
    for line in lines:
        document = json.loads(line.document)
        assert canonical_json(document) == line.document
        assert document.keys() == {"v", "index", "at", "by", "kind", "run", "data"}
        assert document["v"] == 1
        copies = (line.index, row_evidence.exact_moment(line.at), line.by, line.kind, line.run)
        assert copies == tuple(document[name] for name in ("index", "at", "by", "kind", "run"))
        found.append(document)
    return found


def wrong(record: Record) -> list[tuple[str, Any, Any]]:
    """Where the rows are not what the events say: (`RUN.table.key.column`, said, found)."""
    told(record)
    with record.reading() as connection:
        return wrong_in(connection)


def wrong_in(connection: Connection) -> list[tuple[str, Any, Any]]:
    """The same; the tree is not looked at."""
    runs: dict[str, Any] = {}
    shared: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    for line in Snapshot(connection).ledger_events():
        row_evidence.fold(shared if line.run is None else runs.setdefault(line.run, {}), line.data)
    for _, _, value, _ in shared_rows(connection):
        row_evidence.fold(rows, value)
    found = every_run(connection)
    lost = [(f"{table} of {owner}", None, owner) for table, owner in row_evidence.orphans(connection)]
    return [*differences(runs, found), *differences(shared, rows), *lost]


def every_run(connection: Connection) -> dict[str, Any]:
    """Public id -> rows of the run."""
    return dict(row_evidence.of_runs(connection, 0, (1 << 31) - 1))


def wrong_of(record: Record, run: str) -> list[tuple[str, Any, Any]]:
    """The same of one run alone; the tree is not looked at."""
    said: dict[str, Any] = {}
    with record.reading() as connection:
        for line in events_of_runs(connection, [run])[run]:
            row_evidence.fold(said, line.data)
        key = connection.execute(select(tables.run.c.id).where(tables.run.c.public_id == run)).scalar_one()
        return list(differences(said, row_evidence.of_run(connection, key)))


def kinds(record: Record, run: str | None = None) -> list[str]:
    return [document["kind"] for document in told(record) if run is None or document["run"] == run]
