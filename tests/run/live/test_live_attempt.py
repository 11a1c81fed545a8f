"""What an attempt has measured and traced so far, in a bounded size, whatever the job writes."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import StoreError
from orchestrator.launch.execute.log_relay import MOST_STATE
from orchestrator.record.runs.attempts import LIVE_DOCUMENT
from orchestrator.run.live.growing_trace import MOST as MOST_STEPS
from orchestrator.run.live.growing_trace import GrowingTrace
from orchestrator.run.live.live_attempt import HELD, MOST_SERIES, LiveAttempt
from orchestrator.run.live.reduce_points import MOST, GrowingSeries
from orchestrator.run.live.usage import UsageReader
from orchestrator.run.workspace import Folders


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=2000))
def test_a_series_of_any_length_keeps_its_spikes(values: list[float]) -> None:
    series = GrowingSeries("x")
    for value in values:
        series.add(None, value)
    state = series.state()
    finite = [value for value in values if math.isfinite(value)]
    assert state.points == len(values)
    assert state.not_finite == len(values) - len(finite)
    assert len(state.buckets) < 2 * MOST
    if finite:
        assert (state.low, state.high) == (min(finite), max(finite))
        assert min(one[2] for one in state.buckets) == float(f"{min(finite):.6g}")
        assert max(one[3] for one in state.buckets) == float(f"{max(finite):.6g}")
    assert [one[0] for one in state.buckets] == sorted(one[0] for one in state.buckets)


def test_a_million_points_are_a_small_state() -> None:
    series = GrowingSeries("x")
    for step in range(100_000):
        series.add(step, step * 0.1)
    state = series.state()
    assert state.points == 100_000
    assert (state.buckets[0][0], state.buckets[-1][1]) == (0, 99_999)
    assert len(state.model_dump_json()) < 20_000


def folders(root: Path) -> Folders:
    found = Folders(root / "workspace", root / "report")
    for folder in (found.workspace, found.report):
        folder.mkdir(parents=True)
    return found


def trace(steps: range, apart: int | None = None) -> list[bytes]:
    lines = [{"trace": 1, "rank": 0}, {"table": 0, "of": "SGD", "tensors": [["w", "float32[2]"]]}]
    for step in steps:
        digest = "f" * 16 if apart is not None and step >= apart else "0" * 16
        lines.append({"e": "loss", "s": step, "v": [["", "float32[]", "1" * 16]], "x": [1 / (step + 1)]})
        lines.append({"e": "params", "s": step, "o": 0, "t": 0, "d": digest})
    return [json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines]


def test_points_steps_and_losses_as_they_come(tmp_path: Path) -> None:
    where = folders(tmp_path)
    live = LiveAttempt(where, None)
    assert live.look().trace is None
    (where.workspace / "metrics.jsonl").write_text('{"step": 3, "loss": 0.5, "nan": NaN}\n{"step": 4, "lo')
    (where.report / "trace-7.jsonl").write_bytes(b"".join(trace(range(3))))
    state = live.look()
    assert [(one.name, one.points, one.value) for one in state.series] == [
        ("trace.loss", 3, 1 / 3),
        ("loss", 1, 0.5),
        ("nan", 1, None),
    ]
    assert state.trace is not None
    assert (state.trace.steps, state.trace.phase, state.trace.events) == (3, "optimizer", 6)
    assert next((one.first, one.phases) for one in state.trace.ribbon) == (0, {"forward": 1, "optimizer": 1})
    with (where.workspace / "metrics.jsonl").open("a") as stream:
        stream.write('ss": 0.25}\n')
    assert live.look().series[1].points == 2
    live.close()


def test_a_rerun_is_set_beside_its_original(tmp_path: Path) -> None:
    where = folders(tmp_path)
    before = tmp_path / "before"
    before.write_bytes(b"".join(trace(range(10))[1:]))
    live = LiveAttempt(where, None, lambda rank: before.open("rb") if rank == 0 else None)
    (where.report / "trace-7.jsonl").write_bytes(b"".join(trace(range(10), apart=6)))
    state = live.look()
    assert state.trace is not None
    assert state.trace.compared
    assert [one.apart for one in state.trace.ribbon] == [()] * 6 + [("optimizer",)] * 4
    live.close()


def test_many_steps_become_groups_that_keep_what_differs() -> None:
    growing = GrowingTrace(None)
    growing.add(trace(range(5000)))
    ribbon = growing.ribbon()
    assert len(ribbon) < 2 * MOST_STEPS
    assert (ribbon[0].first, ribbon[-1].last) == (0, 4999)
    assert sum(one.phases["optimizer"] for one in ribbon) == 5000
    assert all(a.last < b.first for a, b in itertools.pairwise(ribbon))


def test_what_a_hostile_job_writes_costs_only_itself(tmp_path: Path) -> None:
    where = folders(tmp_path)
    (where.workspace / "metrics.jsonl").symlink_to("/etc/passwd")
    os.mkfifo(where.report / "trace-1.jsonl")
    (where.report / "trace-2.jsonl").symlink_to("/etc/passwd")
    (where.report / "trace-3.jsonl").write_bytes(
        b'\xff\n{"e":"params","s":1}\n{"e":"loss","s":2,"x":[1e999]}\n'
    )
    live = LiveAttempt(where, None)
    state = live.look()
    assert len(state.problems) == 3
    assert state.trace is not None and state.trace.steps == 2
    live.close()
    many = folders(tmp_path / "many")
    names = {f"m{number}": number for number in range(HELD + 50)}
    lines = [json.dumps(names), "[]", "{", "[" * 100_000, '{"a": ' * 50_000, "x" * 100_000, "null", ""]
    (many.workspace / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    live = LiveAttempt(many, None)
    state = live.look()
    assert len(state.series) == MOST_SERIES
    assert state.more_series == HELD - MOST_SERIES + 1
    assert len(state.model_dump_json()) < 1 << 18
    live.close()


def test_what_this_process_takes_can_be_read() -> None:
    reader = UsageReader(os.getpid(), (), 5)
    use = reader.look()
    sum(range(2_000_000))
    again = reader.look()
    if use is None:  # no cgroup to be seen here
        return
    assert use.limit == 5
    assert again is not None
    assert again.processors is None or again.processors >= 0
    assert UsageReader(1 << 30, (), None).look() is None


def test_an_original_that_cannot_be_read_on_makes_no_difference(tmp_path: Path) -> None:
    """After a line that was not read, none stands beside its own."""

    class Away(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 200:
                raise StoreError("the store is away")
            return super().readline(size)

    lines = trace(range(6))
    where = folders(tmp_path)
    (where.report / "trace-7.jsonl").write_bytes(b"".join(lines))
    live = LiveAttempt(where, None, lambda _rank: Away(b"".join(lines[1:])))
    state = live.look()
    assert state.trace is not None
    assert (state.trace.events, state.trace.compared) == (12, False)
    assert not any(step.apart for step in state.trace.ribbon)
    assert state.problems == ("the original's trace: the store is away",)
    with (where.report / "trace-7.jsonl").open("ab") as stream:
        stream.write(b"".join(trace(range(8))[-2:]))
    again = live.look().trace
    assert again is not None
    assert not any(step.apart for step in again.ribbon)
    live.close()


def test_points_carry_the_seconds_since_the_start_where_the_file_has_times(tmp_path: Path) -> None:
    """By the rule of recorded points. The tracer's lines have none: each run's would be others."""
    where = folders(tmp_path)
    began = 1_790_000_000.0
    live = LiveAttempt(where, None, start=lambda: began)
    points: list[dict[str, float]] = [
        {"step": step, "loss": 1, "time": began + 2 * step, **({"late": 1} if step else {})}
        for step in range(3)
    ]
    points += [{"step": 3, "loss": 1}, {"step": 4, "plain": 1, "time": 0.5}]
    (where.workspace / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in points))
    (where.report / "trace-7.jsonl").write_bytes(b"".join(trace(range(3))))
    found = {one.name: one.seconds for one in live.look().series}
    assert found["loss"] == ((0, 0), (2, 2), (4, 4), None)
    assert found["late"] == ((2, 2), (4, 4))
    assert (found["plain"], found["trace.loss"]) == ((), ())
    unseen = LiveAttempt(where, None)
    assert {one.name: one.seconds for one in unseen.look().series}["late"] == ((0, 0), (2, 2))


@given(st.lists(st.floats(min_value=1e9, max_value=7e9), min_size=1, max_size=900))
def test_times_of_a_series_of_any_length_are_within_their_buckets(moments: list[float]) -> None:
    series = GrowingSeries("x")
    for moment in moments:
        series.add(None, 1.0, moment)
    state = series.state(moments[0])
    assert len(state.seconds) == len(state.buckets)
    for (first, last, _, _), seconds in zip(state.buckets, state.seconds, strict=True):
        there = [round(moment - moments[0], 3) for moment in moments[first : last + 1]]
        assert seconds == (min(there), max(there))


def test_the_largest_state_goes_through_the_record(tmp_path: Path) -> None:
    where = folders(tmp_path)
    live = LiveAttempt(where, None, start=lambda: 1.7e9)
    names = [f"{'n' * 190}{number:02}" for number in range(MOST_SERIES)]
    with (where.workspace / "metrics.jsonl").open("w") as stream:
        for step in range(2 * MOST - 1):
            value = -1.23456e-300 * (step + 1)
            line = {"step": (1 << 62) + step, "time": 1_799_999_999.123 + step} | dict.fromkeys(names, value)
            stream.write(json.dumps(line) + "\n")
    (where.report / "trace-7.jsonl").write_bytes(b"".join(trace(range(2 * MOST_STEPS - 1))))
    text = live.look().model_dump_json()
    assert 200_000 < len(text) < MOST_STATE < LIVE_DOCUMENT
