"""How a difference spreads, from two stored traces: bounded, and right about what is equal."""

from __future__ import annotations

import json

from orchestrator.digest import Digest
from orchestrator.run.attempt_model import State
from orchestrator.verdict.traces import difference_map as room
from orchestrator.verdict.traces.difference_map import COLUMNS, difference_map
from orchestrator.verdict.verdict_model import Phase


def changed(lines, kind, steps, index=0):
    """Another digit in one tensor's digest of these steps."""
    for line in lines:
        if line.get("e") == kind and line["s"] in steps:
            if "d" in line:
                at = index * 16
                digit = "0" if line["d"][at] != "0" else "1"
                line["d"] = line["d"][:at] + digit + line["d"][at + 1 :]
            else:
                line["v"][index][2] = "0" * 16
    return lines


def test_equal_traces_differ_nowhere(blobs, original, rerun):
    found = difference_map(original, rerun(), blobs.open)
    assert found.columns == ((0, 0), (1, 1), (2, 2))
    assert [row.phase for row in found.phases] == list(Phase)[:-1]
    assert all(row.first is None and not any(row.apart) for row in found.phases)
    assert (found.tensors, found.equal_tensors, found.problem) == ((), 3, "")


def test_what_differs_is_named_in_the_order_in_which_it_did(blobs, original, rerun, trace_of):
    lines = changed(trace_of(pid=9), "grads", {1, 2}, 1)
    changed(lines, "params", {2}, 0)
    found = difference_map(original, rerun(traces=(blobs.traced(lines),)), blobs.open)
    rows = [(row.name, row.phase.value, row.apart, row.first) for row in found.tensors]
    assert rows == [
        ("conv1.bias", "backward", (0, 1, 1), 1),
        ("conv1.weight", "optimizer", (0, 0, 1), 2),
    ]
    assert found.equal_tensors == 1
    backward = next(row for row in found.phases if row.phase is Phase.BACKWARD)
    assert (backward.there, backward.apart, backward.first) == ((1, 1, 1), (0, 1, 1), 1)


def test_many_steps_become_groups_that_keep_what_differs(blobs, original, rerun, trace_of):
    before, after = trace_of(steps=1000), changed(trace_of(steps=1000, pid=9), "params", {777}, 2)
    pair = (
        original.model_copy(update={"traces": (blobs.traced(before),)}),
        rerun(traces=(blobs.traced(after),)),
    )
    found = difference_map(*pair, blobs.open)
    assert len(found.columns) < 2 * COLUMNS
    assert (found.columns[0][0], found.columns[-1][1]) == (0, 999)
    (row,) = found.tensors
    assert (sum(row.there), sum(row.apart), row.first) == (1000, 1, 777)
    (place,) = [place for place, count in enumerate(row.apart) if count]
    assert found.columns[place][0] <= 777 <= found.columns[place][1]
    assert len(found.model_dump_json()) < 100_000


def test_a_cut_trace_is_shown_as_far_as_it_goes(blobs, original, rerun, trace_of):
    lines = changed(trace_of(pid=9), "grads", {0})[:10]
    cut = rerun(
        traces=(blobs.traced(lines, steps=0, complete=False),),
        state=State.CANCELLED,
        exit_code=143,
        parted_at=0,
    )
    found = difference_map(original, cut, blobs.open)
    assert found.columns[0] == (0, 0)
    assert found.tensors[0].first == 0


def test_other_paths_and_what_cannot_be_read_end_the_map(
    blobs, original, rerun, record, trace_of, monkeypatch
):
    assert difference_map(record(traces=()), rerun(), blobs.open).columns == ()
    lines = trace_of(pid=9)
    del lines[11]
    found = difference_map(original, rerun(traces=(blobs.traced(lines),)), blobs.open)
    assert found.problem.startswith("the two runs took different paths after step 1")
    lines = [*trace_of(pid=9)[:9], b'{"e":"grads","s":[]}\n', b"\xff\n"]
    found = difference_map(
        original, rerun(traces=(blobs.traced(lines, steps=0, complete=False),)), blobs.open
    )
    assert found.problem
    gone = rerun(traces=(original.traces[0].model_copy(update={"digest": Digest("sha256:" + "0" * 64)}),))
    without = difference_map(original, gone, blobs.open)
    assert "no blob" in without.problem
    assert without.unread
    assert not found.unread
    several = gone.model_copy(update={"traces": gone.traces * 2})  # processes of a rank, to be paired
    without = difference_map(original, several, blobs.open)
    assert "no blob" in without.problem
    assert without.unread
    monkeypatch.setattr(room, "LINES", 5)
    assert "only the first 5" in difference_map(original, rerun(), blobs.open).problem
    json.loads(found.model_dump_json())


def test_of_many_equal_processes_not_all_are_read(blobs, original, rerun, trace_of, monkeypatch):
    """They may have gigabytes, and a page waits for it."""
    monkeypatch.setattr(room, "ALL_LINES", 50)
    traces = tuple(blobs.traced(trace_of(rank=rank, world=8)) for rank in range(8))
    found = difference_map(original.model_copy(update={"traces": traces}), rerun(traces=traces), blobs.open)
    assert found.problem == "rank 3 and those after it are not shown: 50 events were equal"
    assert len({trace.digest for trace in traces} & set(blobs.opened)) == 3
    assert len(found.columns) == 3
