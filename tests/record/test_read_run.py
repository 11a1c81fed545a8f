"""One output of a run without the others, and what its log needs without all outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.query_plans import plans_of
from support.records import digest_of, finish_run, full_result, kept, new_run, no_run_is_read

from orchestrator.errors import RecordError, UsageError
from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import LoggedRun, Wanted, pass_description
from orchestrator.run.attempt_model import Failure, Output, OutputStatus, State
from orchestrator.settings import Settings
from orchestrator.verdict.verdict_model import Outcome, Verdict


def test_an_output_is_the_first_of_its_run_with_these_bytes(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Output(path="lost", status=OutputStatus.REJECTED, reason="symlink")
    outputs = (kept("b", "twice"), lost, kept("a", "twice"), kept("c", "once"))
    run = finish_run(record, new_run(job="one"), outputs=outputs)
    other = finish_run(record, new_run(image="other", job="two"), outputs=(kept("d", "twice"),))
    no_run_is_read(monkeypatch)
    assert record.output_of(run, digest_of("twice")) == ("one", outputs[0])
    assert record.output_of(run, digest_of("once")) == ("one", outputs[3])
    assert record.output_of(other, digest_of("twice")) == ("two", kept("d", "twice"))
    assert record.output_of(other, digest_of("once")) is None
    assert record.output_of("0" * 16, digest_of("once")) is None


def test_it_is_found_by_its_digest(sqlite_settings: Settings) -> None:
    with open_record(sqlite_settings) as record:
        run = finish_run(record, new_run(), outputs=tuple(kept(f"{n:03}", str(n)) for n in range(300)))
        [plan] = plans_of(record, lambda: record.output_of(run, digest_of("299")))
    assert any("ix_output_digest_run_id (digest=? AND run_id=?)" in step for step in plan), plan


def test_an_altered_row_is_told(sqlite_settings: Settings) -> None:
    with open_record(sqlite_settings) as record:
        run = finish_run(record, new_run(), outputs=(kept("a", "one"),))
        with record._database.writing() as connection:
            connection.exec_driver_sql("UPDATE output SET path = x'ff'")
        with pytest.raises(RecordError, match=run):
            record.output_of(run, digest_of("one"))


def test_what_a_log_needs_is_what_the_whole_run_says(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [record.submit(new_run(seed=1, wanted=Wanted(executor="worker")))[0]]
    runs += [record.submit(new_run(seed=2))[0], finish_run(record, new_run(seed=3), **dict(full_result()))]
    runs += [finish_run(record, new_run(seed=4), state=State.FAILED, message="no memory")]
    record.claim(runs[1], "box", "boot", "pid 1")
    whole = [record.run(run) for run in runs]
    no_run_is_read(monkeypatch)
    for run in whole:
        plain: dict[str, Any] = {
            name: getattr(run, name) for name in LoggedRun.model_fields if name != "executor"
        }
        assert record.logged_run(run.id) == LoggedRun(**plain, executor=run.wanted.executor)
    with pytest.raises(UsageError, match="no run 0000000000000000 is recorded"):
        record.logged_run("0" * 16)


def test_an_altered_row_of_a_log_is_told(sqlite_settings: Settings) -> None:
    with open_record(sqlite_settings) as record:
        run = finish_run(record, new_run(), **dict(full_result()))
        with record._database.writing() as connection:
            connection.exec_driver_sql("UPDATE log SET size = -1, digest = 'x'")
        with pytest.raises(RecordError, match=run):
            record.logged_run(run)


def test_unjudged_reruns_are_those_of_this_box_that_say_something(
    record: Record, finished: Callable[..., str]
) -> None:
    original = finished()
    plain, failed, judged = (
        finished(result, rerun_of=original)
        for result in ({}, {"state": State.FAILED, "failure": Failure.JOB}, {})
    )
    stopped = finished({"state": State.CANCELLED, "parted_at": 3}, rerun_of=original)
    for says_nothing in (
        {"state": State.CANCELLED},
        {"state": State.LOST},
        {"state": State.FAILED, "failure": Failure.INFRASTRUCTURE},
    ):
        finished(says_nothing, rerun_of=original)
    finished(rerun_of=original, description=pass_description(2))
    record.submit(new_run(rerun_of=original))
    verdict = Verdict(outcome=Outcome.IDENTICAL, original=original, rerun=judged, summary="equal")
    record.add_verdict(verdict, "box", "ada")
    assert record.unjudged_reruns("box") == [plain, failed, stopped]
    assert record.unjudged_reruns("another box") == []
