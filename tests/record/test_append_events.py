"""The ledger: each change is told, in its own transaction, once; and the rows are what it says."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.event import listen
from support.ledger_checks import kinds, told, wrong
from support.processes import killed, together
from support.records import ONE, full_result, new_run
from support.tampered_world import a_life

from orchestrator.errors import RecordError
from orchestrator.launch.session import Session
from orchestrator.record.ledger import append_events, row_evidence
from orchestrator.record.ledger.read_ledger import EventFilter
from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import NewRun
from orchestrator.record.schema import tables
from orchestrator.run.attempt_model import (
    MetricPoint,
    Output,
    OutputStatus,
    Result,
    State,
)
from orchestrator.settings import Settings


def test_everything_that_happens_is_told(record: Record, settings: Settings) -> None:
    with Session(settings) as session:
        original, rerun = a_life(session)
    assert wrong(record) == []
    assert kinds(record, original) == [
        "run.submitted",
        "run.launched",
        "run.placed",
        "run.claimed",
        "run.requeued",
        "run.claimed",
        "run.planned",
        "run.taken_over",
        "run.moved",
        "run.moved",
        "run.finished",
        "run.noted",
        "run.tagged",
        "run.named",
    ]
    assert kinds(record, rerun) == [
        "run.submitted",
        "run.claimed",
        "run.cancel_requested",
        "run.finished",
        "verdict.given",
        "run.archived",
    ]
    shared = [kind for kind in kinds(record) if not kind.startswith(("run.", "verdict."))]
    assert shared == ["box.introduced", "job.recorded", "image.recorded", "input.recorded", "data.named"]
    assert all(document["by"].count("@") == 1 for document in told(record))
    assert set(kinds(record)) <= append_events.KINDS.keys()


def test_said_again_nothing_is_told_again(record: Record) -> None:
    """What a command does once more, because it does not know whether the first time went through."""
    new = new_run()
    for _ in range(2):
        record.submit(new)
    record.launch(new.id, 1, "slurm", "ada")
    record.launch(new.id, 1, "slurm", "ada")
    for _ in range(2):
        record.save_ref(new.id, 1, "job 17")
    record.claim(new.id, "box", "boot", "pid 1")
    for _ in range(2):
        record.save_plan(new.id, 1, "{}")
        record.take_over(new.id, 1, "pid 2")
        record.request_cancel(new.id)
        record.annotations.note(new.id, "once", "ada")
    record.boxes.see("box", "up")
    record.append_log(new.id, 1, 0, b"text")
    known = kinds(record, new.id)
    assert len(known) == len(set(known)) == 8
    assert wrong(record) == []


def test_what_is_refused_is_not_told(record: Record) -> None:
    run, _ = record.submit(new_run())
    before = record.ledger.head()
    with pytest.raises(RecordError):
        record.move(run, 0, State.RUNNING)
    with pytest.raises(RecordError):
        record.finish(run, 1, Result(state=State.LOST))
    with pytest.raises(ValueError, match="no kind"):
        record.ledger.add_event("run.invented", run, {})
    assert record.ledger.head() == before


@pytest.mark.parametrize("count", [row_evidence.LISTED, row_evidence.LISTED + 1, 3 * row_evidence.FETCHED])
def test_long_lists_are_told_by_their_digest(record: Record, count: int) -> None:
    # In an order that is not the names': "10" comes before "9".
    outputs = tuple(Output(path=f"{n}", status=OutputStatus.KEPT, size=n) for n in range(count))
    series = tuple(MetricPoint(name="loss", step=n, value=n) for n in range(count))
    packages = {f"p{n}": f"{n}" for n in range(count)}
    run, _ = record.submit(new_run())
    record.claim(run, "box", "boot", "pid 1")
    record.finish(run, 1, Result(state=State.SUCCEEDED, outputs=outputs, series=series, packages=packages))
    assert wrong(record) == []
    data = record.ledger.events(EventFilter(run=run))[-1].data
    assert data["package"]["rows"] == data["metric_point"]["rows"] == count
    assert isinstance(data["output"], list) is (count <= row_evidence.LISTED)


def test_a_plain_run_costs_less_than_4_kb(record: Record) -> None:
    run, _ = record.submit(new_run(params={"lr": 0.1, "epochs": 10, "batch": 64, "optimizer": "adam"}))
    record.claim(run, "0123456789abcdef", "0e8c5d3c-7a83-4d2e-9e49-5a1b5a6a7a10", "pid 12345")
    record.save_plan(run, 1, '{"plan": 1}' * 100)
    record.move(run, 1, State.RUNNING)
    record.move(run, 1, State.COLLECTING)
    record.finish(run, 1, full_result(packages={f"p{n}": "1" for n in range(60)}))
    assert sum(len(line.document) for line in record.ledger.events(EventFilter(run=run))) < 4096


# Every column


def columns() -> list[tuple[str, str]]:
    return [(table.name, column.name) for table in tables.METADATA.sorted_tables for column in table.columns]


def test_what_no_event_covers_is_there_and_has_a_reason() -> None:
    """That a change of any other column is found: tests/audit/test_tampering.py."""
    known = {f"{table}.{column}" for table, column in columns()} | {table for table, _ in columns()}
    assert row_evidence.NOT_COVERED.keys() <= known
    assert all(len(reason) > 20 for reason in row_evidence.NOT_COVERED.values())


# Many at once, and cut off in the middle


def submit_and_finish(
    queue: Any, barrier: Any, number: int, settings: Settings, news: list[list[NewRun]]
) -> None:
    barrier.wait()
    with open_record(settings) as record:
        for new in news[number]:
            record.submit(new)
            attempt = record.claim(new.id, f"box {number}", "boot", "pid 1")
            record.finish(new.id, attempt, Result(state=State.SUCCEEDED, metrics={"a": number}))
    queue.put(number)


def test_16_writers_at_once_make_one_ledger(settings: Settings) -> None:
    news = [[new_run(image=f"i{n}") for n in range(6)] for _ in range(16)]
    with open_record(settings):
        pass
    assert set(together(16, submit_and_finish, settings, news)) == set(range(16))
    with open_record(settings) as record:
        assert wrong(record) == []
        assert record.ledger.head().size == 16 * 6 * 3 + 6 + 1  # and six images, one job


def finish_and_die(settings: Settings, run: str, before: str) -> None:
    """Die as by kill -9 when the statement that begins so has run."""
    with open_record(settings) as record:

        def die(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.startswith(before) or (before == "ledger" and "UPDATE ledger " in statement):
                os.kill(os.getpid(), signal.SIGKILL)

        listen(record._database.engine, "after_cursor_execute", die)
        record.finish(run, 1, full_result())


@pytest.mark.parametrize("statement", ["UPDATE run ", "INSERT INTO output ", "ledger"])
def test_a_kill_leaves_rows_and_ledger_together(settings: Settings, statement: str) -> None:
    with open_record(settings) as record:
        run, _ = record.submit(new_run())
        record.claim(run, "box", "boot", "pid 1")
        before = record.ledger.head()
        killed(finish_and_die, settings, run, statement)
        assert record.ledger.head() == before
        assert record.state(run) is State.PREPARING
        assert wrong(record) == []
        record.finish(run, 1, full_result())
        assert record.ledger.head().size == before.size + 1
        assert wrong(record) == []


def test_a_damaged_ledger_takes_nothing_more(sqlite_settings: Settings) -> None:
    with open_record(sqlite_settings) as record:
        record.submit(new_run())
        with record._database.writing() as connection:
            connection.execute(update(tables.ledger).values(frontier=b"short"))
        new = new_run()
        with pytest.raises(RecordError, match="ledger is damaged"):
            record.submit(new)
        assert record.state(new.id) is None


# Questions


def test_events_are_found_by_run_kind_author_and_time(record: Record) -> None:
    record._database.by = "ada@alpha"
    first, _ = record.submit(new_run())
    record._database.by = "bob@alpha"
    second, _ = record.submit(new_run())
    record.claim(second, "box", "boot", "pid 1")
    record._database.by = "adam@beta"
    record.request_cancel(first)

    def found(**wanted: Any) -> list[tuple[str, str | None]]:
        return [(line.kind, line.run) for line in record.ledger.events(EventFilter(**wanted))]

    every = [
        ("job.recorded", None),
        ("image.recorded", None),
        ("run.submitted", first),
        ("run.submitted", second),
        ("run.claimed", second),
        ("run.cancel_requested", first),
    ]
    assert found() == every
    assert found(limit=2) == every[-2:]
    assert found(run=second) == every[3:5]
    assert found(run="nobody") == []
    assert found(by="ada") == found(by="ada@alpha") == every[:3]
    assert found(kinds=("run",)) == every[2:]
    assert found(kinds=("run.submitted", "job"), limit=2) == every[2:4]
    assert found(kinds=("run.submitted",), by="bob") == [every[3]]
    assert found(by="a") == found(kinds=("ru",)) == []
    moment = record.ledger.events(EventFilter())[4].at
    assert found(since=moment) == every[4:]
    assert found(since=moment, run=second) == [every[4]]
    assert found(since=moment + timedelta(days=1)) == []


def test_a_tree_head_is_due_after_an_end(record: Record) -> None:
    run, _ = record.submit(new_run())
    record.claim(run, "box", "boot", "pid 1")
    assert not record.ledger.head_due()
    record.finish(run, 1, Result(state=State.LOST))
    assert record.ledger.head_due()
    size = record.ledger.head().size
    kept = record.ledger.save_signed_head(size, "a note")
    assert record.ledger.save_signed_head(size, "another note") == kept == record.ledger.latest_signed_head()
    assert not record.ledger.head_due()
    record.annotations.note(run, "no end", "ada")
    assert not record.ledger.head_due()
    record.finish(record.submit(new_run())[0], 0, Result(state=State.CANCELLED), queued=True)
    assert record.ledger.head_due()
    with pytest.raises(RecordError, match="the ledger has"):
        record.ledger.save_signed_head(record.ledger.head().size + 1, "of a longer ledger")


def test_events_of_what_no_table_holds(record: Record) -> None:
    assert record.ledger.add_event("store.swept", None, {"removed": [ONE]}) == 0
    (line,) = record.ledger.events(EventFilter())
    assert line.data["removed"] == [ONE]
    assert wrong(record) == []
