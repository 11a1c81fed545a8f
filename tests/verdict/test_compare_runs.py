from __future__ import annotations

import json
import math
from typing import Any

import pytest
from support.altered import flipped

from orchestrator.digest import Digest
from orchestrator.errors import ExitCode
from orchestrator.image.image_model import BaseRef
from orchestrator.run.attempt_model import NO_FILES, Failure, MetricPoint, Readback, State
from orchestrator.spec.jobfile.job_spec import Determinism, Trace, TracedTensors
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.verdict_model import Outcome, Traced, Verdict


@pytest.fixture
def judge(blobs, original, rerun):
    """`judge(metrics={...})`: the verdict on the original and a rerun that differs in these fields."""
    return lambda **changes: compare(original, rerun(**changes), blobs.open)


def test_an_honest_rerun_is_identical_and_opens_no_blob_but_the_traces(judge, blobs, original):
    verdict = judge()
    assert verdict.outcome is Outcome.IDENTICAL
    assert verdict.outcome.exit_code is ExitCode.OK
    assert verdict.summary == (
        "identical: all 3 outputs are equal byte for byte, 3 equal metrics,"
        " 3 steps of training equal (39 digests)"
    )
    assert (verdict.original, verdict.rerun, verdict.compared) == ("a" * 16, "b" * 16, 3)
    assert verdict.files == verdict.metrics == verdict.notes == ()
    assert verdict.traced == Traced(ranks=1, steps=3, events=19, tensors=39)
    assert not (verdict.first or verdict.causes or verdict.drift or verdict.left_out)
    assert not {output.digest for output in original.outputs} & set(blobs.opened)


def test_other_hardware_and_time_do_not_matter_to_equal_bits(judge):
    assert judge(fingerprint=None, seconds=900.0, started_at=None).outcome is Outcome.IDENTICAL


# failed

FAILED = {
    "job": (
        {"state": State.FAILED, "failure": Failure.JOB, "exit_code": 3, "message": "exit code 3"},
        "failed: the rerun failed (job): exit code 3",
    ),
    "no message": (
        {"state": State.FAILED, "failure": Failure.JOB, "exit_code": 3},
        "failed: the rerun failed (job): exit code 3",
    ),
    "memory": (
        {"state": State.FAILED, "failure": Failure.MEMORY, "oom_killed": True, "message": "more than 1 GiB"},
        "failed: the rerun failed (memory): more than 1 GiB",
    ),
    "timeout": (
        {"state": State.FAILED, "failure": Failure.TIMEOUT, "message": "after 60 s"},
        "failed: the rerun failed (timeout): after 60 s",
    ),
    "lost": (
        {"state": State.LOST, "message": "the machine was restarted"},
        "failed: the rerun was lost: the machine was restarted",
    ),
    "cancelled": (
        {"state": State.CANCELLED, "message": "cancelled"},
        "failed: the rerun was cancelled",
    ),
    "succeeded with an exit code": (
        {"exit_code": 3},
        "failed: the rerun is recorded as succeeded with exit code 3, which cannot be",
    ),
    "succeeded with an OOM kill": (
        {"oom_killed": True},
        "failed: the rerun is recorded as succeeded with an out-of-memory kill, which cannot be",
    ),
}


@pytest.mark.parametrize("name", FAILED)
def test_a_rerun_that_did_not_succeed_failed(judge, name):
    changes, summary = FAILED[name]
    verdict = judge(**changes)
    assert (verdict.outcome, verdict.summary) == (Outcome.FAILED, summary)


def test_two_failures_alike_are_said_to_be_so(judged):
    failed = {"state": State.FAILED, "failure": Failure.JOB, "exit_code": 3}
    verdict = judged(failed)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.summary == "failed: the rerun failed (job): exit code 3; so did the original"
    other = judged(failed, {**failed, "exit_code": 4})
    assert other.summary == "failed: the rerun failed (job): exit code 4"
    assert other.notes == ("the original failed (job): exit code 3",)


# not comparable


def test_an_original_that_failed_leaves_nothing_to_compare(judged):
    verdict = judged({"state": State.FAILED, "failure": Failure.TIMEOUT}, {})
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert verdict.summary == (
        "not comparable: the original failed (timeout), so there is nothing to compare"
    )


@pytest.mark.parametrize("state", [state for state in State if not state.final])
def test_an_open_run_is_not_comparable(judged, judge, state):
    assert judge(state=state).outcome is Outcome.NOT_COMPARABLE
    assert state.value in judge(state=state).summary
    assert judged({"state": state}, {}).outcome is Outcome.NOT_COMPARABLE


def test_a_run_is_not_compared_with_itself(blobs, original):
    assert compare(original, original, blobs.open).outcome is Outcome.NOT_COMPARABLE


def _program(original, **changes: Any):
    return {"program": original.program.model_copy(update=changes)}


ANOTHER = Digest.of(b"another")
PROGRAMS = {
    "image": (lambda run: {"image": ANOTHER}, "another image ("),
    "config": (lambda run: {"config_digest": ANOTHER}, "another image config ("),
    "base": (
        lambda run: {"base": BaseRef(name="cpu", digest=ANOTHER, config_digest=run.base.config_digest)},
        "another base (",
    ),
    "world size": (lambda run: _program(run, gpus=2), "another world size (0 vs 2 GPUs)"),
    "seed": (lambda run: _program(run, seed=8), "another program (seed)"),
    "param": (
        lambda run: _program(run, params={**run.program.params, "lr": 0.2}),
        "another program (params.lr)",
    ),
    "a param of another type": (
        lambda run: _program(run, params={**run.program.params, "epochs": 3.0}),
        "another program (params.epochs)",
    ),
    "input": (
        lambda run: _program(run, inputs={"data": ANOTHER}),
        "another program (inputs.data)",
    ),
    "threads": (
        lambda run: _program(run, determinism=Determinism(threads=2)),
        "another program (determinism.threads)",
    ),
    "source edited on disk": (
        lambda run: {"source": {**run.source, "net.py": "2" * 64}},
        "other source found in the container (net.py)",
    ),
    "package edited on disk": (
        lambda run: {"packages": {**run.packages, "numpy": "2.4.5"}},
        "other packages found in the container (numpy)",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_another_program_is_not_comparable_and_named(judge, original, name):
    changes, said = PROGRAMS[name]
    verdict = judge(**changes(original))
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert verdict.summary.startswith(f"not comparable: {said}")
    assert verdict.notes[0].startswith(said)
    assert verdict.files == ()


def test_the_label_of_a_base_may_differ(judge, original):
    base = original.base.model_copy(update={"name": "mirror/cpu"})
    assert judge(base=base).outcome is Outcome.IDENTICAL


def test_all_reasons_are_in_the_notes(judge, original):
    verdict = judge(image=ANOTHER, config_digest=ANOTHER, **_program(original, seed=1, gpus=4))
    assert [note.split(" (")[0] for note in verdict.notes] == [
        "another image",
        "another image config",
        "another world size",
        "another program",
    ]


def test_nothing_compared_is_never_identical(judged, blobs):
    nothing = {"outputs": (), "metrics": {}, "series": (), "traces": ()}
    verdict = judged(nothing)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert verdict.summary == ("not comparable: the job left no outputs, no metrics and no trace to compare")
    rejected = nothing | {"outputs": (blobs.rejected("shadow"),)}
    verdict = judged(rejected)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert verdict.notes == ("not compared: 1 entry rejected in both runs (shadow)",)


def test_metrics_alone_can_be_compared(judged):
    verdict = judged({"outputs": (), "traces": ()})
    assert (verdict.outcome, verdict.summary) == (Outcome.IDENTICAL, "identical: 3 equal metrics")


def test_a_trace_alone_can_be_compared(judged):
    nothing = {"outputs": (), "metrics": {}, "series": ()}
    verdict = judged(nothing)
    assert verdict.outcome is Outcome.IDENTICAL
    assert verdict.summary == "identical: 3 steps of training equal (39 digests)"


# not instrumented


TORCH = {"torch.version": "2.13.0"}
UNWATCHED: dict[str, tuple[dict[str, Any], str]] = {
    "no process": ({"readbacks": ()}, "no Python process of the rerun reported itself"),
    "a process that says nothing": (
        {"readbacks": (Readback(pid=9, argv=(), start=TORCH, end=None),)},
        "process 9 of the rerun was not traced as asked (all:1): it says nothing",
    ),
    "one of two processes": (
        {
            "readbacks": (
                Readback(pid=9, argv=(), start={**TORCH, "trace": "all:1"}, end=None),
                Readback(pid=10, argv=(), start={**TORCH, "trace": "failed: no {hook}"}, end=None),
            )
        },
        "process 10 of the rerun was not traced as asked (all:1): it says failed: no {hook}",
    ),
    "switched off later": (
        {
            "readbacks": (
                Readback(pid=9, argv=(), start={**TORCH, "trace": "all:1"}, end={**TORCH, "trace": "off"}),
            )
        },
        "process 9 of the rerun was not traced as asked (all:1): it says off",
    ),
    "a trace without torch": (
        {"readbacks": (Readback(pid=9, argv=(), start={"python.version": "3.11"}, end=None),)},
        "the rerun left a trace, but none of its processes reported torch",
    ),
}


@pytest.mark.parametrize("name", UNWATCHED)
def test_a_process_that_was_not_watched(judge, name):
    changes, said = UNWATCHED[name]
    verdict = judge(**changes)
    assert verdict.outcome is Outcome.NOT_INSTRUMENTED
    assert verdict.outcome.exit_code is ExitCode.NOT_COMPARABLE
    assert said in verdict.summary
    assert judge(**changes, metrics={}).outcome is Outcome.DIFFERENT
    lost = judge(**changes, traces=())
    assert lost.outcome is (
        Outcome.NOT_COMPARABLE if name == "a trace without torch" else Outcome.NOT_INSTRUMENTED
    ), lost


def test_another_trace_than_asked_for(judged, original):
    asked = _program(original, determinism=Determinism(trace=Trace(tensors=TracedTensors.PARAMS)))
    verdict = judged(asked)
    assert verdict.outcome is Outcome.NOT_INSTRUMENTED
    assert "process 7 of the original was not traced as asked (params:1): it says all:1" in verdict.summary


def test_what_trained_nothing_needs_no_trace(judged, original):
    verdict = judged({"traces": ()})
    assert (verdict.outcome, verdict.traced) == (Outcome.IDENTICAL, None)
    assert verdict.notes == (
        "no process took an optimizer step, so there was nothing to trace, and only what the job left was"
        " compared",
    )
    plain = {"traces": (), "readbacks": (Readback(pid=1, argv=(), start={}, end={}),)}
    assert judged(plain).notes[0].startswith("no process imported torch")
    off = _program(original, determinism=Determinism(trace=Trace(tensors=TracedTensors.OFF)))
    bare = {**off, "traces": (), "readbacks": ()}
    assert judged(bare).notes[0].startswith("the spec turns the trace off")


SILENT: dict[str, Any] = {"reports_missing": True, "source": {}, "packages": {}, "readbacks": ()}


def test_equal_outputs_without_a_report_are_not_instrumented(judged, judge):
    verdict = judge(**SILENT)
    assert verdict.outcome is Outcome.NOT_INSTRUMENTED
    assert "the runtime left no report in the rerun" in verdict.summary
    both = judged(SILENT)
    assert "in the original and the rerun" in both.summary
    assert judge(**SILENT, outputs=()).outcome is Outcome.DIFFERENT


# different


def _replace(original, *outputs):
    held = {output.path: output for output in original.outputs} | {output.path: output for output in outputs}
    return {"outputs": tuple(held.values())}


def test_a_differing_output_is_named_with_its_first_byte(judge, original, blobs):
    data = flipped(b"weights" * 1000, 1284)
    verdict = judge(
        **_replace(original, blobs.kept("model.pt", data)), metrics={"accuracy": 0.9833, "loss": 0.25}
    )
    assert verdict.outcome is Outcome.DIFFERENT
    assert verdict.outcome.exit_code is ExitCode.DIFFERENT
    assert verdict.summary == (
        "different: 1 of 3 outputs; first: model.pt at byte 1,284; accuracy 0.9861 vs 0.9833"
    )
    (file,) = verdict.files
    assert (file.path, file.first_byte, file.note) == ("model.pt", 1284, "")
    assert (file.original, file.rerun) == (original.outputs[1].digest, Digest.of(data))
    (metric,) = verdict.metrics
    assert (metric.name, metric.original, metric.rerun, metric.within) == ("accuracy", 0.9861, 0.9833, False)


def test_the_shorter_of_two_is_named_by_its_length(judge, original, blobs):
    verdict = judge(**_replace(original, blobs.kept("model.pt", b"weights" * 999)))
    assert verdict.files[0].first_byte == 6993


def test_added_missing_and_rejected_outputs_are_named(judge, original, blobs):
    outputs = (
        blobs.rejected("metrics.json", "fifo"),
        original.outputs[1],
        blobs.kept("new.txt", b"new"),
        blobs.rejected("sock", "socket"),
    )
    verdict = judge(outputs=outputs)
    assert verdict.outcome is Outcome.DIFFERENT
    assert [(item.path, item.original is None, item.rerun is None, item.note) for item in verdict.files] == [
        ("metrics.json", False, True, "original: kept; rerun: rejected (fifo)"),
        ("new.txt", True, False, "only in the rerun"),
        ("plots/curve.png", False, True, "only in the original"),
        ("sock", True, True, "only in the rerun, and rejected there (socket)"),
    ]
    assert verdict.summary == (
        "different: 4 of 5 outputs; first: metrics.json (original: kept; rerun: rejected (fifo))"
    )
    assert verdict.compared == 1


def test_entries_rejected_for_another_reason_differ(judged, blobs):
    verdict = judged(
        {"outputs": (blobs.rejected("x", "fifo"),)}, {"outputs": (blobs.rejected("x", "socket"),)}
    )
    assert verdict.outcome is Outcome.DIFFERENT


def test_entries_rejected_alike_are_noted(judged, blobs, original):
    outputs = (*original.outputs, blobs.rejected("x", "fifo"))
    verdict = judged({"outputs": outputs})
    assert verdict.outcome is Outcome.IDENTICAL
    assert verdict.notes == ("not compared: 1 entry rejected in both runs (x)",)
    assert verdict.compared == 3


@pytest.mark.parametrize("who", ["original", "rerun"])
def test_a_python_that_nobody_watched_may_have_done_anything(judged, original, who):
    (readback, *rest) = original.readbacks
    told = readback.model_copy(update={"end": {**(readback.end or {}), "python.unwatched": True}})
    runs = {"original": {}, "rerun": {}}
    runs[who]["readbacks"] = (told, *rest)
    verdict = judged(runs["original"], runs["rerun"])
    assert verdict.outcome is Outcome.NOT_INSTRUMENTED
    assert f"of the {who} started Python in an environment of its own" in verdict.summary
    assert verdict.flags_changed == {}


UNREAD = (
    "name is not UTF-8",
    "control character in name",
    "path is longer than 1024 bytes",
    "deeper than 64 folders",
    "unreadable: Permission denied",
    None,
)


@pytest.mark.parametrize("reason", [*NO_FILES, *UNREAD])
def test_what_holds_bytes_that_nobody_read_is_not_identical(judged, blobs, original, reason):
    """A fifo holds none. Behind a name that cannot be shown lie bytes, which may be others in each run."""
    outputs = (*original.outputs, blobs.rejected("x", reason))
    verdict = judged({"outputs": outputs})
    expected = Outcome.NOT_INSTRUMENTED if reason in UNREAD else Outcome.IDENTICAL
    assert verdict.outcome is expected, verdict.summary
    if reason in UNREAD:
        assert verdict.summary.endswith("but what x holds was not looked at")


@pytest.mark.parametrize("globs", [("**",), ("*.pt",)])
@pytest.mark.parametrize("who", ["original", "rerun"])
def test_metrics_that_nobody_read_are_not_identical(judged, original, globs, who):
    """A file of metrics that is an output is compared byte for byte, whoever can read it."""
    program = original.program.model_copy(update={"outputs": globs})
    runs = {"original": {"program": program}, "rerun": {"program": program}}
    runs[who]["metrics_incomplete"] = "metrics: metrics.jsonl:7 is not JSON"
    verdict = judged(runs["original"], runs["rerun"])
    expected = Outcome.IDENTICAL if globs == ("**",) else Outcome.NOT_INSTRUMENTED
    assert verdict.outcome is expected, verdict.summary


def test_a_blob_that_is_gone_leaves_the_verdict_different(judge, original, blobs):
    output = blobs.kept("model.pt", b"other")
    del blobs.held[output.digest]
    verdict = judge(**_replace(original, output))
    assert verdict.outcome is Outcome.DIFFERENT
    assert verdict.files[0].first_byte is None
    assert "no blob" in verdict.files[0].note


def test_a_damaged_store_never_makes_two_digests_equal(judge, original, blobs):
    output = blobs.kept("model.pt", b"other")
    blobs.held[output.digest] = b"weights" * 1000
    verdict = judge(**_replace(original, output))
    assert verdict.outcome is Outcome.DIFFERENT
    assert "the store is damaged" in verdict.files[0].note


def test_a_record_that_contradicts_itself_is_not_identical(judge, original):
    bigger = original.outputs[1].model_copy(update={"size": 8000})
    verdict = judge(**_replace(original, bigger))
    assert verdict.outcome is Outcome.DIFFERENT
    assert "contradicts itself" in verdict.files[0].note
    unknown = original.outputs[1].model_copy(update={"digest": None})
    assert judge(**_replace(original, unknown)).outcome is Outcome.DIFFERENT


def test_a_path_listed_twice_is_compared_twice(judged, blobs):
    one, two = blobs.kept("x", b"1"), blobs.kept("x", b"2")
    assert judged({"outputs": (one, two)}, {"outputs": (two, one)}).outcome is Outcome.IDENTICAL
    assert judged({"outputs": (one, two)}, {"outputs": (one,)}).outcome is Outcome.DIFFERENT
    assert judged({"outputs": (one, two)}, {"outputs": (one, one)}).outcome is Outcome.DIFFERENT


# metrics

METRICS = {
    "only in the original": ({"accuracy": 0.9861}, "loss", 0.25, None),
    "only in the rerun": ({"accuracy": 0.9861, "loss": 0.25, "f1": 0.5}, "f1", None, 0.5),
    "one bit": (
        {"accuracy": math.nextafter(0.9861, 1), "loss": 0.25},
        "accuracy",
        0.9861,
        0.9861000000000001,
    ),
    "to NaN": ({"accuracy": 0.9861, "loss": math.nan}, "loss", 0.25, math.nan),
}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_compared_by_value(judge, name):
    metrics, which, a, b = METRICS[name]
    verdict = judge(metrics=metrics)
    assert verdict.outcome is Outcome.DIFFERENT
    (metric,) = verdict.metrics
    assert (metric.name, str(metric.original), str(metric.rerun)) == (which, str(a), str(b))
    assert not metric.within


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [
        (math.nan, math.nan, Outcome.IDENTICAL),
        (math.inf, math.inf, Outcome.IDENTICAL),
        (math.inf, -math.inf, Outcome.DIFFERENT),
        (0.0, -0.0, Outcome.DIFFERENT),
    ],
)
def test_metrics_that_are_no_ordinary_numbers(judged, a, b, outcome):
    assert judged({"metrics": {"x": a}}, {"metrics": {"x": b}}).outcome is outcome


SERIES = {
    "value": ((("loss", 0, 1.0), ("loss", 1, 0.5)), "loss@1", 0.25, 0.5),
    "shorter": ((("loss", 0, 1.0),), "loss@1", 0.25, None),
    "longer": ((("loss", 0, 1.0), ("loss", 1, 0.25), ("loss", 2, 0.1)), "loss@2", None, 0.1),
    "another step": ((("loss", 0, 1.0), ("loss", 5, 0.25)), "loss@1", 0.25, None),
    "no steps": ((("loss", 0, 1.0), ("loss", 1, 0.25), ("speed", None, 4.0)), "speed#0", 3.0, 4.0),
}


@pytest.mark.parametrize("name", SERIES)
def test_a_series_is_compared_point_by_point(judge, original, name):
    points, which, a, b = SERIES[name]
    series = tuple(MetricPoint(name=n, step=s, value=v) for n, s, v in points)
    if name != "no steps":
        series += original.series[2:]
    verdict = judge(series=series)
    assert verdict.outcome is Outcome.DIFFERENT
    assert [(item.name, item.original, item.rerun) for item in verdict.metrics] == [(which, a, b)]


# tolerances


def _metrics_file(blobs, name="metrics.json", **values):
    return blobs.kept(name, json.dumps(values).encode())


def test_metrics_within_tolerance_excuse_their_file(judged, blobs, original, tolerance):
    changed = {
        "metrics": {"accuracy": 0.9833, "loss": 0.25},
        **_replace(original, _metrics_file(blobs, accuracy=0.9833, loss=0.25)),
    }
    verdict = judged({"tolerance": tolerance(accuracy=(0.01, 0))}, changed)
    assert verdict.outcome is Outcome.WITHIN_TOLERANCE
    assert verdict.outcome.exit_code is ExitCode.OK
    assert verdict.summary == (
        "within tolerance: 1 of 3 outputs; first: metrics.json at byte 17; accuracy 0.9861 vs 0.9833;"
        " all outputs and metrics within the spec's tolerances"
    )
    assert verdict.files[0].note == "differs only in metrics that are within their tolerances"
    assert [item.within for item in verdict.metrics] == [True]
    narrow = judged({"tolerance": tolerance(accuracy=(0.001, 0))}, changed)
    assert narrow.outcome is Outcome.DIFFERENT


def test_the_tolerance_is_the_originals(judged, tolerance):
    metrics = {"accuracy": 0.98, "loss": 0.25}
    wide = tolerance(accuracy=(1, 0))
    assert judged({}, {"metrics": metrics, "tolerance": wide}).outcome is Outcome.DIFFERENT
    assert judged({"tolerance": wide}, {"metrics": metrics}).outcome is Outcome.WITHIN_TOLERANCE


def test_a_trace_asked_for_is_missed_within_tolerance_too(judged, original, tolerance):
    verdict = judged(
        {"tolerance": tolerance(accuracy=(1, 0))},
        {"metrics": {"accuracy": 0.9, "loss": 0.25}, "readbacks": ()},
    )
    assert verdict.outcome is Outcome.NOT_INSTRUMENTED


NOT_EXCUSED = {
    "text beside the metric": b'{"accuracy": 0.98, "loss": 0.25, "at": "noon"}',
    "a number that is no metric": b'{"accuracy": 0.98, "loss": 0.25, "pid": 17}',
    "another number": b'{"accuracy": 0.98, "loss": 0.26}',
    "a swapped key": b'{"accuracy": 0.25, "loss": 0.98}',
    "a list": b'[{"accuracy": 0.98, "loss": 0.25}]',
    "a key twice": b'{"accuracy": 0.9861, "accuracy": 0.98, "loss": 0.25}',
    "no JSON": b"accuracy 0.98",
    "not UTF-8": b'{"accuracy": 0.98, "loss": 0.25}\xff',
    "deep": b"[" * 100_000,
    "deep line": b'{"accuracy": 0.98}\n' + b'{"a":' * 100_000,
    "a huge integer": b'{"accuracy": 0.98, "loss": ' + b"9" * 5000 + b"}",
    "an integer past float": b'{"accuracy": 0.98, "loss": ' + b"9" * 400 + b"}",
    "true for a number": b'{"accuracy": 0.98, "loss": true}',
    "white space only": b'{"accuracy":  0.9861, "loss": 0.25}',
    "empty": b"",
}


@pytest.mark.parametrize("name", NOT_EXCUSED)
def test_a_metrics_file_that_differs_in_more_is_not_excused(judged, blobs, original, tolerance, name):
    changed = {
        "metrics": {"accuracy": 0.98, "loss": 0.25},
        **_replace(original, blobs.kept("metrics.json", NOT_EXCUSED[name])),
    }
    verdict = judged({"tolerance": tolerance(accuracy=(0.01, 0))}, changed)
    assert verdict.outcome is Outcome.DIFFERENT
    assert verdict.files[0].note


def test_a_damaged_metrics_blob_is_not_excused(judged, blobs, original, tolerance):
    output = blobs.kept("metrics.json", b'{"at": "noon"}')
    blobs.held[output.digest] = b'{"accuracy": 0.98, "loss": 0.25}'
    verdict = judged(
        {"tolerance": tolerance(accuracy=(0.01, 0))},
        {"metrics": {"accuracy": 0.98, "loss": 0.25}, **_replace(original, output)},
    )
    assert verdict.outcome is Outcome.DIFFERENT
    assert "damaged" in verdict.files[0].note


def test_a_series_within_tolerance_excuses_its_lines(judged, blobs, tolerance):
    def lines(*losses: float) -> dict[str, Any]:
        text = "".join(json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in enumerate(losses))
        return {
            "outputs": (blobs.kept("metrics.jsonl", text.encode()),),
            "metrics": {"loss": losses[-1]},
            "series": tuple(
                MetricPoint(name="loss", step=step, value=loss) for step, loss in enumerate(losses)
            ),
        }

    wide = tolerance(loss=(0, 0.01))
    near = judged({"tolerance": wide, **lines(1.0, 0.5)}, lines(1.001, 0.5))
    assert near.outcome is Outcome.WITHIN_TOLERANCE
    assert [item.name for item in near.metrics] == ["loss@0"]
    far = judged({"tolerance": wide, **lines(1.0, 0.5)}, lines(1.001, 0.6))
    assert far.outcome is Outcome.DIFFERENT
    longer = judged({"tolerance": wide, **lines(1.0, 0.5)}, lines(1.001, 0.5, 0.5))
    assert longer.outcome is Outcome.DIFFERENT


def test_only_the_named_metrics_file_is_excused(judged, blobs, original, tolerance):
    program = _program(original, metrics="scores.json")
    before = {
        "outputs": (_metrics_file(blobs, accuracy=0.9), _metrics_file(blobs, "scores.json", accuracy=0.9)),
        "metrics": {"accuracy": 0.9},
        "tolerance": tolerance(accuracy=(0.01, 0)),
    }
    after = {"outputs": (before["outputs"][0], _metrics_file(blobs, "scores.json", accuracy=0.901))}
    verdict = judged({**before, **program}, {**after, **program, "metrics": {"accuracy": 0.901}})
    assert verdict.outcome is Outcome.WITHIN_TOLERANCE
    both = {"outputs": (_metrics_file(blobs, accuracy=0.901), after["outputs"][1])}
    verdict = judged({**before, **program}, {**both, **program, "metrics": {"accuracy": 0.901}})
    assert verdict.outcome is Outcome.DIFFERENT
    assert verdict.summary.startswith("different: 2 of 2 outputs; first: metrics.json at byte")


def test_tensors_within_tolerance_are_excused(judged, blobs, tolerance, npy):
    from array import array

    def arrays(*values: float) -> dict[str, Any]:
        data = npy("<f8", (len(values),), array("d", values).tobytes())
        return {"outputs": (blobs.kept("out/w.npy", data), blobs.kept("x.txt", b"x"))}

    wide = tolerance(outputs={"**/*.npy": (0, 1e-3)})
    near = judged({"tolerance": wide, **arrays(1.0, 2.0)}, arrays(1.0005, 2.0))
    assert near.outcome is Outcome.WITHIN_TOLERANCE
    assert near.files[0].note == (
        "within tolerance '**/*.npy' (abs 0, rel 0.001): largest difference 0.0005 absolute, 0.0005 relative;"
        " worst at [0]: 1.0 vs 1.0005"
    )
    far = judged({"tolerance": wide, **arrays(1.0, 2.0)}, arrays(1.0, 2.1))
    assert far.outcome is Outcome.DIFFERENT
    assert "worst at [1]: 2.0 vs 2.1" in far.files[0].note
    shape = judged({"tolerance": wide, **arrays(1.0, 2.0)}, arrays(1.0))
    assert shape.outcome is Outcome.DIFFERENT
    assert "another shape: [2] vs [1]" in shape.files[0].note


def test_a_tolerance_for_a_file_that_is_no_tensor_excuses_nothing(judged, blobs, original, tolerance):
    wide = tolerance(outputs={"model.*": (1e9, 1e9)})
    verdict = judged({"tolerance": wide}, _replace(original, blobs.kept("model.pt", b"x")))
    assert verdict.outcome is Outcome.DIFFERENT
    assert verdict.files[0].note == "the tolerance for 'model.*' covers only .npy and .safetensors files"


def test_a_damaged_tensor_blob_is_not_excused(judged, blobs, tolerance, npy):
    one, two = (blobs.kept("w.npy", npy("|u1", (1,), value)) for value in (b"1", b"2"))
    blobs.held[two.digest] = npy("|u1", (2,), b"11")
    wide = tolerance(outputs={"*.npy": (9, 9)})
    verdict = judged({"tolerance": wide, "outputs": (one,)}, {"outputs": (two,)})
    assert verdict.outcome is Outcome.DIFFERENT
    assert "damaged" in verdict.files[0].note


# flags and notes


WATCHED = {"torch.version": "2.13.0", "trace": "all:1"}


def _moved(end: dict[str, Any] | None, pid: int = 7) -> Readback:
    start = {"torch.deterministic_algorithms": True, "x": 1, **WATCHED}
    return Readback(pid=pid, argv=("python",), start=start, end=end and end | WATCHED)


def test_flags_that_the_script_changed_are_named(judged):
    off = _moved({"torch.deterministic_algorithms": False, "x": 1})
    killed = _moved(None, pid=8)
    verdict = judged({"readbacks": (off, killed)}, {"readbacks": (off, off)})
    assert verdict.outcome is Outcome.IDENTICAL
    assert verdict.flags_changed == {
        "torch.deterministic_algorithms": "original: True -> False; rerun: True -> False"
    }
    one = judged({}, {"readbacks": (off, _moved({"x": 1}, pid=9))})
    assert one.flags_changed == {
        "torch.deterministic_algorithms": "original: unchanged; rerun: True -> False, True -> unset"
    }


def test_the_traced_loss_is_counted_with_the_steps(blobs, record, rerun):
    """The metrics that are counted are those that are listed."""
    series = (MetricPoint(name="trace.loss", step=0, value=0.5),)
    runs = [make(metrics={"accuracy": 0.5, "loss": 0.25}, series=series) for make in (record, rerun)]
    assert ", 2 equal metrics, 3 steps of training equal" in compare(*runs, blobs.open).summary
    bare = [run.model_copy(update={"traces": ()}) for run in runs]
    assert "3 equal metrics" in compare(*bare, blobs.open).summary


def test_gaps_in_the_records_are_passed_on(judge):
    assert judge(notes=("3 outputs could not be read",)).notes == ("rerun: 3 outputs could not be read",)


def test_a_verdict_survives_json(judge, original, blobs):
    verdict = judge(**_replace(original, blobs.kept("model.pt", b"x")))
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
