from __future__ import annotations

from typing import Any

import pytest

from orchestrator.run.attempt_model import Failure, Readback, State
from orchestrator.verdict.compare_runs import compare
from orchestrator.view.verdict_explanation import FILES_SHOWN, METRICS_SHOWN, explain


@pytest.fixture
def told(blobs, original, rerun):
    def tell(first: Any = original, **changes: Any) -> list[str]:
        again = rerun(**changes)
        return explain(compare(first, again, blobs.open), first, again)

    return tell


def test_identical(told):
    assert told() == [
        "all 3 outputs are equal byte for byte, 3 equal metrics, 3 steps of training equal (39 digests)",
        "equal metrics: accuracy 0.9861, loss 0.25",
        "hardware: the same class, so equal bits are expected",
    ]


def test_different(told, original, blobs):
    outputs = (blobs.kept("metrics.json", b"{}"), original.outputs[1], blobs.kept("new", b""))
    assert told(outputs=outputs, metrics={"accuracy": 0.9833, "loss": 0.25}, box="box-1") == [
        "3 of 4 outputs; first: metrics.json at byte 1; accuracy 0.9861 vs 0.9833",
        "why: training is the same to the bit (3 steps); only what is written beside or after it differs"
        " (metrics.json from byte 1, new (only in the rerun), plots/curve.png (only in the original)"
        " and 1 more):"
        " look for a clock, a duration, a path or an unsorted set in it; what differs by nature is marked in"
        ' the job file: `outputs: ["**", {glob: "metrics.json", volatile: true}, {glob: "new", volatile:'
        ' true}, {glob: "plots/curve.png", volatile: true}]` and `tolerance: {metrics: {"accuracy":'
        " {volatile: true}}}`",
        "3 outputs not the same:",
        "  metrics.json: from byte 1",
        "  new: only in the rerun",
        "  plots/curve.png: only in the original",
        "metrics, original vs rerun:",
        "  accuracy: 0.9861 vs 0.9833 (-0.0028)",
        "equal metrics: loss 0.25",
        "hardware: the same box, so equal bits are expected",
    ]


def test_long_lists_are_cut(told, blobs):
    outputs = tuple(blobs.kept(f"{number:03}", b"x") for number in range(FILES_SHOWN + 5))
    metrics = {f"m{number:03}": 1.0 for number in range(METRICS_SHOWN + 5)}
    lines = told(outputs=outputs, metrics=metrics)
    assert "  and 8 more" in lines  # the original's 3 outputs are missing there
    assert len([line for line in lines if line.startswith("  m0")]) == METRICS_SHOWN - 2
    assert f"  and {5 + 2} more" in lines
    assert len(lines) <= FILES_SHOWN + METRICS_SHOWN + 8


def test_metrics_within_tolerance_say_so(told, record, tolerance):
    lines = told(record(tolerance=tolerance(accuracy=(0.01, 0))), metrics={"accuracy": 0.9862, "loss": 0.25})
    assert "  accuracy: 0.9861 vs 0.9862 (+0.0001), within tolerance" in lines


def test_numbers_that_look_alike_are_written_in_full(told):
    lines = told(metrics={"accuracy": 0.98610000000001, "loss": 0.25})
    assert "  accuracy: 0.9861 vs 0.98610000000001 (+9.99e-15)" in lines


def test_other_hardware_is_named(told, box):
    assert told(fingerprint=box(cpu_vendor="AuthenticAMD"))[-1] == (
        "hardware: another class, so equal bits are not promised: CPU vendor GenuineIntel vs AuthenticAMD"
    )
    assert told(fingerprint=box(gpus=[{"name": "A100"}]))[-1] == (
        "hardware: the same class, so equal bits are expected"
    ), "the job uses no GPU"
    assert told(fingerprint=None)[-1] == "hardware: not known for the rerun"


def test_flags_that_the_script_changed(told):
    start = {"cudnn.benchmark": False, "torch.version": "2.13.0", "trace": "all:1"}
    moved = Readback(pid=7, argv=("python",), start=start, end=start | {"cudnn.benchmark": True})
    assert told(readbacks=(moved,))[-2:] == [
        "the script changed flags that Reprise had set or seen:",
        "  cudnn.benchmark: original: unchanged; rerun: False -> True",
    ]


def test_processes_that_left_no_report_are_named(told):
    assert told(readbacks=())[-1] == "flags: no Python process of the rerun reported any"
    killed = Readback(pid=7, argv=("python",), start={"cudnn.benchmark": False}, end=None)
    assert told(readbacks=(killed,))[-1] == (
        "flags: the main process of the rerun left a report at its start only"
    )


def test_a_failure_says_nothing_of_files(told):
    lines = told(state=State.FAILED, failure=Failure.JOB, exit_code=3, outputs=(), metrics={})
    assert lines == [
        "the rerun failed (job): exit code 3",
        "hardware: the same class",
    ]


def test_all_reasons_against_comparing_are_listed(told, original):
    lines = told(
        program=original.program.model_copy(update={"gpus": 2, "seed": 1}), source={"train.py": "9" * 64}
    )
    assert lines[0] == "another world size (0 vs 2 GPUs), another program (seed) and 1 more"
    assert "note: other source found in the container (net.py, train.py)" in lines
