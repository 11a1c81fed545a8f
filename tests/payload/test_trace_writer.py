"""The file of a trace without torch: numbers stand for tensors on a device."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.payload import report_writer
from orchestrator.payload.tracer import trace_writer
from orchestrator.payload.tracer.trace_writer import TraceWriter


class OnDevice:
    """A number that is only known once it is fetched."""

    def __init__(self, number: int) -> None:
        self.number = number


class Device:
    def __init__(self) -> None:
        self.fetches = 0

    def fetch(self, values: list[Any]) -> list[int]:
        self.fetches += 1
        return [value.number for value in values]


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def writer(device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TraceWriter:
    monkeypatch.setattr(report_writer, "FOLDER", str(tmp_path))
    return TraceWriter(device.fetch, lambda: {"trace": 1})


def lines(writer: TraceWriter) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(writer.path).read_text("ascii").splitlines()]


def digests(writer: TraceWriter, count: int = 1) -> None:
    writer.event('{"e":"params","s":0,"t":0', None, [OnDevice(n) for n in range(count)])


def test_nothing_to_say_leaves_no_file(writer: TraceWriter, tmp_path: Path) -> None:
    writer.flush()
    assert not writer.started()
    assert list(tmp_path.iterdir()) == []


def test_lines_in_their_order_and_one_fetch(writer: TraceWriter, device: Device) -> None:
    writer.table({"table": 0, "of": "SGD", "tensors": [["w\u00e9", "float32[2]"]]})
    writer.event('{"e":"grads","s":0,"t":0', None, [OnDevice(255), None, OnDevice(-1), "0123456789abcdef"])
    writer.event('{"e":"loss","s":0', [("", "float32[]")], [OnDevice(1)], [OnDevice(0x4002000000000000)])
    writer.event('{"e":"loss","s":1', [("", "float32[]")], [OnDevice(2)], [float("nan")])
    writer.event('{"e":"loss","s":2', [("", "float32[3]")], [OnDevice(3)], [None])
    writer.end(3)
    assert device.fetches == 1
    assert lines(writer) == [
        {"trace": 1},
        {"table": 0, "of": "SGD", "tensors": [["w\u00e9", "float32[2]"]]},
        {"e": "grads", "s": 0, "t": 0, "d": "00000000000000ff" + "-" * 16 + "f" * 16 + "0123456789abcdef"},
        {"e": "loss", "s": 0, "v": [["", "float32[]", "0000000000000001"]], "x": [2.25]},
        {"e": "loss", "s": 1, "v": [["", "float32[]", "0000000000000002"]], "x": ["nan"]},
        {"e": "loss", "s": 2, "v": [["", "float32[3]", "0000000000000003"]], "x": [None]},
        {"end": True, "steps": 3, "events": 4},
    ]


def test_the_header_is_written_once(writer: TraceWriter) -> None:
    for _ in range(3):
        digests(writer)
        writer.flush()
    assert [line.get("trace") for line in lines(writer)] == [1, None, None, None]


def test_it_is_full_after_many_digests(writer: TraceWriter) -> None:
    digests(writer, trace_writer.PENDING - 1)
    assert not writer.full()
    digests(writer)
    assert writer.full()


def test_past_the_budget_one_digest_stands_for_all(
    writer: TraceWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_writer, "DETAIL", 300)
    for number in (0, 0, 1):
        writer.event(
            '{"e":"params","s":0,"t":0', None, [OnDevice(number + n // 19 * number) for n in range(20)]
        )
    writer.event('{"e":"params","s":0,"t":0', None, [OnDevice(0)] * 20)
    writer.flush()
    _, first, second, third, fourth = lines(writer)
    assert "d" in first
    assert len(second["c"]) == len(third["c"]) == 16
    assert second["c"] != third["c"]
    assert second["c"] == fourth["c"]


def test_what_a_line_costs_does_not_depend_on_its_numbers(writer: TraceWriter, device: Device) -> None:
    other = TraceWriter(device.fetch, dict)
    for one, number, value in ((writer, 0, 0.1), (other, 1 << 63, -1.2345678901234567e-300)):
        one.event('{"e":"loss","s":0', [("", "float32[]")], [OnDevice(number)], [value])
    assert writer.size == other.size


def test_past_the_limit_few_steps_are_wanted(writer: TraceWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_writer, "LIMIT", 300)
    assert writer.wanted(1)
    digests(writer, 20)
    assert [step for step in range(301) if writer.wanted(step)] == [0, 100, 200, 300]


def test_the_reckoning_is_about_right(writer: TraceWriter) -> None:
    writer.table({"table": 0, "of": "SGD", "tensors": [["weight", "float32[2]"]] * 50})
    for step in range(100):
        digests(writer, 50)
        writer.event(
            f'{{"e":"batch","s":{step},"n":"loader"', [("0", "float32[8,3,32,32]")], [OnDevice(step)]
        )
    writer.flush()
    assert writer.size == pytest.approx(os.path.getsize(writer.path), rel=0.1)


def test_broken_drops_what_is_pending(writer: TraceWriter) -> None:
    digests(writer)
    writer.flush()
    digests(writer)
    writer.broken("RuntimeError: CUDA error", 7)
    assert lines(writer)[2:] == [{"broken": "RuntimeError: CUDA error", "steps": 7}]


def test_a_file_that_was_removed_is_an_error(writer: TraceWriter) -> None:
    digests(writer)
    writer.flush()
    Path(writer.path).unlink()
    with pytest.raises(FileNotFoundError):
        writer.end(1)
