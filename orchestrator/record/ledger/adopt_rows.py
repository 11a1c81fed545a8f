"""The first events of a record that is older than the ledger: its rows as they are on that day.

What was altered before that day cannot be found.
"""

from __future__ import annotations

from sqlalchemy import Connection

from orchestrator.errors import RecordError
from orchestrator.record.ledger import append_events, row_evidence
from orchestrator.record.ledger.snapshot import shared_rows

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
    for table, key, value, why in shared_rows(connection):
        if value is None:
            raise RecordError(f"the row {key} of the table {table}: {why}", "mend it, then try again")
        append_events.append(connection, _KINDS[table], None, value)
    for run, value in row_evidence.every_run(connection):
        verdicts = value.pop("verdict", {})
        append_events.append(connection, "run.adopted", run, value)
        for key, row in verdicts.items():
            append_events.append(connection, "verdict.adopted", run, {"verdict": {key: row}})
