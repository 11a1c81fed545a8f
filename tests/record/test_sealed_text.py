"""A box's seal on a run that it executed: it holds as long as no row of the run says anything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, DateTime, Float, Integer, Table, select, update
from support.forged_rows import engine_of
from support.records import full_result, new_run

from orchestrator.record.ledger.row_evidence import LISTS, NOT_COVERED
from orchestrator.record.record import Record
from orchestrator.record.runs.sealed_text import asks
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import Moment
from orchestrator.run.attempt_model import State
from orchestrator.run.box_seal import is_sealed, seal
from orchestrator.settings import Settings
from orchestrator.spec.source.source_tree import GitState

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
# One row in each table: the tests write one word into all rows of a table.
RESULT = full_result(metrics={"accuracy": 0.5})


@pytest.fixture
def run(record: Record, settings: Settings) -> str:
    git = GitState(commit="c0ffee", dirty=False, committed_at=MOMENT, author="a")
    made, _ = record.submit(new_run(params={"lr": 0.1}, git=git))
    record.claim(made, "box", "boot", "pid 1")
    record.finish(made, 1, RESULT, seal=partial(seal, settings))
    return made


def holds(record: Record, settings: Settings, run: str) -> bool:
    found = record.sealed(run)
    return found is not None and is_sealed(settings, *found)


def test_a_seal_holds_and_only_at_its_box(
    record: Record, settings: Settings, run: str, tmp_path: Path
) -> None:
    assert holds(record, settings, run)
    record.annotations.note(run, "look", "ada")
    record.annotations.tag(run, ["good"], "ada")
    assert holds(record, settings, run), "what people say later is not the box's"
    assert not holds(record, replace(settings, home=tmp_path / "another"), run)


def test_what_was_not_sealed_has_no_seal(record: Record) -> None:
    made, _ = record.submit(new_run())
    record.claim(made, "box", "boot", "pid 1")
    record.finish(made, 1, RESULT)
    assert record.sealed(made) is None


@pytest.mark.parametrize("column", ["config_digest", "base_name", "base_digest", "base_config_digest"])
def test_a_seal_is_of_the_image_as_it_was(record: Record, settings: Settings, run: str, column: str) -> None:
    with engine_of(settings).begin() as connection:
        connection.execute(update(tables.image).values({column: "other"}))
    assert not holds(record, settings, run)


def test_what_was_asked_is_what_was_read_before(record: Record, settings: Settings) -> None:
    """Every column that a submission fills, altered between the beginning and the end."""
    made, _ = record.submit(new_run(params={"lr": 0.1}))
    record.claim(made, "box", "boot", "pid 1")
    before = record.run_to_execute(made).asked
    record.request_cancel(made)
    record.move(made, 1, State.RUNNING)
    assert record.run_to_execute(made).asked == before, "the run's own course"
    engine, table = engine_of(settings), tables.run
    for column in ("program", "resources", "tolerance", "input_paths", "seed", "submitted_by", "created_at"):
        with engine.begin() as connection:
            row = connection.execute(select(table)).mappings().one()
            changed = other(table.c[column], row[column]) if column != "program" else row[column] + " "
            if column in ("resources", "tolerance", "input_paths"):
                changed = row[column] + " "
            connection.execute(update(table).values({column: changed}))
        assert record.run_to_execute(made).asked != before, column
        with engine.begin() as connection:
            connection.execute(update(table).values({column: row[column]}))
    with engine.begin() as connection:
        connection.execute(update(table).values(seed=77))
    record.finish(made, 1, RESULT, seal=lambda text: "code" if asks(text, before) else None)
    assert record.sealed(made) is None


def test_a_seal_is_of_one_run(record: Record, settings: Settings, run: str) -> None:
    """Taken over to another run, or with the run to another name, it proves nothing."""
    made, _ = record.submit(new_run(params={"lr": 0.1}))
    record.claim(made, "box", "boot", "pid 1")
    record.finish(made, 1, RESULT)
    table = tables.attempt
    with engine_of(settings).begin() as connection:
        code = connection.execute(select(table.c.seal).where(table.c.seal.is_not(None))).scalar_one()
        connection.execute(update(table).values(seal=code))
        connection.execute(update(tables.run).where(tables.run.c.public_id == run).values(public_id="f" * 16))
    assert not holds(record, settings, made)
    assert not holds(record, settings, "f" * 16)


def other(column: Any, value: Any) -> Any:
    """Another value of the column's kind."""
    kind = column.type
    if isinstance(kind, Boolean):
        return not value
    if isinstance(kind, Moment | DateTime):
        return datetime(2026, 5, 5, tzinfo=UTC)
    if isinstance(kind, Integer | Float):
        return 7 if value is None else value + 1
    if column.name == "type":  # of a parameter: a closed set of words
        return "str"
    enums = getattr(kind, "enum_class", None)
    if enums is not None:
        return next(item for item in enums if item != value)
    return "other"


# Later than the result, or of no meaning for it: a wish for the end, the mark of an import, the seal itself.
_FREE = {("run", "cancel_requested_at"), ("attempt", "seal"), ("attempt", "executor"), ("attempt", "boot")}
_FREE |= {("attempt", "plan"), ("attempt", "claimed_at"), ("run", "key")}


@pytest.mark.parametrize("table", [tables.run, tables.attempt, *LISTS], ids=lambda table: table.name)
def test_any_other_word_in_a_row_breaks_it(
    table: Table, record: Record, settings: Settings, run: str
) -> None:
    engine = engine_of(settings)
    owner = table.c.id if table.name == "run" else table.c.run_id
    with engine.connect() as connection:
        key = connection.execute(select(tables.run.c.id)).scalar_one()
        row = connection.execute(select(table).where(owner == key)).mappings().first()
    skipped = {"id", "run_id", "job_id", "image_id", "rerun_of"}
    for column in table.columns if row is not None else ():
        name = f"{table.name}.{column.name}"
        if column.name in skipped or name in NOT_COVERED or (table.name, column.name) in _FREE:
            continue
        with engine.begin() as connection:
            values = {column.name: other(column, row[column.name])}
            connection.execute(update(table).where(owner == key).values(**values))
        now = values["public_id"] if column.name == "public_id" else run
        assert not holds(record, settings, now), name
        with engine.begin() as connection:
            connection.execute(update(table).where(owner == key).values({column.name: row[column.name]}))
        assert holds(record, settings, run), name
