from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import tries
from support.trace_changes import change_digest, event

from orchestrator.digest import Digest
from orchestrator.errors import ExitCode
from orchestrator.run.attempt_model import State
from orchestrator.run.metrics.series import MetricPoint
from orchestrator.spec.jobfile.job_spec import Tolerances
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.traces import trace_lines
from orchestrator.verdict.traces.compare_traces import compare_traces
from orchestrator.verdict.verdict_model import CauseKind, Outcome, Phase, Verdict
from orchestrator.view.verdict_explanation import first_words


@pytest.fixture
def lines(trace_of):
    """A trace of the rerun, to be changed by hand."""
    return trace_of(pid=9, began=77)


@pytest.fixture
def judge(blobs, original, rerun):
    """`judge(lines)`: the verdict on a rerun that left this trace."""
    return lambda lines, **changes: compare(
        original, rerun(**{"traces": (blobs.traced(lines),)} | changes), blobs.open
    )


FIRST = {
    "init": (0, 2, "step 0, init: weights before the first step, fc.weight (1 of 3 tensors)"),
    "rng": (1, 1, "step 1, rng: state of the random generator torch (1 of 2 generators)"),
    "batch": (1, 0, "step 1, batch: batch of DataLoader, entry 0 (1 of 2 tensors)"),
    "forward": (2, 0, "step 2, forward: output of CNN"),
    "loss": (2, 0, "step 2, forward: loss, "),
    "grads": (1, 1, "step 1, backward: gradient of conv1.bias (1 of 3 tensors)"),
    "params": (2, 0, "step 2, optimizer: conv1.weight after the step of SGD (1 of 3 tensors)"),
}


@pytest.mark.parametrize("kind", FIRST)
def test_the_first_difference_is_named(judge, lines, kind):
    step, index, words = FIRST[kind]
    change_digest(event(lines, kind, step), index)
    verdict = judge(lines)
    assert verdict.outcome is Outcome.DIFFERENT
    assert verdict.outcome.exit_code is ExitCode.DIFFERENT
    assert first_words(verdict.first).startswith(words)
    assert verdict.first.step == step
    assert verdict.first.original != verdict.first.rerun
    assert verdict.summary.startswith(f"different: training differs from step {step} on (")
    assert verdict.summary.endswith("all 3 outputs are equal byte for byte, 3 equal metrics all the same")
    assert verdict.causes
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_what_is_equal_before_it_is_counted(judge, lines):
    change_digest(event(lines, "grads", 1), 1)
    traced = judge(lines).traced
    assert (traced.ranks, traced.steps, traced.events, traced.tensors) == (1, 1, 11, 21)


def test_a_loss_is_named_by_its_value(judge, lines):
    loss = event(lines, "loss", 1)
    loss["x"] = [2.5]
    change_digest(loss, 0)
    assert first_words(judge(lines).first) == "step 1, forward: loss, 2.175 vs 2.5"


def test_several_tensors_of_one_event_are_counted(judge, lines):
    for index in range(3):
        change_digest(event(lines, "params", 0), index)
    first = judge(lines).first
    assert (first.tensor, first.differing, first.tensors) == ("conv1.weight", 3, 3)


def test_weights_and_generators_come_before_the_batch_of_their_step(judge, lines):
    """They are digested after it was fetched, so in the file they come later."""
    change_digest(event(lines, "batch", 0), 0)
    change_digest(event(lines, "rng", 0), 1)
    assert judge(lines).first.phase is Phase.RNG
    change_digest(event(lines, "init", 0), 0)
    verdict = judge(lines)
    assert verdict.first.phase is Phase.INIT
    assert verdict.first.note == "the state of a random generator differs too: torch"
    assert "it seeds them from outside the program" in verdict.causes[0].text


def test_a_batch_that_differs_after_the_forward_pass_does_not_come_before_it(judged, blobs, trace_of):
    """With gradient accumulation a step has several batches."""

    def accumulated(digit: str, **header: Any) -> tuple[Any, ...]:
        lines = trace_of(**header)
        second = {"e": "batch", "s": 1, "n": "DataLoader", "v": [["0", "float32[2]", digit * 16]]}
        lines.insert(lines.index(event(lines, "grads", 1)), second)
        lines[-1]["events"] += 1
        event(lines, "forward", 1)["v"][0][2] = digit * 16
        return (blobs.traced(lines),)

    verdict = judged({"traces": accumulated("1")}, {"traces": accumulated("2", pid=9)})
    assert verdict.first.phase is Phase.FORWARD


def test_another_batch_more_is_another_path(judge, lines):
    second = {"e": "batch", "s": 0, "n": "DataLoader", "v": [["0", "float32[2]", "0" * 16]]}
    lines.insert(lines.index(event(lines, "grads", 0)), second)
    first = judge(lines).first
    assert (first.phase, first.note) == (Phase.BATCH, "the two runs took different paths")


def test_the_step_counts_more_than_the_phase(judge, lines):
    change_digest(event(lines, "params", 0), 0)
    change_digest(event(lines, "rng", 1), 0)
    first = judge(lines).first
    assert (first.step, first.phase) == (0, Phase.OPTIMIZER)


def test_the_same_batches_in_another_order(judge, lines):
    one, two = event(lines, "batch", 1), event(lines, "batch", 2)
    one["v"], two["v"] = two["v"], one["v"]
    verdict = judge(lines)
    assert verdict.first.phase is Phase.BATCH
    assert verdict.causes[0].kind is CauseKind.DATA_ORDER
    assert "the same batches came in another order from step 1 on" in verdict.causes[0].text
    change_digest(one, 0)
    verdict = judge(lines)
    assert verdict.causes[0].kind is CauseKind.DATA_ORDER
    assert "the batch of step 1 held other samples" in verdict.causes[0].text


# what cannot be set side by side


def test_another_number_of_steps(judge, trace_of, blobs, record, rerun):
    verdict = judge(trace_of(steps=2, pid=9))
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert verdict.summary == "not comparable: step count 3 vs 2"
    assert verdict.causes[0].kind is CauseKind.SCRIPT
    assert "stops after another number of steps" in verdict.causes[0].text


def test_another_number_of_steps_after_a_difference(judge, trace_of):
    """Early stopping: the numbers parted first."""
    lines = trace_of(steps=2, pid=9)
    change_digest(event(lines, "grads", 1), 0)
    verdict = judge(lines)
    assert (verdict.outcome, verdict.first.step) == (Outcome.DIFFERENT, 1)


def test_more_events_after_the_same_steps(judge, lines):
    lines.insert(-1, {"e": "loss", "s": 3, "v": [["", "float32[]", "0" * 16]], "x": [1]})
    lines[-1]["events"] += 1
    verdict = judge(lines)
    assert verdict.outcome is Outcome.DIFFERENT
    assert first_words(verdict.first) == (
        "step 3, forward: the two runs took different paths (the end vs loss at step 3)"
    )


def test_another_path(judge, lines):
    event(lines, "forward", 1)["n"] = "RNN"
    verdict = judge(lines)
    assert first_words(verdict.first) == (
        "step 1, forward: the two runs took different paths (forward of CNN at step 1"
        " vs forward of RNN at step 1)"
    )
    assert "took another path" in verdict.causes[0].text


def test_other_shapes(judge, lines):
    event(lines, "batch", 1)["v"][1][1] = "int64[31]"
    assert first_words(judge(lines).first) == (
        "step 1, batch: tensors of other shapes or names (1 int64[32] vs 1 int64[31])"
    )


TABLES = {
    "name": (
        lambda table: table["tensors"][0].__setitem__(0, "conv2"),
        "other tensors (conv1.weight float32",
    ),
    "shape": (lambda table: table["tensors"][0].__setitem__(1, "int8[2]"), "vs conv1.weight int8[2])"),
    "number": (lambda table: table["tensors"].pop(), "3 vs 2 tensors in SGD"),
    "optimizer": (lambda table: table.update(of="Adam"), "another optimizer or model (SGD vs Adam)"),
}


@pytest.mark.parametrize("name", TABLES)
def test_other_tensors(judge, lines, name):
    alter, said = TABLES[name]
    table = next(line for line in lines if line.get("table") == 1)
    table["tensors"] = [list(row) for row in table["tensors"]]
    alter(table)
    verdict = judge(lines)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert said in verdict.summary


def test_another_header(judge, lines):
    lines[0]["every"] = 2
    assert judge(lines).summary == "not comparable: traced in another way (every 1 vs 2)"


def test_another_number_of_processes(judge, blobs, original, rerun, trace_of):
    verdict = compare(original, rerun(traces=()), blobs.open)
    assert verdict.summary == "not comparable: 1 vs 0 traced processes"
    two = tuple(blobs.traced(trace_of(rank=rank, world=2)) for rank in range(2))
    assert compare(original, rerun(traces=two), blobs.open).summary == "not comparable: world size 1 vs 2"


# several processes


def ranks(blobs: Any, trace_of: Any, *changed: int, pid: int = 20) -> tuple[Any, ...]:
    files = []
    for rank in range(2):
        lines = trace_of(rank=rank, world=2, pid=pid + rank, began=pid)
        if rank in changed:
            change_digest(event(lines, "grads", 2 - rank), 0)
        files.append(blobs.traced(lines))
    return tuple(files)


def test_ranks_are_compared_each_with_its_own(blobs, record, rerun, trace_of):
    left = record(traces=ranks(blobs, trace_of))
    equal = compare(left, rerun(traces=ranks(blobs, trace_of, pid=30)), blobs.open)
    assert equal.outcome is Outcome.IDENTICAL
    assert (equal.traced.ranks, equal.traced.tensors) == (2, 78)
    one = compare(left, rerun(traces=ranks(blobs, trace_of, 1, pid=30)), blobs.open)
    assert first_words(one.first).startswith("step 1, backward on rank 1: gradient of conv1.weight")
    both = compare(left, rerun(traces=ranks(blobs, trace_of, 0, 1, pid=30)), blobs.open)
    assert (both.first.rank, both.first.step, both.traced.steps) == (1, 1, 1)


def test_processes_that_began_together_have_no_order(blobs, record, rerun, trace_of):
    one, two = trace_of(steps=2), trace_of(steps=4)
    left = record(traces=(blobs.traced(one), blobs.traced(two)))
    right = rerun(traces=(blobs.traced(trace_of(steps=4, pid=1)), blobs.traced(trace_of(steps=2, pid=2))))
    assert compare(left, right, blobs.open).outcome is Outcome.IDENTICAL
    fewer = compare(left, rerun(traces=right.traces[:1]), blobs.open)
    assert fewer.summary == "not comparable: 2 vs 1 traced process"


def test_processes_that_all_differ_are_paired_by_how_far_they_go_together(blobs, record, rerun, trace_of):
    """By their beginnings alone, other models stand side by side, and differ in their first weights."""

    def workers(order: str, differ: bool) -> tuple[Any, ...]:
        traces = []
        for place, name in enumerate(order):
            lines = trace_of(pid=place, began=place)
            event(lines, "init", 0)["d"] = name * 48
            if differ:
                change_digest(event(lines, "grads", 2), 0)
            traces.append(blobs.traced(lines))
        return tuple(traces)

    left = record(traces=workers("abcd", differ=False))
    verdict = compare(left, rerun(traces=workers("cadb", differ=True)), blobs.open)
    assert (verdict.outcome, verdict.first.step, verdict.first.phase) == (
        Outcome.DIFFERENT,
        2,
        Phase.BACKWARD,
    )
    assert not any("weights" in cause.text for cause in verdict.causes)
    stopped = {"state": State.CANCELLED, "parted_at": 2, "exit_code": None}
    cut = rerun(traces=workers("cadb", differ=True), **stopped)
    assert compare(left, cut, blobs.open).first == verdict.first


# traces that cannot be believed


def cut(lines: list[Any]) -> list[Any]:
    return lines[:-1]


def broke(lines: list[Any]) -> list[Any]:
    return [*lines[:-1], {"broken": "no room\ud800", "steps": 3}]


def follow(lines: list[Any]) -> list[Any]:
    return [*lines, {"e": "loss", "s": 9, "v": []}]


DEEP = b'{"e":"grads","s":0,"d":' + b"[" * 100_000 + b"\n"
BROKEN: dict[str, tuple[Any, str]] = {
    "cut off": (cut, "was cut off before its end"),
    "broke off": (broke, "broke off: no room"),
    "goes on": (follow, "goes on after its last line"),
    "garbage": (lambda lines: [*lines[:4], b"garbage\n", *lines[5:]], "cannot be read"),
    "deep": (lambda lines: [*lines[:6], DEEP, *lines[7:]], "cannot be read"),
    "not UTF-8": (lambda lines: [*lines[:6], b'{"e":"\xff"}\n', *lines[7:]], "cannot be read"),
    "unknown event": (lambda lines: [*lines[:6], {"e": "dance", "s": 0}, *lines[7:]], "not an event"),
    "huge number": (
        lambda lines: [*lines[:6], b'{"e":"loss","s":' + b"9" * 9999 + b"}\n", *lines[7:]],
        "count",
    ),
    "no step": (lambda lines: [*lines[:6], {"e": "loss", "v": []}, *lines[7:]], "not a count"),
    "negative step": (lambda lines: [*lines[:6], {"e": "loss", "s": -1}, *lines[7:]], "not a count"),
    "an array": (lambda lines: [*lines[:6], b"[1]\n", *lines[7:]], "no JSON object"),
    "rows of numbers": (lambda lines: [*lines[:6], {"e": "loss", "s": 0, "v": [1]}, *lines[7:]], "tensors"),
    "names of numbers": (
        lambda lines: [*lines[:6], {"e": "loss", "s": 0, "v": [[1, 2]]}, *lines[7:]],
        "text",
    ),
    "odd digests": (
        lambda lines: [*lines[:6], {"e": "grads", "s": 0, "t": 1, "d": "ab"}, *lines[7:]],
        "length",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("recorded", [True, False])
def test_a_trace_that_is_not_whole_is_no_evidence(judge, blobs, lines, name, recorded):
    alter, said = BROKEN[name]
    facts = {} if recorded else {"complete": True, "steps": 3, "events": 19}
    file = blobs.traced(alter(lines), **facts)
    verdict = judge(lines, traces=(file,))
    assert verdict.outcome is Outcome.NOT_INSTRUMENTED, verdict
    assert "of the rerun" in verdict.summary
    assert recorded or said in verdict.summary
    assert judge(lines, traces=(file,), metrics={}).outcome is Outcome.DIFFERENT
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_a_difference_before_a_cut_is_a_difference(judge, lines):
    change_digest(event(lines, "params", 0), 0)
    verdict = judge(cut(lines))
    assert verdict.outcome is Outcome.DIFFERENT
    (note,) = verdict.notes
    assert note.startswith("the trace of rank 0 of the rerun was cut off before its end: its process")


def upto(lines: list[Any], kind: str, step: int) -> list[Any]:
    return lines[: lines.index(event(lines, kind, step)) + 1]


def test_only_steps_that_a_trace_holds_are_called_equal(judge, blobs, record, rerun, lines, trace_of):
    """A cut trace's steps may stand in the record all the same: a job can write what it likes."""
    for kind, step, equal in (("batch", 0, 0), ("params", 0, 1), ("grads", 1, 1), ("params", 1, 2)):
        verdict = judge(lines, traces=(blobs.traced(upto(lines, kind, step), steps=3),))
        assert verdict.traced.steps == equal
        assert f"{equal} step{'' if equal == 1 else 's'} of training equal" in verdict.summary
    whole = [trace_of(rank=rank, world=2, pid=rank) for rank in (0, 1)]
    original = record(traces=tuple(blobs.traced(one) for one in whole))
    again = blobs.traced(whole[0]), blobs.traced(upto(whole[1], "loss", 1))
    assert compare(original, rerun(traces=again), blobs.open).traced.steps == 1  # of the two processes


def test_a_damaged_or_missing_blob_is_no_evidence(judge, blobs, lines):
    file = blobs.traced(lines)
    change_digest(event(lines, "params", 0), 0)
    blobs.held[file.digest] = blobs.held[blobs.traced(lines).digest]
    damaged = judge(lines, traces=(file,))
    assert damaged.outcome is Outcome.NOT_INSTRUMENTED
    assert "the trace of rank 0 of the rerun is damaged in the store" in damaged.summary
    assert damaged.first is None
    assert damaged.traced.tensors == damaged.traced.steps == 0
    del blobs.held[file.digest]
    assert "a trace of rank 0 cannot be read: no blob" in judge(lines, traces=(file,)).summary


@pytest.mark.parametrize("facts", [{"steps": 4}, {"events": 18}, {"rank": 1}, {"world": 2}, {"size": 1}])
def test_a_record_that_contradicts_its_trace_is_no_evidence(judge, blobs, lines, facts):
    verdict = judge(lines, traces=(blobs.traced(lines, **facts),))
    assert verdict.outcome in (Outcome.NOT_INSTRUMENTED, Outcome.NOT_COMPARABLE)


@pytest.mark.parametrize("depth", [10, 900, 100_000])
def test_a_deep_header_is_no_header(judge, blobs, lines, depth):
    whole = blobs.traced(lines)
    data = blobs.held[whole.digest].replace(b',"every"', b',"x":' + b"[" * depth + b"]" * depth + b',"every"')
    file = whole.model_copy(update={"digest": Digest.of(data), "size": len(data)})
    blobs.held[file.digest] = data
    assert "has no readable header" in judge(lines, traces=(file,)).summary


def test_long_lines_end_the_reading(judge, blobs, lines, monkeypatch):
    monkeypatch.setattr(trace_lines, "LONGEST_LINE", 200)
    lines[6] = {"e": "loss", "s": 0, "v": [["x" * 300, "", "0" * 16]]}
    assert "has a line of more than" in judge(lines).summary


def test_names_past_the_cap_are_left_out(judge, lines, monkeypatch):
    monkeypatch.setattr(trace_lines, "MAX_TABLES", 10)
    change_digest(event(lines, "grads", 1), 1)
    assert judge(lines).first.tensor == "tensor 1"


def test_events_over_the_budget_are_compared_by_their_one_digest(blobs, record, rerun, trace_of):
    def over(digest: str, **header: Any) -> tuple[Any, ...]:
        lines = trace_of(**header)
        grads = event(lines, "grads", 1)
        del grads["d"]
        grads["c"] = digest
        return (blobs.traced(lines),)

    left = record(traces=over("a" * 16))
    assert compare(left, rerun(traces=over("a" * 16, pid=9)), blobs.open).outcome is Outcome.IDENTICAL
    first = compare(left, rerun(traces=over("b" * 16, pid=9)), blobs.open).first
    assert first_words(first).startswith("step 1, backward: over the budget of the trace")
    assert (first.original, first.rerun, first.where) == ("a" * 16, "b" * 16, "SGD")


def test_other_bytes_of_equal_digests_are_not_equal(judge, lines):
    event(lines, "loss", 1)["x"] = [2.5]
    verdict = judge(lines)
    assert (verdict.outcome, verdict.first.phase) == (Outcome.DIFFERENT, Phase.FORWARD)
    assert "the rest of the line is not" in verdict.first.note


def test_names_are_short_and_clean(judge, lines):
    name = "\ud800\0" + "n" * 500
    batch = event(lines, "batch", 1)
    batch["v"][0][0] = name
    verdict = judge(lines)
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    assert "\0" not in verdict.model_dump_json()
    assert len(verdict.first.rerun) < 300


# metrics and tolerances


def test_a_tolerance_that_holds_excuses_the_trace(judged, blobs, record, rerun, lines, tolerance):
    change_digest(event(lines, "params", 1), 0)
    changed = {"traces": (blobs.traced(lines),), "metrics": {"accuracy": 0.986, "loss": 0.25}}
    wide = record(tolerance=tolerance(accuracy=(0.01, 0), loss=(0.01, 0)))
    verdict = compare(wide, rerun(**changed), blobs.open)
    assert verdict.outcome is Outcome.WITHIN_TOLERANCE
    assert verdict.first.step == 1
    closer = compare(wide, rerun(traces=changed["traces"]), blobs.open)
    assert closer.outcome is Outcome.WITHIN_TOLERANCE, "nearer results are no worse"
    assert judged({}, {"traces": changed["traces"]}).outcome is Outcome.DIFFERENT


def test_a_tolerance_for_one_metric_says_nothing_of_training(
    judged, blobs, record, rerun, lines, tolerance, npy
):
    """Least of all one for a time: all else is judged as if it were not there."""
    change_digest(event(lines, "params", 1), 0)
    before = {"accuracy": 0.9861, "loss": 0.25, "epochs": 3.0, "train_runtime": 1.5}
    after = {"traces": (blobs.traced(lines),), "metrics": before | {"train_runtime": 1.75}}

    def outcome(**given: Any) -> Outcome:
        left = record(metrics=before, tolerance=tolerance(**given))
        return compare(left, rerun(**after), blobs.open).outcome

    assert outcome(train_runtime=(9, 0)) is Outcome.DIFFERENT
    assert outcome(train_runtime=(9, 0), accuracy=(0.1, 0)) is Outcome.DIFFERENT
    every = {"train_runtime": (9, 0), "accuracy": (0.1, 0), "loss": (0.1, 0)}  # epochs are counted
    assert outcome(**every) is Outcome.WITHIN_TOLERANCE
    marked = Tolerances(volatile_metrics=("train_*",))
    assert judged({"metrics": before, "tolerance": marked}, after).outcome is (Outcome.DIFFERENT)
    array = blobs.kept("weights.npy", npy("<f4", (1,), b"\0\0\0\0"))
    files = {"outputs": (array,)}
    wide = tolerance(outputs={"*.npy": (0, 0.1)}, train_runtime=(9, 0))
    verdict = judged({"metrics": before, "tolerance": wide, **files}, {**after, **files})
    assert verdict.outcome is Outcome.WITHIN_TOLERANCE, "a tolerance for tensors does"


def test_the_traced_loss_is_judged_once(blobs, record, rerun, lines, tolerance, original):
    def series(*values: float) -> dict[str, Any]:
        points = tuple(MetricPoint(name="trace.loss", step=s, value=v) for s, v in enumerate(values))
        return {"series": (*original.series, *points)}

    change_digest(event(lines, "params", 1), 0)
    left = record(**series(1.0, 0.5), tolerance=tolerance(accuracy=(0.01, 0), loss=(0.01, 0)))
    verdict = compare(left, rerun(**series(1.0, 0.75), traces=(blobs.traced(lines),)), blobs.open)
    assert (verdict.outcome, verdict.metrics) == (Outcome.WITHIN_TOLERANCE, ())
    (drift,) = verdict.drift
    assert (drift.name, drift.points, drift.differing, drift.first) == ("trace.loss", 2, 1, 1)
    assert (drift.max_abs, drift.max_rel, drift.last_abs) == (0.25, 0.5, 0.25)
    forged = compare(left, rerun(**series(1.0, 0.75)), blobs.open)
    assert forged.outcome is Outcome.DIFFERENT, "the traces are equal, so the losses must be"


# nothing in a trace raises


@settings(max_examples=tries(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([b'{"e":', b'{"table":', b"\n", b'"d":"']), max_size=8)
)
def test_random_bytes_never_raise(blobs, original, rerun, chunks):
    data = b"".join(chunks)
    known = original.traces[0]
    file = known.model_copy(update={"digest": type(known.digest).of(data), "size": len(data)})
    blobs.held[file.digest] = data
    for pair in ((original, rerun(traces=(file,))), (rerun(traces=(file,)), original)):
        found = compare_traces(*pair, blobs.open)
        assert found.problems
        assert not found.equal


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("estvdncxo"), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=tries(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(0, 21),
    key=st.sampled_from(["e", "s", "t", "d", "v", "n", "c", "x", "o"]),
    value=json_values,
)
def test_any_value_in_any_field_never_raises(judge, trace_of, place, key, value):
    lines = trace_of(pid=9, began=77)
    before = json.dumps(lines[place])
    lines[place] = {**lines[place], key: value}
    verdict = judge(lines)
    assert Verdict.model_validate_json(verdict.model_dump_json())
    if json.dumps(lines[place]) != before and 0 < place < len(lines) - 1:
        assert verdict.outcome is not Outcome.IDENTICAL


@pytest.mark.parametrize("differs", [False, True])
@pytest.mark.parametrize("who", ["original", "rerun"])
def test_of_several_threads_one_was_watched(judged, blobs, trace_of, who, differs):
    """Equal, it proves nothing of the others; unequal, another thread may have been the first."""
    left, right = trace_of(), trace_of(pid=9)
    (left if who == "original" else right)[-1]["other_threads"] = True
    if differs:
        change_digest(event(right, "grads", 1), 0)
    losses = [
        [MetricPoint(name="trace.loss", step=0, value=value)] for value in (1.0, 7.0 if differs else 1.0)
    ]
    verdict = judged(
        {"traces": (blobs.traced(left),), "series": losses[0]},
        {"traces": (blobs.traced(right),), "series": losses[1]},
    )
    assert (verdict.outcome, verdict.first, verdict.drift) == (Outcome.NOT_INSTRUMENTED, None, ())
    said = f"the trace of rank 0 of the {who} is of one thread of several that trained"
    assert verdict.summary.endswith(f"but {said}")


@pytest.mark.parametrize(
    ("kind", "shape", "proved"),
    [
        ("batch", "nested[]", False),
        ("forward", "float32[32,10]", False),
        ("loss", "float32[]", False),
        ("batch", "meta float32[2]", True),
        ("batch", "none", True),
        ("init", "float32[8]", False),
        ("params", "float32[8]", False),
        ("params", "uninitialized", True),
        ("grads", "float32[8]", True),  # no gradient: its table has the parameter's shape
    ],
)
def test_a_tensor_without_a_digest_is_no_evidence(judged, blobs, trace_of, kind, shape, proved):
    traces = []
    for pid in (7, 9):
        lines = trace_of(pid=pid)
        line = event(lines, kind, 0)
        if "v" in line:
            line["v"][0][1:] = [shape, "-" * 16]
        else:
            line["d"] = line["d"][:16] + "-" * 16 + line["d"][32:]
            table = next(one for one in lines if one.get("table") == line["t"])
            table["tensors"] = [
                [name, shape if at == 1 else was] for at, (name, was) in enumerate(table["tensors"])
            ]
        traces.append(blobs.traced(lines))
    verdict = judged({"traces": traces[:1]}, {"traces": traces[1:]})
    expected = Outcome.IDENTICAL if proved else Outcome.NOT_INSTRUMENTED
    assert verdict.outcome is expected, verdict.summary
    if not proved:
        assert "the trace of rank 0 has no digest of" in verdict.summary
