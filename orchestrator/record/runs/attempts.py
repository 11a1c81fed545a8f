"""Attempts as executors launch them and give them up: written around the claim, by the same attempt number.

Every function takes a connection inside a writing transaction (database.py), but for those that say so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from orchestrator.errors import FencedError
from orchestrator.record.database.database_clock import now, seconds_since
from orchestrator.record.ledger import append_events, row_evidence
from orchestrator.record.run_record import OWN_BOX, Launched, Queued, Wanted
from orchestrator.record.runs.finish_run import drop_log, finish
from orchestrator.record.runs.run_states import claim, hold, where_it_stands
from orchestrator.record.runs.unreadable_rows import readable
from orchestrator.record.schema import tables
from orchestrator.run.attempt_model import Result, State
from orchestrator.spec.jobfile.job_spec import Resources

LIVE = 2 << 20  # bytes of a live log that are read at once; log_relay.py writes half of it
LIVE_PIECE = 1 << 16  # bytes of one piece
LIVE_DOCUMENT = 1 << 19  # characters of what is said of a running attempt
LIVE_PAGE = 16  # pieces that are read at a time
_FARTHEST = 1 << 62
PAGE = 20  # queued runs that are read at a time: mostly the first one fits


def wanted_of(row: Row[Any]) -> Wanted:
    """From the joined columns of `wanted`; runs that are older than the table have none."""
    if row.wanted_executor is None:
        return Wanted()
    return Wanted(**{name: row._mapping[f"wanted_{name}"] for name in Wanted.model_fields})


def wanted_columns() -> tuple[Any, ...]:
    return tuple(tables.wanted.c[name].label(f"wanted_{name}") for name in Wanted.model_fields)


def launch(connection: Connection, run: str, number: int, executor: str, by: str) -> tuple[Launched, bool]:
    """Announce the next attempt of a queued run: (the new row, True), or (the row that is there, False).

    FencedError where the run is past it.
    """
    key, current, state = where_it_stands(connection, run)
    if state is not State.QUEUED or current != number - 1:
        raise FencedError(f"attempt {number} of run {run} cannot be launched: {current} is {state.value}")
    there = _launched(connection, run, key, number)
    if there is not None:
        return there, False
    row = {
        "run_id": key,
        "number": number,
        "executor": executor,
        "launched_by": by,
        "launched_at": now(connection),
    }
    connection.execute(insert(tables.launch), [row])
    held = {str(number): row_evidence.row_value(tables.launch, row)}
    append_events.append(connection, "run.launched", run, {"launch": held})
    fresh = _launched(connection, run, key, number)
    assert fresh is not None  # noqa: S101  (for mypy: inserted just now)
    return fresh, True


def save_ref(connection: Connection, run: str, number: int, ref: str) -> None:
    """Keep what the executor calls an attempt. The launcher may be late, so the run may be in any state."""
    key, _, _ = where_it_stands(connection, run)
    table = tables.launch
    mine = (table.c.run_id == key) & (table.c.number == number)
    changed = update(table).where(mine, table.c.ref.is_distinct_from(ref)).values(ref=ref)
    if connection.execute(changed).rowcount:
        held = {str(number): row_evidence.row_value(table, {"ref": ref})}
        append_events.append(connection, "run.placed", run, {"launch": held})


def launched(connection: Connection, run: str) -> list[Launched]:
    """Attempts that were launched or given up, oldest first. Reads only."""
    key, _, _ = where_it_stands(connection, run)
    table = tables.launch
    rows = connection.execute(select(table).where(table.c.run_id == key).order_by(table.c.number))
    return list(readable(rows, partial(_launch_line, connection, run), lambda _: run))


def _launched(connection: Connection, run: str, key: int, number: int) -> Launched | None:
    table = tables.launch
    row = connection.execute(
        select(table).where(table.c.run_id == key, table.c.number == number)
    ).one_or_none()
    return None if row is None else _launch_line(connection, run, row)


def _launch_line(connection: Connection, run: str, row: Row[Any]) -> Launched:
    fields = row._asdict()
    del fields["run_id"]
    return Launched(run=run, age=seconds_since(connection, row.launched_at), **fields)


def requeue(connection: Connection, run: str, number: int, reason: str) -> State:
    """Give attempt `number` up. The run is queued again; lost after the last attempt; cancelled if asked.

    An attempt that was launched and died before its claim uses up its number, too, so that it cannot come
    back later. FencedError where another attempt owns the run, or it is final.
    """
    key, current, state = where_it_stands(connection, run)
    never_claimed = state is State.QUEUED and current == number - 1
    if not never_claimed:
        hold(connection, run, number)
    held = {str(number): row_evidence.row_value(tables.launch, _end_launch(connection, key, number, reason))}
    drop_log(connection, key)
    table = tables.run
    connection.execute(update(table).where(table.c.id == key).values(state=State.QUEUED, attempt=number))
    back = {"state": State.QUEUED.value, "attempt": number}
    append_events.append(connection, "run.requeued", run, {"run": back, "launch": held})
    cancelled, allowed = _limits(connection, key)
    if cancelled:
        finish(
            connection,
            run,
            number,
            Result(state=State.CANCELLED, message=f"cancelled; {reason}"),
            queued=True,
        )
        return State.CANCELLED
    if number >= allowed:
        text = f"attempt {number} of {allowed}: {reason}"
        finish(connection, run, number, Result(state=State.LOST, message=text), queued=True)
        return State.LOST
    return State.QUEUED


def _end_launch(connection: Connection, key: int, number: int, reason: str) -> dict[str, Any]:
    """Write why the attempt ended: the new row, or the changed columns where it had one."""
    table = tables.launch
    ended: dict[str, Any] = {"ended": reason, "ended_at": now(connection)}
    changed = connection.execute(
        update(table).where(table.c.run_id == key, table.c.number == number).values(**ended)
    ).rowcount
    if changed:
        return ended
    wanted = connection.execute(
        select(tables.wanted.c.executor).where(tables.wanted.c.run_id == key)
    ).scalar()
    row = {"run_id": key, "number": number, "executor": wanted or OWN_BOX, **ended}
    row |= {"launched_by": "", "launched_at": ended["ended_at"]}
    connection.execute(insert(table), [row])
    return row


def _limits(connection: Connection, key: int) -> tuple[bool, int]:
    """Whether someone asked the run to end, and how many attempts it may have."""
    query = (
        select(tables.run.c.cancel_requested_at, *wanted_columns())
        .outerjoin(tables.wanted, tables.wanted.c.run_id == tables.run.c.id)
        .where(tables.run.c.id == key)
    )
    row = connection.execute(query).one()
    return row.cancel_requested_at is not None, wanted_of(row).attempts


def waiting(connection: Connection, executor: str) -> Iterator[Queued]:
    """Runs that wait for an executor of this kind, oldest first, read as they are asked for. Reads only."""
    run, wanted = tables.run, tables.wanted
    query = (
        select(
            run.c.id,
            run.c.created_at,
            run.c.public_id,
            run.c.attempt,
            run.c.resources,
            run.c.program,
            run.c.input_paths,
            run.c.cancel_requested_at,
            *wanted_columns(),
        )
        .join(wanted, wanted.c.run_id == run.c.id)
        .where(run.c.state == State.QUEUED, wanted.c.executor == executor)
        # The order of the index of state and moment: by id, Postgres would walk through all runs.
        .order_by(run.c.created_at, run.c.id)
        .limit(PAGE)
    )
    page = query
    while rows := connection.execute(page).all():
        moment, last = rows[-1].created_at, rows[-1].id
        later = (run.c.created_at > moment) | ((run.c.created_at == moment) & (run.c.id > last))
        page = query.where(run.c.created_at >= moment, later)
        yield from readable(rows, _waiting, lambda row: row.public_id)


def _waiting(row: Row[Any]) -> Queued:
    return queued_of(row, cancelled=row.cancel_requested_at is not None)


def first_waiting(connection: Connection, executor: str, fits: Callable[[Queued], bool]) -> Queued | None:
    """Reads only."""
    return next((item for item in waiting(connection, executor) if fits(item)), None)


def queued_of(row: Row[Any], *, cancelled: bool = False) -> Queued:
    program = json.loads(row.program)
    return Queued(
        id=row.public_id,
        attempt=row.attempt,
        gpus=int(program.get("gpus", 0)),
        resources=Resources.model_validate(json.loads(row.resources)),
        wanted=wanted_of(row),
        cancel_requested=cancelled,
        inputs=program.get("inputs", {}),
        input_paths=json.loads(row.input_paths),
    )


def take(
    connection: Connection,
    kind: str,
    fits: Callable[[Queued], bool],
    box: str,
    boot: str,
    executor: str,
) -> tuple[Queued, int] | None:
    """Claim the oldest queued run that fits, with its attempt's number; None where none does.

    Looking and claiming are one transaction: workers that look at the same time get different runs.
    """
    item = first_waiting(connection, kind, fits)
    if item is None:
        return None
    return item, claim(connection, item.id, box, boot, executor, item.attempt + 1)


def append_log(connection: Connection, run: str, number: int, start: int, data: bytes) -> None:
    """Add a piece to the live log. FencedError for an attempt that is over."""
    key = hold(connection, run, number)
    row = {"run_id": key, "number": number, "start": start, "data": data}
    connection.execute(insert(tables.log_chunk), [row])


def put_live(connection: Connection, run: str, number: int, document: str) -> None:
    """Say how far an attempt is, in place of what was said before. FencedError for one that is over."""
    key, table = hold(connection, run, number), tables.live_state
    row = {"document": document, "at": now(connection)}
    mine = (table.c.run_id == key) & (table.c.number == number)
    if not connection.execute(update(table).where(mine).values(**row)).rowcount:
        connection.execute(insert(table), [{"run_id": key, "number": number, **row}])


def live_state(connection: Connection, run: str, number: int) -> str | None:
    """What was last said of an attempt that runs on another box, LIVE_DOCUMENT of it. Reads only."""
    table = tables.live_state
    query = (
        select(func.substr(table.c.document, 1, LIVE_DOCUMENT))
        .join(tables.run, tables.run.c.id == table.c.run_id)
        .where(tables.run.c.public_id == run, table.c.number == number)
    )
    found = connection.execute(query).scalar()
    return None if found is None else str(found)


def live_log(connection: Connection, run: str, number: int, start: int) -> list[tuple[int, bytes]]:
    """Pieces of an attempt's live log from byte `start` on. Reads only.

    About LIVE bytes at once, LIVE_PIECE of each piece: others may have written longer rows.
    """
    table = tables.log_chunk
    query = (
        select(table.c.start, func.substr(table.c.data, 1, LIVE_PIECE).label("data"))
        .join(tables.run, tables.run.c.id == table.c.run_id)
        .where(tables.run.c.public_id == run, table.c.number == number, table.c.start < _FARTHEST)
        .order_by(table.c.start)
        .limit(LIVE_PAGE)
    )
    found: list[tuple[int, bytes]] = []
    size, last = 0, start - 1
    while size < LIVE and (rows := connection.execute(query.where(table.c.start > last)).all()):
        found += [(row.start, row.data) for row in rows]
        size += sum(len(row.data) for row in rows)
        last = rows[-1].start
    return found
