"""What the spec excuses of metrics, however their tool writes them: whole files, and single metrics."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboardX import SummaryWriter

from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Output
from orchestrator.run.metrics.event_metrics import with_event_metrics
from orchestrator.run.metrics.read_metrics import read_metrics
from orchestrator.spec.jobfile.job_spec import Tolerance, Tolerances
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.verdict_model import Outcome, Verdict

LOGS = Path(__file__).parents[1] / "run" / "data"
TOOLS = ("lightning", "keras", "dvclive", "mlruns", "trainer", "wandb", "runs")
FOLDERS = {"lightning": "lightning_logs/version_0"}

Judge = Callable[..., tuple[Verdict, dict[str, float]]]


@pytest.fixture
def judge(
    tmp_path: Path, blobs: Any, record: Callable[..., RunRecord], rerun: Callable[..., RunRecord]
) -> Judge:
    """`judge(volatile)`: a workspace's files are kept, its metrics read; in the rerun these are others."""

    def judge(*volatile: str) -> tuple[Verdict, dict[str, float]]:
        paths = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
        outputs: list[Output] = [blobs.kept(path, (tmp_path / path).read_bytes()) for path in paths]
        found = with_event_metrics(read_metrics(tmp_path, None, written=paths), tmp_path, tuple(outputs))
        facts: dict[str, Any] = {"outputs": tuple(outputs), "series": ()}
        before = record(tolerance=Tolerances(volatile=volatile), metrics=found.final, **facts)
        others = {name: 1.0 if math.isnan(value) else value + 1 for name, value in found.final.items()}
        after = rerun(metrics=others, **facts)
        return compare(before, after, blobs.open), found.final

    return judge


def write_logs(folder: Path, tool: str, below: str = "") -> None:
    place = folder / below / FOLDERS.get(tool, tool)
    if tool == "runs":
        with SummaryWriter(str(place)) as writer:
            writer.add_scalar("loss", 1.0, 1)
            writer.add_scalar("val/acc", 1.0, 1)
    else:
        shutil.copytree(LOGS / tool, place)


@pytest.mark.parametrize("tool", TOOLS)
def test_they_are_left_out_and_named(tmp_path: Path, judge: Judge, tool: str) -> None:
    write_logs(tmp_path, tool)
    (tmp_path / "model.pt").write_bytes(b"w")
    verdict, metrics = judge()
    assert len(metrics) > 1
    assert (verdict.outcome, len(verdict.metrics)) == (Outcome.DIFFERENT, len(metrics))
    verdict, _ = judge(f"{FOLDERS.get(tool, tool)}/**")
    assert verdict.outcome is Outcome.IDENTICAL, verdict.summary
    assert {item.path for item in verdict.left_out} == metrics.keys()


@pytest.mark.parametrize("tool", TOOLS)
def test_of_two_files_one_is_judged(tmp_path: Path, judge: Judge, tool: str) -> None:
    """By their folders where they have metrics of one name; where those have one name together, both are."""
    for below in ("one", "other"):
        write_logs(tmp_path, tool, below)
    verdict, metrics = judge("one/**")
    judged = {item.name for item in verdict.metrics}
    assert verdict.outcome is Outcome.DIFFERENT
    assert judged == {name for name in metrics if not name.startswith("one/")}, metrics


def state(loss: float, took: float, best: float = 0.5) -> str:
    entry = {"step": 1, "loss": loss, "took": took, "note": "x"}
    return json.dumps({"best_metric": best, "log_history": [entry, {"step": 2, "eval_loss": 1.0}]})


def table(loss: float, took: float, name: str = "loss") -> str:
    return f"epoch,step,{name},note,took\r\n0,1,{loss},x,{took}\r\n\r\n1,2,0.5,x,1.0\r\n"


# path, how the tool writes it
WRITTEN: dict[str, Callable[..., str]] = {
    "lightning_logs/version_0/metrics.csv": table,
    "log.csv": table,
    "training.log": table,
    "out/trainer_state.json": state,
    "metrics.jsonl": lambda loss, took: json.dumps({"step": 1, "loss": loss, "took": took}) + "\n",
    "metrics.json": lambda loss, took: json.dumps({"loss": loss, "took": took}),
}


@pytest.mark.parametrize("path", WRITTEN)
def test_a_file_is_excused_where_only_excused_metrics_differ(
    tmp_path: Path,
    blobs: Any,
    record: Callable[..., RunRecord],
    rerun: Callable[..., RunRecord],
    path: str,
) -> None:
    def left(*numbers: float) -> dict[str, Any]:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(WRITTEN[path](*numbers), newline="")
        found = read_metrics(tmp_path, None, written=[path])
        output = blobs.kept(path, file.read_bytes())
        return {"outputs": (output,), "metrics": found.final, "series": found.series, "traces": ()}

    spec = Tolerances(metrics={"loss": Tolerance(abs=0.1)}, volatile_metrics=("took",))
    before = record(tolerance=spec, **left(0.25, 1.5))
    for numbers, outcome in (
        ((0.25, 7.5), Outcome.IDENTICAL),
        ((0.3, 7.5), Outcome.WITHIN_TOLERANCE),
        ((0.75, 1.5), Outcome.DIFFERENT),
    ):
        verdict = compare(before, rerun(**left(*numbers)), blobs.open)
        assert verdict.outcome is outcome, verdict.model_dump_json(indent=1)


OTHER_TABLES = {
    "a column": lambda text: text.replace("note", "word"),
    "a text": lambda text: text.replace("x", "y"),
    "a step": lambda text: text.replace("0,1,", "0,2,"),
    "a line": lambda text: f"{text}2,3,0.5,x,1.0\r\n",
    "a cell": lambda text: text.replace("0.5,x,1.0", "0.5,x"),
    "a number for a text": lambda text: text.replace("x", "1"),
    "not UTF-8": lambda text: text.replace("x", "\udcff"),
    "a quote": lambda text: text.replace("x", '"x'),
}


@pytest.mark.parametrize("what", OTHER_TABLES)
def test_a_table_that_differs_in_more_is_not_excused(
    blobs: Any, record: Callable[..., RunRecord], rerun: Callable[..., RunRecord], what: str
) -> None:
    def left(text: str) -> dict[str, Any]:
        output = blobs.kept("lightning_logs/version_0/metrics.csv", text.encode("utf-8", "surrogateescape"))
        return {"outputs": (output,), "metrics": {"took": 1.0}, "series": (), "traces": ()}

    spec = Tolerances(volatile_metrics=("took",))
    text = table(0.25, 1.5)
    assert OTHER_TABLES[what](text) != text
    again = rerun(**left(OTHER_TABLES[what](text)))
    assert compare(record(tolerance=spec, **left(text)), again, blobs.open).outcome is Outcome.DIFFERENT
