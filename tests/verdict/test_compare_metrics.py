"""Metrics that differ by nature: marked in the spec, never judged, always named; and advice that works."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboardX import SummaryWriter

from orchestrator.record.run_record import RunRecord
from orchestrator.run.metrics.series import MetricPoint
from orchestrator.spec.jobfile.job_spec import JobSpec, Tolerance, Tolerances
from orchestrator.spec.jobfile.read_job import read_spec
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.traces.compare_metrics import name_matcher
from orchestrator.verdict.verdict_model import CauseKind, Outcome, TensorFinding, Verdict

Judge = Callable[..., Verdict]


@pytest.fixture
def judge(blobs: Any, record: Callable[..., RunRecord], rerun: Callable[..., RunRecord]) -> Judge:
    """`judge(spec, left, right)`: files by path, their metrics.json read as the run's metrics."""

    def fields(files: dict[str, Any]) -> dict[str, Any]:
        outputs = tuple(
            blobs.kept(path, data if isinstance(data, bytes) else json.dumps(data).encode())
            for path, data in files.items()
        )
        metrics = {name: float(value) for name, value in files.get("metrics.json", {}).items()}
        return {"outputs": outputs, "metrics": metrics, "series": ()}

    def judge(
        spec: Tolerances, left: dict[str, Any], right: dict[str, Any], again: Any = None, **more: Any
    ) -> Verdict:
        second = rerun(**fields(right), **more, **(again or {}))
        return compare(record(tolerance=spec, **fields(left), **more), second, blobs.open)

    return judge


def measured(runtime: float, loss: float = 0.25) -> dict[str, Any]:
    return {"model.pt": b"w", "metrics.json": {"loss": loss, "train_runtime": runtime}}


def test_a_time_that_is_marked_is_left_out_and_named(judge: Judge) -> None:
    marked = Tolerances(volatile_metrics=("train_runtime",))
    verdict = judge(marked, measured(1.5), measured(1.75))
    assert verdict.outcome is Outcome.IDENTICAL
    assert (verdict.metrics, verdict.by_content) == ((), 1)
    assert (
        "all 2 outputs are equal, 1 byte for byte and 1 by what it holds, 1 equal metric" in verdict.summary
    )
    assert [(item.path, item.why) for item in verdict.left_out] == [
        ("metrics.json", "differs only in metrics that are volatile in the spec (train_runtime)"),
        ("train_runtime", "a metric that is volatile in the spec, not compared"),
    ]
    assert judge(marked, measured(1.5), measured(1.5)).left_out == ()
    assert judge(Tolerances(), measured(1.5), measured(1.75)).outcome is Outcome.DIFFERENT


@pytest.mark.parametrize(
    "changed",
    [
        measured(1.75, loss=0.5),
        measured(1.75) | {"model.pt": b"x"},
        measured(1.75) | {"metrics.json": {"loss": 0.25, "train_runtime": 1.75, "more": 1.0}},
        measured(1.75) | {"metrics.json": {"loss": 1.75, "train_runtime": 0.25}},
    ],
)
def test_everything_else_is_judged_all_the_same(judge: Judge, changed: dict[str, Any]) -> None:
    for spec in (
        Tolerances(volatile_metrics=("train_runtime",)),
        Tolerances(metrics={"train_runtime": Tolerance(abs=100)}),
        Tolerances(volatile_metrics=("train_runtime",), metrics={"acc": Tolerance(abs=100)}),
    ):
        assert judge(spec, measured(1.5), changed).outcome is Outcome.DIFFERENT


def test_a_mark_and_a_tolerance_together(judge: Judge) -> None:
    spec = Tolerances(volatile_metrics=("train_runtime",), metrics={"loss": Tolerance(abs=0.1)})
    near = judge(spec, measured(1.5), measured(1.75, loss=0.3))
    assert near.outcome is Outcome.WITHIN_TOLERANCE
    assert judge(spec, measured(1.5), measured(1.75, loss=0.5)).outcome is Outcome.DIFFERENT
    assert judge(spec, measured(1.5), measured(1.75)).outcome is Outcome.IDENTICAL


def test_a_number_is_excused_at_its_own_place_only(blobs: Any, record: Any, rerun: Any) -> None:
    """Values of two metrics that were exchanged in the file, or that stand in another key, are no metrics."""
    spec = Tolerances(metrics={"a": Tolerance(abs=1), "b": Tolerance(abs=1)})
    metrics = [{"a": 0.5, "b": 0.75}, {"a": 0.75, "b": 0.5}]

    def run(make: Any, number: int, text: str, **more: Any) -> RunRecord:
        return make(outputs=(blobs.kept("metrics.json", text.encode()),), metrics=metrics[number], **more)

    for left, right, outcome in (
        ('{"a": 0.5, "b": 0.75}', '{"a": 0.75, "b": 0.5}', Outcome.WITHIN_TOLERANCE),
        ('{"a": 0.5, "c": 0.5}', '{"a": 0.75, "c": 0.75}', Outcome.DIFFERENT),
        ('{"a": 0.5, "l": [0.5]}', '{"a": 0.75, "l": [0.75]}', Outcome.DIFFERENT),
        ('{"a": 0.5, "": {"a": 0.5}}', '{"a": 0.75, "": {"a": 0.75}}', Outcome.DIFFERENT),
    ):
        verdict = compare(run(record, 0, left, tolerance=spec), run(rerun, 1, right), blobs.open)
        assert verdict.outcome is outcome, (left, right)


def test_series_and_event_files_with_a_time(blobs: Any, record: Any, rerun: Any, tmp_path: Path) -> None:
    def left(name: str, times: tuple[float, ...], loss: float = 1.0) -> dict[str, Any]:
        with SummaryWriter(str(tmp_path / name)) as writer:
            for step, value in enumerate(times):
                writer.add_scalar("step_time", value, step)
                writer.add_scalar("loss", loss, step)
        (events,) = (tmp_path / name).iterdir()
        lines = "".join(json.dumps({"step": n, "step_time": value}) + "\n" for n, value in enumerate(times))
        outputs = (blobs.kept(events.name, events.read_bytes()), blobs.kept("metrics.jsonl", lines.encode()))
        series = [MetricPoint(name="step_time", step=n, value=value) for n, value in enumerate(times)]
        return {"outputs": outputs, "series": tuple(series), "metrics": {"step_time": times[-1]}}

    spec = Tolerances(volatile_metrics=("*_time",))
    before = record(**left("a", (1.5, 2.5)), tolerance=spec)
    same = compare(before, rerun(**left("b", (1.25, 2.25))), blobs.open)
    assert (same.outcome, same.by_content, len(same.left_out)) == (Outcome.IDENTICAL, 2, 3)
    assert (
        compare(before, rerun(**left("c", (1.25, 2.25), loss=2.0)), blobs.open).outcome is Outcome.DIFFERENT
    )
    assert compare(before, rerun(**left("d", (1.25,))), blobs.open).outcome is Outcome.DIFFERENT


def test_metrics_of_a_volatile_file_do_not_judge(judge: Judge) -> None:
    spec = Tolerances(volatile=("metrics.json",))
    verdict = judge(spec, measured(1.5), measured(1.75))
    assert verdict.outcome is Outcome.IDENTICAL
    assert [(item.path, item.why) for item in verdict.left_out] == [
        ("metrics.json", "volatile in the spec, not compared"),
        ("train_runtime", "a metric of a file that is volatile in the spec, not compared"),
    ]
    assert judge(spec, measured(1.5), measured(1.75) | {"model.pt": b"x"}).outcome is Outcome.DIFFERENT


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (measured(1.5), measured(1.75)),
    (measured(1.5) | {"train.log": b"took 1"}, measured(1.75) | {"train.log": b"took 2"}),
    ({"a b[1]{x}*.log": b"1", "k": b""}, {"a b[1]{x}*.log": b"2", "k": b""}),
    (
        {"metrics.json": {"loss": 1, "t": 1.5, "é\"'": 2.5}, "n.json": {"t": 1}},
        {"metrics.json": {"loss": 1, "t": 2.5, "é\"'": 3.5}, "n.json": {"t": 2}},
    ),
    ({"only.log": b"1", "k": b""}, {"k": b""}),
]


@pytest.mark.parametrize(("left", "right"), CASES)
@pytest.mark.parametrize(
    "given",
    [
        "",
        "tolerance: {metrics: {loss: 0.5, x: {volatile: true}}, outputs: {'*.npy': {rel: 0.125}}}\n",
        "outputs: ['**', {glob: '*.tmp', volatile: true}]\n",
    ],
)
def test_the_advice_works_as_it_is_printed(
    judge: Judge, tmp_path: Path, original: RunRecord, left: Any, right: Any, given: str
) -> None:
    before = spec_of(tmp_path, given)
    program = {"program": original.program.model_copy(update={"outputs": before.outputs})}
    found = judge(before.tolerance, left, right, **program)
    assert found.outcome is Outcome.DIFFERENT
    (cause,) = [cause for cause in found.causes if cause.kind is CauseKind.WRITING]
    lines = re.findall(r"`((?:outputs|tolerance): .*?)`(?: and |$)", cause.text)
    assert lines, cause.text
    changed = {line.partition(":")[0] for line in lines}
    kept = [line for line in given.splitlines() if line.partition(":")[0] not in changed]
    after = spec_of(tmp_path, "\n".join([*kept, *lines]) + "\n")
    assert after.outputs == before.outputs  # the same experiment
    assert after.tolerance.outputs == before.tolerance.outputs
    assert judge(after.tolerance, left, right, **program).outcome is Outcome.IDENTICAL, lines


def test_the_advice_names_a_metric_by_its_whole_name(judge: Judge) -> None:
    left, right = ({"metrics.json": {"hit@10": value, "a#b": value, "loss": 1.0}} for value in (1.5, 1.75))
    (cause,) = judge(Tolerances(), left, right).causes
    marks = '{"a#b": {volatile: true}, "hit@10": {volatile: true}}'
    assert cause.text.endswith(f"marked in the job file: `tolerance: {{metrics: {marks}}}`")


def test_a_checkpoint_of_equal_tensors_stays_judged_by_them(
    blobs: Any, record: Any, rerun: Any, tmp_path: Path, trace_of: Any
) -> None:
    """The advice names a tolerance of 0, no volatile mark; and a tolerance of 0 lets no training differ."""
    dated = TensorFinding(path="m.pt", tensors=2, equal_tensors=True, leaves=("t: 1 vs 2",), leaf_count=1)
    moved = dated.model_copy(update={"equal_tensors": False, "differing": 1, "outside": 1})
    outputs = [(blobs.kept("m.pt", data), blobs.kept("k", b"k")) for data in (b"1", b"2")]

    def verdict(spec: Tolerances, finding: TensorFinding, **more: Any) -> Verdict:
        left, right = record(outputs=outputs[0], tolerance=spec), rerun(outputs=outputs[1], **more)
        return compare(left, right, blobs.open, {"m.pt": finding})

    (cause,) = verdict(Tolerances(), dated).causes
    lines = re.findall(r"`(.*?)`(?: and |$)", cause.text)
    assert lines == ['tolerance: {outputs: {"m.pt": 0}}']
    advised = spec_of(tmp_path, lines[0] + "\n").tolerance
    assert verdict(advised, dated).outcome is Outcome.WITHIN_TOLERANCE
    assert verdict(advised, moved).outcome is Outcome.DIFFERENT
    lines_of = [
        line | {"d": "0" * len(line["d"])} if line.get("e") == "grads" else line for line in trace_of()
    ]
    other = (blobs.traced(lines_of),)
    assert verdict(advised, dated, traces=other).outcome is Outcome.DIFFERENT
    loose = Tolerances(outputs={"m.pt": Tolerance(abs=1)})
    near = dated.model_copy(update={"tolerance": Tolerance(abs=1)})
    assert verdict(loose, near, traces=other).outcome is Outcome.WITHIN_TOLERANCE


@pytest.mark.parametrize(
    ("tolerances", "more", "outcome", "says"),
    [
        ("{loss: 1e-4}", {}, Outcome.WITHIN_TOLERANCE, "within the spec's tolerances"),
        ("{loss: 1e-4}", {"epoch": 3.0}, Outcome.WITHIN_TOLERANCE, "within the spec's tolerances"),
        (
            "{loss: 1e-4}",
            {"accuracy": 0.9861},
            Outcome.DIFFERENT,
            "must be the same: accuracy has no tolerance",
        ),
        ("{loss: 1e-4, accuracy: 1e-9}", {"accuracy": 0.9861}, Outcome.WITHIN_TOLERANCE, "tolerances"),
        ("{loss: 1e-4, accuracy: {volatile: true}}", {"accuracy": 0.9861}, Outcome.WITHIN_TOLERANCE, ""),
        ("{loss: 1e-4}", {"a": 0.1, "b": 0.2}, Outcome.DIFFERENT, "a, b have no tolerance"),
        ("{loss: 1e-9}", {}, Outcome.DIFFERENT, "loss 0.3 vs 0.30000005"),
    ],
)
def test_losses_that_differ_in_the_seventh_digit(
    judge: Judge,
    blobs: Any,
    tmp_path: Path,
    trace_of: Any,
    tolerances: str,
    more: dict[str, float],
    outcome: Outcome,
    says: str,
) -> None:
    """As a user writes it: no file of tensors, and training whose gradients are not the same bits."""
    spec = spec_of(tmp_path, f"tolerance: {{metrics: {tolerances}}}\n").tolerance
    files = [{"metrics.json": {"loss": loss, **more}} for loss in (0.3, 0.30000005)]
    moved = [line | {"d": "0" * len(line["d"])} if line.get("e") == "grads" else line for line in trace_of()]
    again = {"traces": (blobs.traced(moved),)}
    verdict = judge(spec, *files, again=again)
    assert verdict.outcome is outcome, verdict.summary
    assert says in verdict.summary
    assert "training differs from step 0 on (backward)" in verdict.summary


def spec_of(folder: Path, more: str) -> JobSpec:
    path = folder / "job.yaml"
    path.write_text(f"name: x\ncommand: 'true'\n{more}")
    return read_spec(path)


def test_patterns_of_names() -> None:
    fits = name_matcher(("*_per_second", "time/?", "a[b]"))
    assert [fits(name) for name in ("x/y_per_second", "time/x", "a[b]")] == [True, True, True]
    assert [fits(name) for name in ("per_second_", "time/xy", "ab", "")] == [False] * 4
