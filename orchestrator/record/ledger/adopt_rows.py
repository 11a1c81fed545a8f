"""The first events of a record that is older than the ledger: its rows as they are on that day.

What was altered before that day, nobody can tell.
"""

from __future__ import annotations

from sqlalchemy import Connection

from orchestrator.record.ledger import append_events, row_evidence

_KINDS = {
    "job": "job.recorded",
    "image": "image.recorded",
    "input_data": "input.recorded",
    "box": "box.introduced",
}


def adopt(connection: Connection) -> None:
    """One event per run, verdict, job, image, input and box, in one writing transaction and little memory."""
    if append_events.read_ledger(connection)[1].size:
        return
    for shared in row_evidence.every_shared(connection):
        kind = next(kind for name, kind in _KINDS.items() if name in shared)
        append_events.append(connection, kind, None, shared)
    for run, value in row_evidence.every_run(connection):
        verdicts = value.pop("verdict", {})
        append_events.append(connection, "run.adopted", run, value)
        for key, row in verdicts.items():
            append_events.append(connection, "verdict.adopted", run, {"verdict": {key: row}})
