"""The life of a run as guarded writes: each names the attempt it believes in, and a stale one is refused.

Every function takes a connection inside a writing transaction (connect.py).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NoReturn

from sqlalchemy import Connection, Table, insert, select, true, update

from orchestrator.errors import FencedError, RecordError, UsageError
from orchestrator.record import tables
from orchestrator.record.columns import document, scalar_columns
from orchestrator.record.model import ImageFacts, NewRun
from orchestrator.run.model import State
from orchestrator.spec.tree import GitState

OPEN = tuple(state for state in State if not state.final)

# State -> the states that it may be entered from. Final ones are entered by `results.finish` only.
_BEFORE = {State.RUNNING: State.PREPARING, State.COLLECTING: State.RUNNING}


def now() -> datetime:
    return datetime.now(UTC)


def submit(connection: Connection, new: NewRun) -> tuple[str, bool]:
    """Queue a run: (its id, True), or (the id of the run that has this key already, False)."""
    run = tables.run
    known = connection.execute(select(run.c.public_id).where(run.c.key == new.key)).scalar()
    if known is not None:
        return str(known), known == new.id  # ids are random: it is this submission, whose commit was cut off
    moment = now()
    program = new.program
    row = insert(run).values(
        public_id=new.id,
        key=new.key,
        job_id=_job(connection, program.name, moment),
        image_id=_image(connection, new.image, moment),
        rerun_of=key_of(connection, new.rerun_of) if new.rerun_of else None,
        reference=new.reference,
        description=new.description,
        submitted_by=new.submitted_by,
        seed=program.seed,
        program=document(program.model_dump(mode="json")),
        resources=document(new.resources.model_dump(mode="json")),
        tolerance=document(new.tolerance.model_dump(mode="json")),
        input_paths=document(new.input_paths),
        state=State.QUEUED,
        attempt=0,
        created_at=moment,
        message="",
        oom_killed=False,
        reports_missing=False,
    )
    key = _inserted(connection, row)
    params = [
        {"run_id": key, "name": name, **scalar_columns(value)} for name, value in program.params.items()
    ]
    insert_rows(connection, tables.param, params)
    insert_rows(connection, tables.wanted, [{"run_id": key, **new.wanted.model_dump()}])
    if new.git is not None:
        insert_rows(connection, tables.git_state, [_git_row(key, new.git)])
    return new.id, True


def _job(connection: Connection, name: str, moment: datetime) -> int:
    job = tables.job
    known = connection.execute(select(job.c.id).where(job.c.name == name)).scalar()
    return int(known) if known else _inserted(connection, insert(job).values(name=name, created_at=moment))


def _image(connection: Connection, facts: ImageFacts, moment: datetime) -> int:
    image = tables.image
    known = connection.execute(select(image.c.id).where(image.c.digest == facts.digest)).scalar()
    if known:
        return int(known)
    row = insert(image).values(
        digest=facts.digest,
        config_digest=facts.config_digest,
        base_name=facts.base.name,
        base_digest=facts.base.digest,
        base_config_digest=facts.base.config_digest,
        created_at=moment,
    )
    key = _inserted(connection, row)
    layers = [
        {"image_id": key, "position": position, **layer.model_dump(exclude={"path"})}
        for position, layer in enumerate(facts.layers)
    ]
    insert_rows(connection, tables.image_layer, layers)
    return key


def _git_row(key: int, git: GitState) -> dict[str, Any]:
    """The patch's bytes are a blob; the row has its digest."""
    return {"run_id": key, **git.model_dump(exclude={"patch"})}


def claim(
    connection: Connection, run: str, box: str, boot: str, executor: str, only: int | None = None
) -> int:
    """queued -> preparing under the next attempt number, or under none but `only`.

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
    values = {"box": box, "boot": boot, "executor": executor, "claimed_at": now()}
    insert_rows(connection, tables.attempt, [{"run_id": row.id, "number": number, **values}])
    return number


def take_over(connection: Connection, run: str, number: int, executor: str) -> None:
    """Another process carries the same attempt on."""
    _update_attempt(connection, run, number, executor=executor)


def save_plan(connection: Connection, run: str, number: int, plan: str) -> None:
    _update_attempt(connection, run, number, plan=plan)


def _update_attempt(connection: Connection, run: str, number: int, **values: str) -> None:
    table = tables.attempt
    key = hold(connection, run, number)
    connection.execute(update(table).where(table.c.run_id == key, table.c.number == number).values(**values))


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


def request_cancel(connection: Connection, run: str) -> State:
    """Ask for the end of an open run, once; the state in which the run is."""
    table = tables.run
    key, _, state = where_it_stands(connection, run)
    if not state.final:
        connection.execute(
            update(table)
            .where(table.c.id == key, table.c.cancel_requested_at.is_(None))
            .values(cancel_requested_at=now())
        )
    return state


def add_verdict(
    connection: Connection, run: str, original: str, outcome: str, text: str, box: str | None, by: str
) -> None:
    row = {
        "run_id": key_of(connection, run),
        "original_id": key_of(connection, original),
        "outcome": outcome,
        "document": text,
        "box": box,
        "judged_by": by,
        "created_at": now(),
    }
    insert_rows(connection, tables.verdict, [row])


def hold(connection: Connection, run: str, number: int, *, queued: bool = False) -> int:
    """The key of an open run whose current attempt is this one; FencedError for any other.

    Nobody holds a queued run: its last attempt, if it had one, was given up. `queued` asks for just that.
    """
    key, current, state = where_it_stands(connection, run)
    if state.final or current != number or (state is State.QUEUED) is not queued:
        _fenced(run, number, current, state)
    return key


def key_of(connection: Connection, run: str) -> int:
    return where_it_stands(connection, run)[0]


def where_it_stands(connection: Connection, run: str) -> tuple[int, int, State]:
    table = tables.run
    row = connection.execute(
        select(table.c.id, table.c.attempt, table.c.state).where(table.c.public_id == run)
    ).one_or_none()
    if row is None:
        raise UsageError(f"no run {run} is recorded", "`reprise history` lists the runs")
    return row.id, row.attempt, row.state


def _fenced(run: str, number: int, current: int, state: State) -> NoReturn:
    raise FencedError(
        f"attempt {number} of run {run} may write nothing more: attempt {current} is {state.value}",
        "another process has taken the run over or finished it; `reprise show` prints what it recorded",
    )


def insert_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """In bulk; an empty list would insert one row of defaults."""
    if rows:
        connection.execute(insert(table), rows)


def _inserted(connection: Connection, statement: Any) -> int:
    """The integer key that the database gave to the new row."""
    result: Any = connection.execute(statement)
    return int(result.inserted_primary_key[0])
