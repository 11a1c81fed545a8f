"""The life of a run as guarded writes: each names the attempt it believes in, and a stale one is refused.

Every function takes a connection inside a writing transaction (database.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any, NoReturn

from sqlalchemy import Connection, Row, Select, Table, delete, insert, or_, select, true, update

from orchestrator.errors import FencedError, RecordError, UsageError
from orchestrator.record.database.database_clock import now
from orchestrator.record.ledger import append_events, row_evidence
from orchestrator.record.run_record import ImageFacts, NewRun
from orchestrator.record.runs.field_tables import submitted_rows
from orchestrator.record.schema import tables
from orchestrator.record.schema.stored_values import columns_of
from orchestrator.run.attempt_model import Result, State
from orchestrator.spec.inputs import InputData

BATCH = 5_000  # rows of one statement

# State -> the states that it may be entered from. Only finish_run.py enters final ones.
_BEFORE = {State.RUNNING: State.PREPARING, State.COLLECTING: State.RUNNING}


def submit(connection: Connection, new: NewRun, *, quiet: bool = False) -> tuple[str, bool]:
    """Queue a run: (its id, True), or (the id of the run that has this key already, False).

    UsageError where that is a run of another image. `quiet`: the caller writes the event.
    """
    run = tables.run
    of_key = select(run.c.public_id, tables.image.c.digest).where(run.c.key == new.key)
    known = connection.execute(of_key.join(tables.image, tables.image.c.id == run.c.image_id)).one_or_none()
    if known is not None:
        if known.digest != new.image:
            raise UsageError(
                f"the key {new.key!r} is that of run {known.public_id}, of another image: {known.digest}",
                f"this one is {new.image}: use another key for another experiment",
            )
        # Ids are random, so the same id is this submission, whose commit was cut off.
        return str(known.public_id), known.public_id == new.id
    moment = now(connection)
    program = new.program
    row = {
        "public_id": new.id,
        "key": new.key,
        "job_id": _job(connection, program.name, moment),
        "image_id": _image(connection, new.image_facts, moment),
        "rerun_of": key_of(connection, new.rerun_of) if new.rerun_of else None,
        "seed": program.seed,
        "attempt": 0,
        "created_at": moment,
        **columns_of(run, new, tables.SUBMITTED),
        **columns_of(run, Result(state=State.QUEUED), tables.ENDED),
    }
    key = inserted(connection, run, row)
    lists = list(submitted_rows(key, new))
    for table, rows in lists:
        insert_rows(connection, table, rows)
    for data in new.inputs:
        record_input_data(connection, data, seen=not quiet)
    if not quiet:
        names = {"id": key, "job": program.name, "image": new.image, "original": new.rerun_of}
        data_of_run = {"run": row_evidence.run_value(row | names), **row_evidence.lists_value(lists)}
        append_events.append(connection, "run.submitted", new.id, data_of_run)
    return new.id, True


def _job(connection: Connection, name: str, moment: datetime) -> int:
    job = tables.job
    known = connection.execute(select(job.c.id).where(job.c.name == name)).scalar()
    if known:
        return int(known)
    row = {"name": name, "created_at": moment}
    key = inserted(connection, job, row)
    record_shared(connection, "job.recorded", job, key, row)
    return key


def record_shared(
    connection: Connection, kind: str, table: Table, key: Any, row: dict[str, Any], **lists: Any
) -> None:
    """Append the event of a row that runs share, and of the lists that belong to it."""
    data = {table.name: {str(key): row_evidence.row_value(table, row)}}
    data |= {name: {str(key): value} for name, value in lists.items() if value is not None}
    append_events.append(connection, kind, None, data)


def _image(connection: Connection, facts: ImageFacts, moment: datetime) -> int:
    image = tables.image
    known = connection.execute(select(image.c.id).where(image.c.digest == facts.digest)).scalar()
    if known:
        return int(known)
    row = {
        "digest": facts.digest,
        "config_digest": facts.config_digest,
        "base_name": facts.base.name,
        "base_digest": facts.base.digest,
        "base_config_digest": facts.base.config_digest,
        "created_at": moment,
    }
    key = inserted(connection, image, row)
    layers = [
        {"image_id": key, "position": position, **columns_of(tables.image_layer, layer)}
        for position, layer in enumerate(facts.layers)
    ]
    insert_rows(connection, tables.image_layer, layers)
    held = row_evidence.rows_value(tables.image_layer, layers)
    record_shared(connection, "image.recorded", image, key, row, image_layer=held)
    return key


def record_input_data(connection: Connection, data: InputData, *, seen: bool = True) -> None:
    """Written once per digest, as it stands for the same files.

    `seen`: somebody hashed the bytes here. That puts right what a bundle said of them, which may be wrong.
    """
    table, listed = tables.input_data, tables.input_file
    row = {"digest": data.digest, "folder": data.folder, "files": data.count, "size": data.size}
    there = connection.execute(select(table).where(table.c.digest == data.digest)).one_or_none()
    if there is not None:
        files = select(listed.c.position).where(listed.c.folder == data.digest)
        lacking = data.files and connection.execute(files).first() is None
        if not seen or (there._asdict() == row and not lacking):
            return
        connection.execute(delete(listed).where(listed.c.folder == data.digest))
        connection.execute(delete(table).where(table.c.digest == data.digest))
    insert_rows(connection, table, [row])
    rows = [
        {"folder": data.digest, "position": position, **columns_of(tables.input_file, file)}
        for position, file in enumerate(data.files)
    ]
    insert_rows(connection, tables.input_file, rows)
    held = row_evidence.rows_value(tables.input_file, rows)
    record_shared(connection, "input.recorded", table, data.digest, row, input_file=held)


def claim(
    connection: Connection, run: str, box: str, boot: str, executor: str, only: int | None = None
) -> int:
    """queued -> preparing under the next attempt number, which must be `only` where that is given.

    FencedError if somebody else was first, or `only` is not the next one.
    """
    table = tables.run
    next_one = true() if only is None else table.c.attempt == only - 1
    row = connection.execute(
        update(table)
        .where(table.c.public_id == run, table.c.state == State.QUEUED, next_one)
        .values(state=State.PREPARING, attempt=table.c.attempt + 1)
        .returning(table.c.id, table.c.attempt)
    ).one_or_none()
    if row is None:
        _, number, state = where_it_stands(connection, run)
        if only is not None:
            _fenced(run, only, number, state)
        raise FencedError(f"run {run} is not queued any more: attempt {number} is {state.value}")
    number = int(row.attempt)
    values = {"box": box, "boot": boot, "executor": executor, "claimed_at": now(connection)}
    insert_rows(connection, tables.attempt, [{"run_id": row.id, "number": number, **values}])
    held = {str(number): row_evidence.row_value(tables.attempt, values)}
    moved = {"state": State.PREPARING.value, "attempt": number}
    append_events.append(connection, "run.claimed", run, {"run": moved, "attempt": held})
    return number


def take_over(connection: Connection, run: str, number: int, executor: str) -> None:
    """Another process carries the same attempt on."""
    _update_attempt(connection, "run.taken_over", run, number, executor=executor)


def save_plan(connection: Connection, run: str, number: int, plan: str) -> None:
    _update_attempt(connection, "run.planned", run, number, plan=plan)


def _update_attempt(connection: Connection, kind: str, run: str, number: int, **values: str) -> None:
    """Without an event if the values are there already, as after a commit whose answer was lost."""
    table = tables.attempt
    key = hold(connection, run, number)
    other = or_(*(table.c[name].is_distinct_from(value) for name, value in values.items()))
    changed = update(table).where(table.c.run_id == key, table.c.number == number, other).values(**values)
    if connection.execute(changed).rowcount:
        held = {str(number): row_evidence.row_value(table, values)}
        append_events.append(connection, kind, run, {"attempt": held})


def move(connection: Connection, run: str, number: int, state: State) -> None:
    """preparing -> running -> collecting. RecordError for any other step, FencedError for a stale attempt."""
    table = tables.run
    before = _BEFORE.get(state)
    changed = connection.execute(
        update(table)
        .where(table.c.public_id == run, table.c.attempt == number, table.c.state == before)
        .values(state=state)
    ).rowcount
    if changed != 1:
        hold(connection, run, number)
        _, _, found = where_it_stands(connection, run)
        raise RecordError(f"run {run} cannot go from {found.value} to {state.value}")
    append_events.append(connection, "run.moved", run, {"run": {"state": state.value}})


def request_cancel(connection: Connection, run: str) -> State:
    """Ask an open run to end, once: the run's state."""
    table = tables.run
    key, _, state = where_it_stands(connection, run)
    if not state.final:
        values = {"cancel_requested_at": now(connection)}
        changed = connection.execute(
            update(table).where(table.c.id == key, table.c.cancel_requested_at.is_(None)).values(**values)
        ).rowcount
        if changed:
            asked = {"run": row_evidence.row_value(table, values)}
            append_events.append(connection, "run.cancel_requested", run, asked)
    return state


def add_verdict(
    connection: Connection, run: str, original: str, outcome: str, text: str, box: str | None, by: str
) -> None:
    row = {"outcome": outcome, "document": text, "box": box, "judged_by": by, "created_at": now(connection)}
    write_verdict(connection, "verdict.given", run, original, row)


def write_verdict(
    connection: Connection, kind: str, run: str, original: str, columns: dict[str, Any]
) -> None:
    """A row over two runs, and its event."""
    keys = {"run_id": key_of(connection, run), "original_id": key_of(connection, original)}
    row = keys | columns
    key = inserted(connection, tables.verdict, row)
    held = {str(key): row_evidence.verdict_value(row | {"original": original})}
    append_events.append(connection, kind, run, {"verdict": held})


def hold(connection: Connection, run: str, number: int, *, queued: bool = False) -> int:
    """The key of an open run whose current attempt is this one; FencedError for any other.

    No attempt holds a queued run: its last one, if any, was given up. With `queued`, the run must be queued.
    """
    key, current, state = where_it_stands(connection, run)
    if state.final or current != number or (state is State.QUEUED) is not queued:
        _fenced(run, number, current, state)
    return key


def key_of(connection: Connection, run: str) -> int:
    return where_it_stands(connection, run)[0]


def where_it_stands(connection: Connection, run: str) -> tuple[int, int, State]:
    table = tables.run
    query = select(table.c.id, table.c.attempt, table.c.state).where(table.c.public_id == run)
    row = row_about(connection, run, query)
    return row.id, row.attempt, row.state


def row_about(connection: Connection, run: str, query: Select[Any]) -> Row[Any]:
    """The one row that a query finds for a run. UsageError for an unknown run."""
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UsageError(f"no run {run} is recorded", "`reprise history` lists the runs")
    return row


def _fenced(run: str, number: int, current: int, state: State) -> NoReturn:
    raise FencedError(
        f"attempt {number} of run {run} may write nothing more: attempt {current} is {state.value}",
        "another process has taken the run over or finished it; `reprise show` prints what it recorded",
    )


def insert_rows(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """In bulk, BATCH at a time: a million points take little memory."""
    passing = iter(rows)
    while batch := list(islice(passing, BATCH)):
        connection.execute(insert(table), batch)


def inserted(connection: Connection, table: Table, row: dict[str, Any]) -> int:
    """The integer key that the database gave to the new row."""
    result: Any = connection.execute(insert(table).values(**row))
    return int(result.inserted_primary_key[0])
