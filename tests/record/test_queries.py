from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.query_plans import plans_of, statements_of
from support.records import new_run

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.record.history import pages
from orchestrator.record.record import Record
from orchestrator.record.run_record import HistoryFilter
from orchestrator.run.attempt_model import Failure, LoggedParam, State
from orchestrator.verdict.verdict_model import Outcome, Verdict

Finished = Callable[..., str]
RUNS = 'AS "key"'  # in statements that look for runs


def ids(record: Record, **wanted: Any) -> list[str]:
    return [line.id for line in record.history.lines(HistoryFilter(**wanted))]


def test_an_id_may_be_shortened_to_four_characters(record: Record, finished: Finished) -> None:
    run = finished(id="abcd000000000001", key="1")
    finished(id="abce000000000002", key="2")
    assert record.find("abcd") == record.find(" ABCD00 ") == record.find(run) == run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "too short"),
        ("abcd", "abcd000000000001.*abcd000000000002|abcd000000000002.*abcd000000000001"),
        ("ffff", "no run ffff"),
        ("%%%%", "not a run"),
        ("abcd0000000000011", "not a run"),
    ],
)
def test_a_bad_id_names_its_candidates(record: Record, finished: Finished, text: str, message: str) -> None:
    finished(id="abcd000000000001", key="1")
    finished(id="abcd000000000002", key="2")
    with pytest.raises(UsageError, match=message) as caught:
        record.find(text)
    assert caught.value.hint


def test_history_is_newest_first_and_filtered(record: Record, finished: Finished) -> None:
    first = finished(job="a")
    second = finished(job="b", result={"state": State.FAILED, "failure": Failure.MEMORY})
    third = finished(job="a")
    assert ids(record) == [third, second, first]
    assert ids(record, job="a") == [third, first]
    assert ids(record, states=(State.FAILED, State.LOST)) == [second]
    assert ids(record, limit=2) == [third, second]
    assert ids(record, where="failure == 'memory'") == [second]
    now = datetime.now(UTC)
    assert ids(record, since=now - timedelta(hours=1)) == [third, second, first]
    assert ids(record, since=now + timedelta(hours=1)) == []
    tomorrow = (now + timedelta(days=1)).isoformat()
    assert ids(record, where=f"created < '{tomorrow}'") == [third, second, first]


def test_what_is_sorted_by_and_missing_comes_last(record: Record, finished: Finished) -> None:
    nan = finished(result={"metrics": {"acc": float("nan")}})
    low = finished(result={"metrics": {"acc": 0.1}}, params={"lr": 3, "name": "b"})
    high = finished(result={"metrics": {"acc": 0.9}}, params={"lr": 0.5, "name": "a"})
    none = finished()
    assert ids(record, sort="metrics.acc") == [low, high, none, nan]
    assert ids(record, sort="-metrics.acc") == [high, low, none, nan]
    assert ids(record, sort="params.lr")[:2] == [high, low]
    assert ids(record, sort="-params.name")[:2] == [low, high]
    assert ids(record, sort="created") == [nan, low, high, none]
    with pytest.raises(UsageError, match=r"no run has a parameter none: -params\.none"):
        ids(record, sort="-params.none")
    with pytest.raises(UsageError, match=r"unknown name: metric\.acc") as caught:
        ids(record, sort="metric.acc")
    assert caught.value.hint


def test_a_line_has_params_metrics_and_the_latest_verdict(record: Record, finished: Finished) -> None:
    original = finished(params={"lr": 0.1, "n": 1}, result={"metrics": {"acc": 0.5}, "seconds": 2.5})
    rerun = finished(rerun_of=original)
    for outcome in (Outcome.DIFFERENT, Outcome.IDENTICAL):
        record.add_verdict(Verdict(outcome=outcome, original=original, rerun=rerun, summary=""), "box", "ada")
    second, first = record.history.lines(HistoryFilter())
    assert (first.params, first.metrics, first.seconds) == ({"lr": 0.1, "n": 1}, {"acc": 0.5}, 2.5)
    assert (first.verdict, first.rerun_of) == (None, None)
    assert (second.verdict, second.rerun_of) == ("identical", original)


def test_a_page_costs_the_same_few_queries_however_long(record: Record, finished: Finished) -> None:
    counts = []
    statements = statements_of(record)
    for number in (1, 10):
        for _ in range(number):
            finished(params={"a": 1})
        statements.clear()
        record.history.lines(HistoryFilter())
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 9


def test_a_page_reads_no_whole_verdict(record: Record, finished: Finished) -> None:
    """A verdict over thousands of outputs is megabytes, and a line shows one word of it."""
    original = finished(params={"a": 1}, result={"metrics": {"m": 1.0}})
    rerun = finished(rerun_of=original)
    record.add_verdict(
        Verdict(outcome=Outcome.DIFFERENT, original=original, rerun=rerun, summary=""), "box", "ada"
    )
    statements = statements_of(record)
    assert [line.verdict for line in record.history.lines(HistoryFilter())] == ["different", None]
    assert [text for text in statements if "verdict.outcome" in text]
    assert not [text for text in statements if "document" in text]


def test_best_is_the_best_that_succeeded(record: Record, finished: Finished) -> None:
    finished(result={"metrics": {"loss": float("nan")}})
    low = finished(result={"metrics": {"loss": 0.1}})
    high = finished(result={"metrics": {"loss": 0.9}})
    finished(result={"metrics": {"loss": 0.9}})
    finished(result={"metrics": {"loss": 7.0}, "state": State.FAILED, "failure": Failure.JOB})
    finished(job="other", result={"metrics": {"loss": 9.0}})
    assert record.history.best("digits", "loss").line.id == high
    assert record.history.best("digits", "loss", minimize=True).line.id == low
    with pytest.raises(UsageError, match="accuracy") as caught:
        record.history.best("digits", "accuracy")
    assert "loss" in (caught.value.hint or "")
    with pytest.raises(UsageError) as caught:
        record.history.best("digit", "loss")
    assert "digits" in (caught.value.hint or "")


def test_runs_of_an_image_by_either_digest_or_its_beginning(record: Record, finished: Finished) -> None:
    first, other, second = finished(image="a"), finished(image="b"), finished(image="a")
    facts = new_run(image="a").image_facts
    for text in (
        facts.digest,
        facts.config_digest,
        facts.digest[:20],
        facts.config_digest[:20],
        facts.digest.hex,
    ):
        assert record.history.runs_of_image(text) == [first, second]
    assert record.history.runs_of_image(Digest.of(b"unknown")) == []
    with pytest.raises(UsageError, match="more than one image"):
        record.history.runs_of_image("sha256:")
    assert record.image(facts.digest)[0] == record.image(facts.config_digest)[0] == facts
    assert other not in record.history.runs_of_image(facts.digest)
    with pytest.raises(UsageError, match="no image"):
        record.image(Digest.of(b"unknown"))


INDEXED = [
    ({"sort": "-metrics.acc"}, "ix_metric_name_num_run_id"),
    ({"sort": "metrics.acc", "job": "digits"}, "ix_metric_job_id_name_num_run_id"),
    ({"sort": "-metrics.acc.max"}, "ix_metric_name_high_run_id"),
    ({"sort": "metrics.acc.min", "job": "digits"}, "ix_metric_job_id_name_low_run_id"),
    ({"sort": "params.lr"}, "ix_param_name_num_run_id"),
    ({"sort": "params.optimizer"}, "ix_param_name_text_run_id"),
    ({"sort": "-seconds"}, "ix_run_seconds_id"),
    ({"sort": "seconds"}, "ix_run_seconds_id"),
    ({"sort": "seed"}, "ix_run_seed_id"),
    ({"states": (State.SUCCEEDED,)}, "ix_run_state_created_at"),
    ({"by": "ada"}, "ix_run_submitted_by_created_at"),
    ({}, "ix_run_created_at"),
    ({"job": "digits"}, "ix_run_job_id_created_at"),
    ({"where": "params.lr < 1", "sort": "metrics.acc"}, "ix_metric_name_num_run_id"),
]


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)  # Postgres plans by how much there is
@pytest.mark.parametrize(("wanted", "index"), INDEXED, ids=range(len(INDEXED)))
def test_a_page_is_read_from_an_index(
    record: Record,
    finished: Finished,
    wanted: dict[str, Any],
    index: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The statements as they are sent: with an index in their order, no run beyond the page is sorted."""
    monkeypatch.setattr(pages, "HANDFUL", -1)  # as if there were more runs than are asked one by one
    for value in (0.1, 0.2, 0.3):
        result = {"metrics": {"acc": value}, "seconds": value}
        finished(params={"lr": value, "optimizer": f"adam {value}"}, result=result)
    plans = []
    for sent in plans_of(record, lambda: record.history.lines(HistoryFilter(limit=2, **wanted)), RUNS):
        assert "USE TEMP B-TREE FOR ORDER BY" not in sent, sent
        plans += sent
    assert any(step.startswith(("SCAN", "SEARCH")) and index in step for step in plans), plans


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("metrics.acc > 5", "ix_metric_name_num_run_id (name=? AND num>?)"),
        ("metrics.acc.min > 5", "ix_metric_name_low_run_id (name=? AND low>?)"),
        ("params.lr == 7", "ix_param_name_num_run_id (name=? AND num=?)"),
        ("params.optimizer == 'x'", "ix_param_name_text_run_id (name=? AND <expr>=?)"),
        ("seconds > 100", "ix_run_seconds_id (seconds>?)"),
        ("failure == 'memory'", "ix_run_failure_created_at (failure=?)"),
        ("user == 'nobody'", "ix_run_submitted_by_created_at (submitted_by=?)"),
        ("image == 'sha256:ffff0000'", "ix_run_image_id (image_id=?)"),
    ],
)
def test_what_hardly_any_run_fits_is_found_by_an_index(
    record: Record, finished: Finished, where: str, index: str
) -> None:
    for value in (0.1, 0.2, 0.3):
        finished(params={"lr": value, "optimizer": "adam"}, result={"metrics": {"acc": value}})
    found = plans_of(
        record, lambda: record.history.lines(HistoryFilter(where=where, sort="metrics.acc", limit=2)), RUNS
    )
    assert any(index in step for plan in found for step in plan), found
    assert not any("SCAN run" in step for plan in found for step in plan), found


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_verdicts_of_a_run_are_found_by_indexes(record: Record, finished: Finished) -> None:
    original = finished()
    rerun = finished(rerun_of=original)
    record.add_verdict(
        Verdict(outcome=Outcome.IDENTICAL, original=original, rerun=rerun, summary=""), "box", "ada"
    )
    for run in (original, rerun):
        plans = plans_of(record, lambda run=run: record.history.verdicts(run), "public_id")
        steps = [step for plan in plans for step in plan]
        assert not [step for step in steps if step.startswith("SCAN")], steps
        assert {"ix_verdict_run_id", "ix_verdict_original_id"} <= {
            word for step in steps for word in step.split()
        }, steps


def test_a_sorted_page_is_the_beginning_of_the_whole_list(record: Record, finished: Finished) -> None:
    """Numbers, then texts, then runs without: wherever the page ends, and with a filter."""
    for params in (
        {"p": 2},
        {"p": "b"},
        {},
        {"p": 1},
        {"p": True},
        {"p": "a"},
        {"p": 1 << 70},
        {"p": 0.5},
        {},
    ):
        logged = {name: LoggedParam(value=value, source="f") for name, value in params.items()}
        finished(params=params, result={"metrics": {"m": float(len(params))}, "logged": logged})
    for sort in ("params.p", "-params.p", "metrics.m", "-metrics.m.max", "-logged.p"):
        for where in (None, "params.p != 2", "not (logged.p == 2) and metrics.m >= 0"):
            whole = ids(record, sort=sort, where=where)
            assert sorted(whole) == sorted(ids(record, where=where))
            for limit in range(1, 10):
                assert ids(record, sort=sort, where=where, limit=limit) == whole[:limit]
    up = [line.params.get("p") for line in record.history.lines(HistoryFilter(sort="params.p"))]
    assert up == [0.5, 1, True, 2, 1 << 70, "a", "b", None, None]
    down = [line.params.get("p") for line in record.history.lines(HistoryFilter(sort="-params.p"))]
    assert down == [1 << 70, 2, True, 1, 0.5, "b", "a", None, None]


def test_history_by_person_and_by_box(record: Record, finished: Finished) -> None:
    ada, bob = finished(), finished(submitted_by="bob")
    waiting, _ = record.submit(new_run(submitted_by="bob"))
    other = new_run()
    record.submit(other)
    record.claim(other.id, "abcd1234ef", "boot", "pid 1")

    assert ids(record, by="bob") == [waiting, bob]
    assert ids(record, by="bo") == []
    assert ids(record, box="abcd") == ids(record, box="ABCD1234") == [other.id]
    assert ids(record, box="abc") == ids(record, box="no such box") == []
    lines = {line.id: line for line in record.history.lines(HistoryFilter())}
    assert (lines[ada].box, lines[waiting].box) == ("box", None)
    assert (lines[ada].archived, lines[ada].tags, lines[ada].names) == (False, (), ())
