"""A trace that grows, beside the original's: it parts where two finished traces would be called different."""

from __future__ import annotations

import io
import json
import random

import pytest
from support.examples import tries
from support.trace_changes import change_digest, event

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.run.attempt_model import State
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.traces.compare_traces import compare_traces
from orchestrator.verdict.traces.live_comparison import SETTLE, LiveComparison
from orchestrator.verdict.traces.stopping_rules import why_not_to_stop
from orchestrator.verdict.verdict_model import CauseKind, Outcome

HONEST = tries(400)
FLIPPED = tries(400)


def encoded(lines):
    return b"".join(
        line if isinstance(line, bytes) else json.dumps(line, separators=(",", ":")).encode() + b"\n"
        for line in lines
    )


class Growing:
    """Traces of a rerun, fed a part at a time; `data` is what a job wrote by now."""

    def __init__(self, originals, blobs, more=0):
        self.live = LiveComparison(originals, blobs.open, more)
        self.data = {}

    def write(self, name, data):
        before = self.data.get(name, b"")
        self.data[name] = before + data
        cut = [
            whole.rpartition(b"\n")[0].count(b"\n") + (b"\n" in whole) for whole in (before, before + data)
        ]
        lines = self.data[name].splitlines(keepends=True)[cut[0] : cut[1]]
        self.live.feed(name, lines, lambda: io.BytesIO(self.data[name]))

    def parted(self, now=0.0):
        return self.live.parted(now)


def pieces(generator, data):
    while data:
        size = generator.randrange(1, 400)
        yield data[:size]
        data = data[size:]


def test_an_honest_rerun_never_parts(blobs, original, trace_of):
    generator = random.Random(1)
    honest = encoded(trace_of(pid=9, began=77))
    for _ in range(HONEST):
        growing = Growing(original.traces, blobs, more=generator.randrange(3))
        for number, piece in enumerate(pieces(generator, honest)):
            growing.write("a", piece)
            assert growing.parted(float(number)) is None


def test_beside_a_trace_of_one_thread_of_several_nothing_parts(blobs, record, rerun, trace_of):
    """Another thread may be the one that is watched this time; and who stopped it anyway shows nothing."""
    lines = trace_of()
    lines[-1]["other_threads"] = True
    before = record(traces=(blobs.traced(lines),))
    again = trace_of(pid=9)
    change_digest(event(again, "grads", 0), 0)
    growing = Growing(before.traces, blobs)
    growing.write("a", encoded(again))
    assert growing.parted() is None
    cut = rerun(traces=(blobs.traced(again[:-1]),), state=State.CANCELLED, parted_at=0, exit_code=None)
    assert compare(before, cut, blobs.open).outcome is Outcome.NOT_COMPARABLE


def test_what_a_finished_comparison_calls_the_first_difference_is_seen_as_soon_as_its_step_is_whole(
    blobs, original, rerun, trace_of
):
    generator = random.Random(2)
    kinds = ("init", "rng", "batch", "forward", "loss", "grads", "params")
    for _ in range(FLIPPED):
        lines = trace_of(pid=9, began=77)
        for _ in range(generator.randrange(1, 3)):
            kind = generator.choice(kinds)
            change_digest(event(lines, kind, 0 if kind == "init" else generator.randrange(3)), 0)
        whole = compare_traces(original, rerun(traces=(blobs.traced(lines),)), blobs.open).first
        growing = Growing(original.traces, blobs)
        seen = None
        for piece in pieces(generator, encoded(lines)):
            growing.write("a", piece)
            seen = growing.parted()
            if seen is not None:
                break
        assert seen == whole
        if seen is None:  # two changes undid each other
            continue
        if seen.step < 2:
            assert b'{"e":"params","s":2' not in growing.data["a"]
        # The run is stopped now: what it left gives the same difference, and the same cause.
        data = growing.data["a"]
        whole_lines = [json.loads(line) for line in data.splitlines(True) if line.endswith(b"\n")]
        rest = data[data.rfind(b"\n") + 1 :]
        cut = blobs.traced([*whole_lines, *([rest] if rest else [])], steps=0, complete=False)
        stopped = rerun(traces=(cut,), state=State.CANCELLED, exit_code=143, parted_at=0, seconds=1.0)
        verdict = compare(original, stopped, blobs.open)
        assert (verdict.outcome, verdict.first) == (Outcome.DIFFERENT, whole)
        assert verdict.stopped is not None
        assert not [note for note in verdict.notes if "cut off" in note]
        assert verdict.causes == compare(original, rerun(traces=(blobs.traced(lines),)), blobs.open).causes


def test_so_many_steps_more(blobs, original, trace_of):
    lines = trace_of(pid=9, began=77)
    change_digest(event(lines, "grads", 0), 0)
    for more, last in ((0, 0), (1, 1), (2, 2)):
        growing = Growing(original.traces, blobs, more)
        for line in encoded(lines).splitlines(keepends=True):
            growing.write("a", line)
            if growing.parted() is not None:
                assert line.startswith(b'{"e":"params","s":%d' % last)
                break
        else:
            pytest.fail("never seen")
    growing = Growing(original.traces, blobs, 3)  # the job ends before
    growing.write("a", encoded(lines))
    assert growing.parted() is None


@pytest.mark.parametrize(
    "unlike",
    [
        lambda lines: lines[0].update(torch="2.14.0"),
        lambda lines: lines[0].update(rank=3),
        lambda lines: lines[2].update(of="another"),
        lambda lines: lines.__delitem__(slice(-8, -1)),  # fewer steps
        lambda lines: lines.__setitem__(0, b"\xff\n"),
        lambda lines: lines.__setitem__(9, b"{}\n"),
        lambda lines: lines.__setitem__(9, b'{"e":"grads","s":0,"t":\n'),
        lambda lines: lines.__setitem__(-1, {"broken": "why", "steps": 3}),
    ],
)
def test_what_cannot_be_set_side_by_side_is_left_to_the_end(blobs, original, trace_of, unlike):
    lines = trace_of(pid=9, began=77)
    unlike(lines)
    growing = Growing(original.traces, blobs)
    growing.write("a", encoded(lines))
    assert growing.parted() is None
    assert growing.parted(2 * SETTLE) is None


@pytest.mark.parametrize("processes", [1, 2])
def test_an_original_that_was_altered_in_the_store_stops_nothing(blobs, original, trace_of, processes):
    """The rerun is honest. Where the rank has two processes, the other one's trace is whole."""
    other = trace_of(began=1001)
    change_digest(event(other, "rng", 0), 0)
    originals = (*original.traces, blobs.traced(other))[:processes]
    altered = trace_of()
    change_digest(event(altered, "grads", 1), 0)
    blobs.held[original.traces[0].digest] = encoded(altered)
    growing = Growing(originals, blobs)
    growing.write("a", encoded(trace_of(pid=9, began=77)))
    with pytest.raises(StoreError, match="rank 0 of the original is damaged in the store"):
        growing.parted()


def test_processes_of_one_rank_in_another_order_do_not_part(blobs, original, trace_of):
    """Each goes with another process of the original than the one that began in its place."""
    other = trace_of(began=1001)
    change_digest(event(other, "batch", 0), 0)
    originals = (*original.traces, blobs.traced(other))
    growing = Growing(originals, blobs)
    for line, second in zip(
        encoded(other).splitlines(True), encoded(trace_of(pid=9)).splitlines(True), strict=True
    ):
        growing.write("first", line)
        growing.write("second", second)
        assert growing.parted() is None


def test_the_earliest_of_several_ranks_is_waited_for(blobs, original, trace_of):
    originals = tuple(blobs.traced(trace_of(rank=rank, world=2)) for rank in (0, 1))
    slow, fast = trace_of(rank=0, world=2, pid=8), trace_of(rank=1, world=2, pid=9)
    change_digest(event(slow, "grads", 0), 0)
    change_digest(event(fast, "grads", 1), 0)
    growing = Growing(originals, blobs)
    growing.write("fast", encoded(fast))
    assert growing.parted(10.0) is None
    growing.write("slow", encoded(slow[:6]))
    assert growing.parted(10.0 + SETTLE / 2) is None
    growing.write("slow", encoded(slow[6:12]))
    assert growing.parted(10.0 + SETTLE / 2).step == 0
    hung = Growing(originals, blobs)
    hung.write("fast", encoded(fast))
    assert hung.parted(10.0) is None
    assert hung.parted(10.0 + SETTLE).step == 1


def test_batches_in_another_order_are_called_so_where_the_rerun_was_stopped(blobs, original, rerun, trace_of):
    lines = trace_of(pid=9, began=77)
    first, second = event(lines, "batch", 0), event(lines, "batch", 1)
    first["v"], second["v"] = second["v"], first["v"]
    cut = blobs.traced(lines[:10], steps=0, complete=False)
    stopped = rerun(traces=(cut,), state=State.CANCELLED, exit_code=143, parted_at=0)
    (cause,) = [
        one for one in compare(original, stopped, blobs.open).causes if one.kind is CauseKind.DATA_ORDER
    ]
    assert cause.text.startswith("the same batches came in another order from step 0 on")


def test_a_stop_without_a_difference_in_the_trace_proves_nothing(blobs, original, rerun, trace_of):
    cut = blobs.traced(trace_of(pid=9)[:10], steps=0, complete=False)
    stopped = rerun(traces=(cut,), state=State.CANCELLED, exit_code=143, parted_at=1)
    verdict = compare(original, stopped, blobs.open)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert "shows no difference" in verdict.summary
    assert (verdict.traced.steps, verdict.traced.events) == (1, 7), (
        "what the cut trace does not hold is not equal"
    )


def test_where_a_first_difference_would_not_decide_nothing_is_stopped(
    blobs, original, record, rerun, tolerance
):
    assert why_not_to_stop(original) is None
    assert why_not_to_stop(original, rerun(state=State.RUNNING, packages={}, source={})) is None
    assert "left no trace: no process took an optimizer step" in why_not_to_stop(record(traces=()))
    assert "the original failed" in why_not_to_stop(record(state=State.FAILED, exit_code=1))
    assert "another program" in why_not_to_stop(original, rerun(image=Digest.of(b"other")))
    for given in (tolerance(loss=(0.1, 0)), tolerance({"*.pt": (0, 1e-6)})):
        assert "has tolerances" in why_not_to_stop(record(tolerance=given))
    for nothing in (tolerance(loss=(0, 0)), tolerance(unknown=(1, 0)), tolerance({"*.npz": (1, 1)})):
        assert why_not_to_stop(record(tolerance=nothing)) is None
