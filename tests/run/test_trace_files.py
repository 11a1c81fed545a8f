"""Reading what the tracer left behind, whoever wrote it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made_up_attempt import MemorySink

from orchestrator.run.collect import trace_files
from orchestrator.run.collect.trace_files import LOSS, read_traces


def header(**changes: Any) -> dict[str, Any]:
    return {"trace": 1, "rank": 0, "world": 1, "pid": 7, "began": 5, "every": 1, "tensors": "all"} | changes


def write(folder: Path, pid: int, *lines: dict[str, Any]) -> Path:
    path = folder / f"trace-{pid}.jsonl"
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return path


def loss(step: int, *values: object) -> dict[str, Any]:
    return {"e": "loss", "s": step, "v": [["", "float32[]", "0" * 16]], "x": list(values)}


TABLE = {"table": 0, "of": "SGD", "tensors": [["weight", "float32[2]"]]}
PARAMS = {"e": "params", "s": 0, "o": 0, "t": 0, "d": "0" * 16}
END = {"end": True, "steps": 2, "events": 3}


def test_a_whole_trace(tmp_path: Path, sink: Any) -> None:
    path = write(tmp_path, 7, header(), TABLE, loss(0, 1.5), PARAMS, loss(1, "nan"), END)
    found = read_traces(tmp_path, sink)
    (file,) = found.files
    assert (file.rank, file.world, file.pid, file.steps, file.events) == (0, 1, 7, 2, 3)
    assert file.complete
    assert file.broken is None
    assert sink.blobs[file.digest] == path.read_bytes()
    assert file.size == path.stat().st_size
    assert [(point.name, point.step) for point in found.losses] == [(LOSS, 0), (LOSS, 1)]
    assert found.losses[0].value == 1.5
    assert math.isnan(found.losses[1].value)
    assert found.notes == ()


def test_by_rank_then_by_beginning(tmp_path: Path, sink: Any) -> None:
    write(tmp_path, 30, header(rank=1, world=2), END)
    write(tmp_path, 20, header(began=9, world=2), loss(0, 2.0), END)
    write(tmp_path, 10, header(began=8, world=2), loss(0, 1.0), END)
    found = read_traces(tmp_path, sink)
    assert [(file.rank, file.pid) for file in found.files] == [(0, 10), (0, 20), (1, 30)]
    assert [point.value for point in found.losses] == [1.0]


def test_a_process_that_was_killed_is_not_complete(tmp_path: Path, sink: Any) -> None:
    path = write(tmp_path, 7, header(), TABLE, loss(0, 1.5))
    path.write_text(path.read_text() + '{"e":"par')
    (file,) = read_traces(tmp_path, sink).files
    assert not file.complete
    assert file.broken is None
    assert file.events == 1


def test_a_tracer_that_gave_up_says_why(tmp_path: Path, sink: Any) -> None:
    write(tmp_path, 7, header(), loss(0, 1.5), {"broken": "no space\x1b[31m", "steps": 1})
    (file,) = read_traces(tmp_path, sink).files
    assert not file.complete
    assert file.broken == "no space\\x1b[31m"
    assert file.steps == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json\n",
        "[1]\n",
        '{"trace":2}\n',
        '{"trace":1,"rank":-1}\n',
        '{"trace":1,"rank":true}\n',
        '{"trace":1,"rank":1e999}\n',
        '{"trace":1}\n{"e":"loss","x":["many"]}\n',
        '{"trace":1}\n' + "[" * 100_000 + "\n",
        '{"trace":1}\n{"end":true,"steps":' + "9" * 5000 + "}\n",
        '{"trace":1}\n{"e":"loss","x":[' + "9" * 5000 + "]}\n",
    ],
)
def test_what_is_no_trace_is_broken(tmp_path: Path, sink: Any, text: str) -> None:
    (tmp_path / "trace-7.jsonl").write_text(text)
    (file,) = read_traces(tmp_path, sink).files
    assert file.broken
    assert not file.complete


@given(noise=st.binary(max_size=400), after=st.integers(0, 5))
def test_no_bytes_break_the_reading(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, after: int
) -> None:
    folder = tmp_path_factory.mktemp("reports")
    path = write(folder, 7, *(header(), TABLE, loss(0, 1.5), PARAMS, END)[:after])
    path.write_bytes(path.read_bytes() + noise)
    assert len(read_traces(folder, MemorySink()).files) == 1


def test_links_and_sizes(tmp_path: Path, sink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trace-1.jsonl").symlink_to("/etc/passwd")
    write(tmp_path, 2, header(), END)
    write(tmp_path, 3, header(), *[PARAMS] * 100, END)
    monkeypatch.setattr(trace_files, "MAX_SIZE", 1000)
    found = read_traces(tmp_path, sink)
    assert [(file.pid, file.complete, bool(file.broken)) for file in found.files] == [
        (1, False, True),
        (3, False, True),
        (2, True, False),
    ]
    assert len(found.notes) == 2
    assert "Too many levels" in found.notes[0]
    assert "more than 1000" in found.notes[1]


def test_what_is_there_and_is_not_read_is_no_whole_trace(
    tmp_path: Path, sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two runs with as many would be compared by those that were read, and called identical."""
    monkeypatch.setattr(trace_files, "MAX_FILES", 2)
    for pid in (1, 2, 3, 4):
        write(tmp_path, pid, header(), END)
    found = read_traces(tmp_path, sink)
    assert [(file.pid, file.broken) for file in found.files if not file.complete] == [
        (3, "it was not read: more than 2 processes left one")
    ]
    assert sink.blobs[found.files[0].digest] == b""


def test_lines_and_points_are_capped(tmp_path: Path, sink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_files, "MAX_POINTS", 3)
    write(tmp_path, 2, header(), *(loss(step, 1.0, 2.0) for step in range(5)), END)
    found = read_traces(tmp_path, sink)
    assert len(found.losses) == 3
    assert found.notes == ("trace.loss: the first 3 points are kept",)
    monkeypatch.setattr(trace_files, "MAX_LINE", 50)
    (file,) = read_traces(tmp_path, sink).files
    assert file.broken == "it cannot be read: a line of more than 50 bytes"
