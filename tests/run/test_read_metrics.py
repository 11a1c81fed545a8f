"""Metrics and reports: text that a job wrote, read without believing it."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.run.collect.reports import read_reports
from orchestrator.run.metrics.read_metrics import MAX_METRICS, read_metrics


def test_final_values_and_series(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"accuracy": 0.5, "test": {"loss": 1}, "ok": true, "name": "x"}')
    (tmp_path / "metrics.jsonl").write_text(
        '{"epoch": 1, "loss": 2.5}\n\n{"epoch": 2, "loss": 2.0, "lr": NaN}\n'
    )
    metrics = read_metrics(tmp_path, None)
    assert metrics.notes == ()
    assert math.isnan(metrics.final.pop("lr"))
    assert metrics.final == {"accuracy": 0.5, "test.loss": 1.0, "ok": 1.0, "loss": 2.0}
    assert [(point.name, point.step, point.value) for point in metrics.series[:2]] == [
        ("loss", 1, 2.5),
        ("loss", 2, 2.0),
    ]


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ('"timestamp": 1764424226.5', 1764424226.5),
        ('"_timestamp": 1764424226', 1764424226.0),
        ('"wall_time": 1764424226500', 1764424226.5),  # milliseconds
        ('"time": 12.5, "timestamp": 1764424226', 1764424226.0),
        ('"time": 12.5', None),  # how long it took, or since the start of something
        ('"time": true', None),
        ('"time": "2026-11-23T12:00:00Z"', None),
        ('"time": NaN', None),
        ('"time": ' + "9" * 400, None),
        ('"timestamp": -1764424226', None),
    ],
)
def test_a_line_says_when_it_was_written_by_a_number_that_is_a_moment(
    tmp_path: Path, said: str, at: float | None
) -> None:
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1, "loss": 2.5, {said}}}\n{{"loss": 2.0}}\n')
    loss = [point for point in read_metrics(tmp_path, None).series if point.name == "loss"]
    assert [(point.step, point.value, point.at) for point in loss] == [(1, 2.5, at), (None, 2.0, None)]
    names, values = "step,loss,timestamp", f"1,2.5,{at or 7}"
    (tmp_path / "m.csv").write_text(f"{names}\n{values}\n")
    assert read_metrics(tmp_path, "m.csv", written=["m.csv"]).series[0].at == at


def test_a_named_file_that_is_not_there_is_noted(tmp_path: Path) -> None:
    assert "out/m.json" in read_metrics(tmp_path, "out/m.json").notes[0]
    assert read_metrics(tmp_path, None).notes == ()


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"a": ' + "[" * 5000, "\xff", "1" * 5000])
def test_what_is_not_an_object_is_noted(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_bytes(text.encode("latin-1"))
    metrics = read_metrics(tmp_path, None)
    assert metrics.final == {}
    assert metrics.notes


@pytest.mark.parametrize(
    "broken",
    [
        '{"a": ',
        "not json",
        "[1]",
        "7",
        '{"a": 1} {"a": 2}',
        "{" * 3000,
        "\xff\xfe",
        '"' + "x" * (1 << 20),
        "9" * 5000,
    ],
    ids=lambda text: text[:12],
)
def test_a_broken_line_costs_itself_and_is_named(tmp_path: Path, broken: str) -> None:
    lines = ['{"step": 1, "a": 1}', broken, '{"step": 2, "a": 2}', "", broken, '{"step": 3, "a": 3}']
    (tmp_path / "metrics.jsonl").write_bytes("\n".join(lines).encode("latin-1"))
    metrics = read_metrics(tmp_path, None)
    assert [(point.step, point.value) for point in metrics.series] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert metrics.final == {"a": 3.0}
    assert "metrics.jsonl:2 " in metrics.incomplete
    assert "so is one more line" in metrics.incomplete
    assert metrics.notes == (metrics.incomplete,)


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_a_line_ends_at_a_line_feed_only(tmp_path: Path, end: str) -> None:
    """str.splitlines knows ten other ends, some of which JSON has inside of its texts."""
    text = json.dumps({"epoch": 1, "note": f"a{end}b", "loss": 2.5}, ensure_ascii=False)
    (tmp_path / "metrics.jsonl").write_text(f"{text}\r\n{text}\n", newline="")
    metrics = read_metrics(tmp_path, None)
    assert [(point.step, point.value) for point in metrics.series] == [(1, 2.5), (1, 2.5)]
    assert not metrics.incomplete


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"step": 9223372036854775808, "loss": 1}', "step that does not fit 64 bits"),
        ('{"%s": 1, "loss": 1}' % ("n" * 201), "longer than 200 characters"),
        ('{"a\\u202eb": 1, "loss": 1}', "cannot be printed"),
        ('{"trace.loss": 1, "loss": 1}', "begins with trace."),
    ],
)
def test_a_number_that_is_not_taken_is_said(tmp_path: Path, text: str, said: str) -> None:
    for name in ("metrics.jsonl", "metrics.json"):
        (tmp_path / name).write_text(text)
    metrics = read_metrics(tmp_path, "metrics.jsonl")
    assert metrics.final == {"loss": 1.0}
    assert [(point.name, point.step) for point in metrics.series] == [("loss", None)]
    assert said in metrics.incomplete
    if "step" not in said:
        assert said in read_metrics(tmp_path, "metrics.json").incomplete


@pytest.mark.parametrize(
    ("line", "step", "names"),
    [
        ('{"step": 3.0, "loss": 1}', 3, {"loss"}),
        ('{"step": 3.5, "loss": 1}', None, {"loss", "step"}),
        ('{"step": 1e300, "loss": 1}', None, {"loss", "step"}),
        ('{"step": NaN, "loss": 1}', None, {"loss", "step"}),
        ('{"step": true, "loss": 1}', None, {"loss", "step"}),
        ('{"step": "3", "loss": 1}', None, {"loss"}),
        ('{"global_step": 7.0, "epoch": 2, "loss": 1}', 7, {"epoch", "loss"}),
        ('{"epoch": 2.0, "loss": 1}', None, {"epoch", "loss"}),  # the next line may say 2.5
    ],
)
def test_a_step_that_a_tool_wrote_as_a_float(
    tmp_path: Path, line: str, step: int | None, names: set[str]
) -> None:
    (tmp_path / "metrics.jsonl").write_text(f"{line}\n")
    found = read_metrics(tmp_path, None)
    assert {(point.name, point.step) for point in found.series} == {(name, step) for name in names}


def test_each_point_may_not_have_a_name_of_its_own(tmp_path: Path) -> None:
    lines = "".join(f'{{"m{number}": 1}}\n' for number in range(MAX_METRICS + 5))
    (tmp_path / "metrics.jsonl").write_text(lines)
    metrics = read_metrics(tmp_path, None)
    assert (len(metrics.series), len(metrics.final)) == (MAX_METRICS, MAX_METRICS)
    assert "more than" in metrics.incomplete


def test_too_many_metrics_are_capped(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(
        json.dumps({f"m{number:06}": 1 for number in range(MAX_METRICS + 5)})
    )
    metrics = read_metrics(tmp_path, None)
    assert len(metrics.final) == MAX_METRICS
    assert metrics.notes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.binary(max_size=200))
def test_no_file_of_a_job_breaks_the_reading(tmp_path_factory: Any, value: Any, noise: bytes) -> None:
    folder = tmp_path_factory.mktemp("job")
    (folder / "metrics.json").write_text(json.dumps(value))
    (folder / "metrics.jsonl").write_bytes(noise)
    (folder / "entry.json").write_text(json.dumps(value))
    (folder / "start-1.json").write_text(json.dumps({"flags": value, "argv": value}))
    (folder / "end-1.json").write_bytes(noise)
    (folder / "error-7.json").write_text(json.dumps({"error": value}))
    read_metrics(folder, None)
    reports = read_reports(folder)
    for readback in reports.readbacks:
        assert all(isinstance(word, str) for word in readback.argv)
    reports.model_dump_json()


def test_points_are_capped_and_that_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.run.metrics.read_metrics.MAX_POINTS", 3)
    (tmp_path / "metrics.jsonl").write_text('{"a": 1}\n' * 4)
    metrics = read_metrics(tmp_path, None)
    assert len(metrics.series) == 3
    assert "first 3" in metrics.notes[0]


def test_nested_metrics_cost_no_more_than_their_bytes(tmp_path: Path) -> None:
    wide = {f"k{number}": {} for number in range(200_000)}
    deep = {"k" * 2_000_000: dict.fromkeys(map(str, range(20_000)), 1)}
    (tmp_path / "metrics.json").write_text(json.dumps(wide | deep | {"a": 1}))
    start = time.monotonic()
    assert read_metrics(tmp_path, None).final == {"a": 1.0}
    assert time.monotonic() - start < 4  # 30 s and more where every step moves the whole queue


def test_two_columns_of_one_name_are_no_metric(tmp_path: Path) -> None:
    """Else the points of both would be one series, and its last value that of the second."""
    (tmp_path / "results.csv").write_text("step,loss,loss\n1,0.5,9\n")
    metrics = read_metrics(tmp_path, "results.csv", written=["results.csv"])
    assert metrics.final == {} and "two columns are called loss" in metrics.incomplete
    (tmp_path / "results.csv").write_text("," * 300_000 + "\n")
    start = time.monotonic()
    read_metrics(tmp_path, "results.csv", written=["results.csv"])
    assert time.monotonic() - start < 5
