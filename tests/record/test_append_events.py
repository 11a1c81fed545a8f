"""The ledger: each change is told, in its own transaction, once; and the rows are what it says."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.event import listen
from support.ledger_checks import kinds, told, wrong
from support.records import BOX, ONE, full_result

from orchestrator.errors import RecordError
from orchestrator.record.ledger import append_events, row_evidence
from orchestrator.record.ledger.read_ledger import EventFilter
from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import NewRun, Wanted
from orchestrator.record.schema import tables
from orchestrator.run.attempt_model import (
    MetricPoint,
    Output,
    OutputStatus,
    Result,
    State,
)
from orchestrator.settings import Settings
from orchestrator.spec.inputs import InputData
from orchestrator.spec.source.source_tree import GitState

fork = multiprocessing.get_context("fork")
New = Callable[..., NewRun]


class Judgement:
    """A verdict, as far as the record looks at it."""

    outcome = "identical"

    def __init__(self, rerun: str, original: str) -> None:
        self.rerun, self.original = rerun, original

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        return {"mode": mode, "rerun": self.rerun, "outcome": self.outcome}


def a_life(record: Record, new_run: New) -> tuple[str, str]:
    """Everything that can happen to a run, with a row in every table; (the original, the rerun)."""
    record.boxes.introduce(BOX)
    git = GitState(
        remote="origin",
        commit="c0ffee",
        branch="main",
        author="Ada",
        committed_at=datetime(2026, 1, 1, tzinfo=UTC),
        subject="Train",
        dirty=True,
        patch_digest=ONE,
    )
    new = new_run(
        params={"lr": 0.1, "name": "x"},
        git=git,
        description="a try",
        wanted=Wanted(executor="slurm", box="b0", not_box="b1"),
        input_paths={"data": "/data"},
    )
    program = new.program.model_copy(update={"inputs": {"data": ONE}})
    files = [{"path": "a.csv", "digest": ONE, "size": 3}]
    inputs = InputData.model_validate({"digest": ONE, "folder": True, "count": 1, "size": 3, "files": files})
    original, _ = record.submit(new.model_copy(update={"program": program, "inputs": (inputs,)}))
    record.launch(original, 1, "slurm", "ada")
    record.save_ref(original, 1, "job 17")
    assert record.claim(original, "b0", "boot", "pid 1", 1) == 1
    record.requeue(original, 1, "its node died")
    assert record.claim(original, "b0", "boot", "pid 2") == 2
    record.save_plan(original, 2, '{"plan": 1}')
    record.take_over(original, 2, "pid 3")
    record.move(original, 2, State.RUNNING)
    record.request_cancel(original)
    record.move(original, 2, State.COLLECTING)
    record.finish(original, 2, full_result(state=State.FAILED, failure="job"))
    rerun, _ = record.submit(new_run(rerun_of=original))
    record.claim(rerun, "b0", "boot", "pid 4")
    record.finish(rerun, 1, full_result())
    record.add_verdict(Judgement(rerun, original), "b0", "ada")
    record.annotations.note(original, "look here", "ada")
    record.annotations.tag(original, ["odd"], "ada")
    record.annotations.name("prod", original, "ada")
    record.annotations.archive([rerun], "ada")
    return original, rerun


def test_everything_that_happens_is_told(record: Record, new_run: New) -> None:
    original, rerun = a_life(record, new_run)
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
        "run.cancel_requested",
        "run.moved",
        "run.finished",
        "run.noted",
        "run.tagged",
        "run.named",
    ]
    assert kinds(record, rerun) == [
        "run.submitted",
        "run.claimed",
        "run.finished",
        "verdict.given",
        "run.archived",
    ]
    shared = [kind for kind in kinds(record) if not kind.startswith(("run.", "verdict."))]
    assert shared == ["box.introduced", "job.recorded", "image.recorded", "input.recorded"]
    assert all(document["by"].count("@") == 1 for document in told(record))
    assert set(kinds(record)) <= append_events.KINDS.keys()


def test_said_again_nothing_is_told_again(record: Record, new_run: New) -> None:
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


def test_what_is_refused_is_not_told(record: Record, new_run: New) -> None:
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
def test_long_lists_are_told_by_their_digest(record: Record, new_run: New, count: int) -> None:
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


def test_a_plain_run_costs_less_than_4_kb(record: Record, new_run: New) -> None:
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


def submit_and_finish(queue: Any, barrier: Any, number: int, settings: Settings, news: list[NewRun]) -> None:
    barrier.wait()
    with open_record(settings) as record:
        for new in news:
            record.submit(new)
            attempt = record.claim(new.id, f"box {number}", "boot", "pid 1")
            record.finish(new.id, attempt, Result(state=State.SUCCEEDED, metrics={"a": number}))
    queue.put(number)


def test_16_writers_at_once_make_one_ledger(settings: Settings, new_run: New) -> None:
    news = [[new_run(image=f"i{n}") for n in range(6)] for _ in range(16)]
    with open_record(settings):
        pass
    queue, barrier = fork.Queue(), fork.Barrier(16)
    writers = [
        fork.Process(target=submit_and_finish, args=(queue, barrier, number, settings, news[number]))
        for number in range(16)
    ]
    for writer in writers:
        writer.start()
    assert {queue.get(timeout=120) for _ in writers} == set(range(16))
    for writer in writers:
        writer.join(120)
    with open_record(settings) as record:
        assert wrong(record) == []
        assert record.ledger.head().size == 16 * 6 * 3 + 6 + 1  # and six images, one job


def finish_and_die(settings: Settings, run: str, before: str) -> None:
    """Die as by kill -9 when the statement that begins so has run."""
    with open_record(settings) as record:

        def die(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            wrote = statement.startswith(before) or (before == "ledger" and "UPDATE ledger " in statement)
            if wrote:
                os.kill(os.getpid(), signal.SIGKILL)

        listen(record._database.engine, "after_cursor_execute", die)
        record.finish(run, 1, full_result())


@pytest.mark.parametrize("statement", ["UPDATE run ", "INSERT INTO output ", "ledger"])
def test_a_kill_leaves_rows_and_ledger_together(settings: Settings, new_run: New, statement: str) -> None:
    with open_record(settings) as record:
        run, _ = record.submit(new_run())
        record.claim(run, "box", "boot", "pid 1")
        before = record.ledger.head()
        process = fork.Process(target=finish_and_die, args=(settings, run, statement))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert record.ledger.head() == before
        assert record.state(run) is State.PREPARING
        assert wrong(record) == []
        record.finish(run, 1, full_result())
        assert record.ledger.head().size == before.size + 1
        assert wrong(record) == []


def test_a_damaged_ledger_takes_nothing_more(sqlite_settings: Settings, new_run: New) -> None:
    with open_record(sqlite_settings) as record:
        record.submit(new_run())
        with record._database.writing() as connection:
            connection.execute(update(tables.ledger).values(frontier=b"short"))
        new = new_run()
        with pytest.raises(RecordError, match="ledger is damaged"):
            record.submit(new)
        assert record.state(new.id) is None


# Questions


def test_events_are_found_by_run_kind_author_and_time(record: Record, new_run: New) -> None:
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


def test_a_tree_head_is_due_after_an_end(record: Record, new_run: New) -> None:
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
