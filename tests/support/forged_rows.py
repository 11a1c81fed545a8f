"""Runs that nobody submitted: rows as somebody writes them who has the database account and nothing else."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, insert, make_url, select, update

from orchestrator.record.schema import tables
from orchestrator.run.attempt_model import State
from orchestrator.run.hardware import boot_id, box_id
from orchestrator.settings import Settings, load
from support.box import Box


def engine_of(place: Box | Settings) -> Engine:
    """The database of a record, with nothing of ours in between. No connection outlives its use."""
    url = make_url((load(place.environ) if isinstance(place, Box) else place).database_url)
    postgres = url.set(drivername="postgresql+psycopg")
    return create_engine(postgres if "postgres" in url.drivername else url, poolclass=NullPool)


def forged_run(
    box: Box, like: str, *, plan: str | None = None, state: str = "preparing", **columns: Any
) -> str:
    """A copy of the row of run `like` with other columns, claimed by this box; its id."""
    run = columns.pop("public_id", secrets.token_hex(8))
    table = tables.run
    with engine_of(box).begin() as connection:
        row = dict(connection.execute(select(table).where(table.c.public_id == like)).mappings().one())
        del row["id"]
        row |= dict.fromkeys(("started_at", "finished_at", "recorded_at", "seconds", "exit_code", "failure"))
        row |= {"public_id": run, "key": run, "state": state, "attempt": 1, "message": "", **columns}
        key = connection.execute(insert(table).values(**row).returning(table.c.id)).scalar_one()
        attempt = {"run_id": key, "number": 1, "box": box_id(box.settings), "boot": boot_id()}
        attempt |= {"executor": "x", "plan": plan, "claimed_at": row["created_at"]}
        connection.execute(insert(tables.attempt).values(**attempt))
        connection.execute(insert(tables.wanted).values(run_id=key, executor="local", box=None, attempts=3))
    return str(run)


def stored_plan(box: Box, run: str) -> Any:
    query = select(tables.attempt.c.plan).join(tables.run, tables.run.c.id == tables.attempt.c.run_id)
    with engine_of(box).connect() as connection:
        text = connection.execute(query.where(tables.run.c.public_id == run)).scalar_one()
    return json.loads(text)


def open_run_of(box: Box) -> str:
    """The one run that has begun and is not over, once there is one."""
    engine, end = engine_of(box), time.monotonic() + 120
    query = select(tables.run.c.public_id).where(tables.run.c.state == State.RUNNING)
    while time.monotonic() < end:
        with engine.connect() as connection:
            found = connection.execute(query).scalar()
        if found is not None:
            return str(found)
        time.sleep(0.05)
    raise AssertionError("no run begins")


def change_run(box: Box, run: str, **columns: Any) -> None:
    with engine_of(box).begin() as connection:
        connection.execute(update(tables.run).where(tables.run.c.public_id == run).values(**columns))
