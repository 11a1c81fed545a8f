"""Which columns a table of runs has, and what stands in them: for people, programs and spreadsheets."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import run_line as line

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.record.run_record import Reached
from orchestrator.run.attempt_model import Failure, State
from orchestrator.view.runs.run_columns import (
    all_columns,
    cell_of,
    chosen_columns,
    columns_to_choose,
    csv_text,
    heading_of,
    in_shown_order,
    told_apart,
    value_of,
    values_in_columns,
)


def test_only_what_differs_is_shown_and_the_rest_is_said_once() -> None:
    runs = [line(), line(id="f" * 16, params={"lr": 0.2}), line(id="e" * 16, params={"lr": 0.2, "n": 3})]
    told = told_apart(runs)
    assert told.columns == ("run", "params.lr", "params.n")
    assert told.same["job"] == "digits" and "metrics.loss" in told.same and "verdict" not in told.same
    assert told_apart(runs, ["seed"]).columns[:2] == ("run", "seed")
    assert in_shown_order(told.columns[::-1], runs) == ["run", "params.lr", "params.n"]
    assert {"run", "job", "state", "params.lr", "metrics.loss"} <= set(told_apart(runs[:1]).columns)


def test_nan_is_the_same_as_nan_and_one_is_not_true() -> None:
    nan = float("nan")
    assert told_apart([line(metrics={"loss": nan})] * 2).columns == ()
    told = told_apart([line(params={"flag": True}), line(params={"flag": 1})])
    assert told.columns == ("params.flag",)


def test_a_parameter_in_which_a_jobs_runs_differ_comes_first() -> None:
    other = {"job": "other", "params": {"a": 1, "z": 1}}
    told = told_apart([line(params={"z": 1}), line(params={"z": 2}), line(**other), line(**other)])
    assert [name for name in told.columns if name.startswith("params.")] == ["params.z", "params.a"]


def test_a_reason_is_what_the_job_said_last_where_the_job_failed() -> None:
    failed = {"state": State.FAILED, "message": "exit code 1", "last_line": "ValueError: no"}
    assert value_of(line(failure=Failure.JOB, **failed), "reason") == "ValueError: no"
    assert value_of(line(failure=Failure.TIMEOUT, **failed), "reason") == "exit code 1"
    assert value_of(line(), "reason") is None
    assert cell_of(line(failure=Failure.JOB, **failed), "state") == "failed (job)"


def test_a_run_of_a_bundle_is_told_from_those_made_here() -> None:
    bundle = Digest.of(b"bundle")
    runs = [line(), line(id="f" * 16, imported=bundle)]
    assert told_apart(runs).columns == ("run", "imported")
    assert [cell_of(run, "imported") for run in runs] == ["", "imported"]
    assert value_of(runs[1], "imported") == bundle


def test_parts_of_a_metric_and_a_metric_with_such_a_name() -> None:
    run = line(metrics={"loss": 0.5, "acc.max": 3.0, "acc": 1.0}, reached={"acc": Reached(max=2.0)})
    assert value_of(line(), "metrics.loss.min") == 0.25
    assert value_of(line(), "metrics.loss.min_step") == 7
    assert value_of(run, "metrics.acc.max") == 3.0, "the metric that is called so"
    assert value_of(run, "metrics.none") is None
    assert heading_of("params.lr", ["params.lr", "metrics.lr"]) == "params.lr"
    assert heading_of("params.lr", ["params.lr"]) == "lr"
    assert heading_of("params.run", ["params.run"]) == "params.run"


def test_columns_are_chosen_by_name() -> None:
    runs = [line()]
    assert chosen_columns(" run, params ,metrics.loss.min", runs) == ("run", "params.lr", "metrics.loss.min")
    assert chosen_columns("all", runs) == all_columns(runs)
    for wrong, said in (("paramslr", "params.lr"), ("metrics.los", "metrics.loss"), ("run,", "columns are")):
        with pytest.raises(UsageError) as caught:
            chosen_columns(wrong, runs)
        assert said in (caught.value.hint or "")


def test_what_scripts_logged_is_there_for_who_asks() -> None:
    runs = [line(logged={"lr": 0.1, "deep": True}), line(logged={"lr": 0.2})]
    assert chosen_columns("logged", runs) == ("logged.deep", "logged.lr")
    assert [value_of(run, "logged.deep") for run in runs] == [True, None]
    assert cell_of(runs[1], "logged.lr") == "0.2"
    assert "logged.lr" in columns_to_choose(runs) and "logged.lr" not in all_columns(runs)
    assert "logged.lr" in told_apart(runs, ["logged.lr"]).columns
    with pytest.raises(UsageError) as caught:
        chosen_columns("logged.dep", runs)
    assert "logged.deep" in (caught.value.hint or "")


def test_a_column_has_values_of_one_type() -> None:
    params = [{"a": 1, "b": 1, "c": True, "d": 1 << 70}, {"a": 0.5, "b": "x", "c": False, "d": 1}]
    runs = [line(params=one) for one in params]
    found = values_in_columns(runs, ["params.a", "params.b", "params.c", "params.d", "params.e"])
    assert list(found.values()) == [[1.0, 0.5], ["1", "x"], [True, False], [str(1 << 70), "1"], [None, None]]


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_no_text_is_a_formula_in_csv_and_nothing_else_changes(text: str) -> None:
    [[name], [cell]] = (
        csv.reader(io.StringIO(csv_text({text: [text]}), newline=""), strict=True) or [[""]] * 2
    )
    assert name == cell
    assert cell in (text, f"'{text}")
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_numbers_and_moments_are_exact_in_csv() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
    text = csv_text({"a": [-0.1, float("nan"), None], "b": [moment, float("-inf"), -3]})
    assert text == "a,b\n-0.1,2026-01-02T03:04:05.600000Z\nNaN,-Infinity\n,-3\n"
