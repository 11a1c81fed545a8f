"""Metrics in folders that other runs do not have: layouts as the tools write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.run.metrics.metric_sources import metric_files
from orchestrator.run.metrics.read_metrics import read_metrics

OBJECT = '{"loss": 0.5, "val": {"acc": 1}}'
BOTH = {"loss": 0.5, "val.acc": 1.0}
RUN = "0123456789abcdef0123456789abcdef"


def read(folder: Path, files: dict[str, str], named: str | None = None) -> dict[str, float]:
    return whole(folder, files, named).final


def whole(folder: Path, files: dict[str, str], named: str | None = None):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return read_metrics(folder, named, written=tuple(files))


@pytest.mark.parametrize(
    "path",
    [
        "outputs/2026-11-29/13-50-26/metrics.json",
        "runs/Nov29_13-50-26_host/metrics.json",
        "exp_20261129_135026/metrics.json",
        "exp-1764424226/metrics.json",
        "2026-11-29T13:50:26/metrics.json",
        "runs/3f2c1ab0/metrics.json",
        f"runs/{RUN}/metrics.json",
        "runs/0b0d3b1e-1c2d-4e5f-8a9b-0123456789ab/metrics.json",
        "lightning_logs/version_3/metrics.json",
        "multirun/2026-11-29/13-50-26/0/metrics.json",
    ],
)
def test_a_folder_of_a_run_is_looked_into(tmp_path: Path, path: str) -> None:
    assert read(tmp_path, {path: OBJECT}) == BOTH


@pytest.mark.parametrize(
    "path", ["results/metrics.json", "resnet50/metrics.json", "mnist_2026/x/metrics.json"]
)
def test_any_other_is_not_unless_it_is_named(tmp_path: Path, path: str) -> None:
    assert read(tmp_path, {path: OBJECT}) == {}
    assert read(tmp_path, {path: OBJECT}, "*/**/metrics.json") == BOTH


def test_what_lies_at_the_top_comes_first(tmp_path: Path) -> None:
    assert read(tmp_path, {"metrics.json": '{"a": 1}', "2026-11-29/metrics.json": OBJECT}) == {"a": 1.0}


def test_lightning(tmp_path: Path) -> None:
    table = "epoch,step,train_loss,val_loss\n0,9,0.5,\n0,9,,0.75\n1,19,0.25,\n"
    found = whole(tmp_path, {"lightning_logs/version_0/metrics.csv": table})
    assert found.final == {"epoch": 1.0, "train_loss": 0.25, "val_loss": 0.75}
    assert [(p.name, p.step, p.value) for p in found.series if p.name == "train_loss"] == [
        ("train_loss", 9, 0.5),
        ("train_loss", 19, 0.25),
    ]
    assert found.notes == ("metrics: read from lightning_logs/version_0/metrics.csv",)


@pytest.mark.parametrize(
    ("lines", "more"), [(1, ""), (2, "; so is one more line"), (3, "; so are 2 more lines")]
)
def test_lines_that_cannot_be_read_are_counted(tmp_path: Path, lines: int, more: str) -> None:
    found = whole(tmp_path, {"metrics.jsonl": '{"a": 1}\n' + "torn\n" * lines + '{"a": 2}\n'})
    assert (found.final, len(found.notes)) == ({"a": 2.0}, 1)
    assert found.notes[0].startswith("metrics: metrics.jsonl:2 is not JSON")
    assert found.notes[0].endswith(more or ")")


def test_wandb(tmp_path: Path) -> None:
    summary = json.dumps(
        {"loss": 0.5, "_step": 3, "_runtime": 2.5, "_timestamp": 1e9, "_wandb": {"runtime": 2}}
    )
    path = "wandb/offline-run-20261129_135026-a1b2c3d4/files/wandb-summary.json"
    assert read(tmp_path, {path: summary}) == {"loss": 0.5}


def test_mlflow(tmp_path: Path) -> None:
    folder = f"mlruns/0/{RUN}/metrics"
    files = {f"{folder}/loss": "1764424226000 0.5 0\n1764424227000 nan 1\n"}
    found = whole(tmp_path, files | {f"{folder}/val/acc": "1764424226000 1.0 0\n"})
    assert found.final.keys() == {"loss", "val/acc"}
    assert [point.step for point in found.series] == [0, 1, 0]
    assert [point.at for point in found.series] == [1764424226.0, 1764424227.0, 1764424226.0]


def test_several_runs_of_one_job_are_told_apart_without_their_moments(tmp_path: Path) -> None:
    several = {
        f"multirun/2026-11-29/13-50-26/{number}/metrics.json": f'{{"loss": {number}, "only{number}": 1}}'
        for number in (0, 1)
    }
    assert read(tmp_path, several) == {"0/loss": 0.0, "1/loss": 1.0, "only0": 1.0, "only1": 1.0}
    days = {f"outputs/2026-11-{day}/metrics.json": f'{{"loss": {day}}}' for day in (28, 29)}
    assert read(tmp_path, days) == {"RUN/loss": 28.0, "RUN-2/loss": 29.0}


def test_a_glob_names_metrics(tmp_path: Path) -> None:
    files = {
        "a/m.json": '{"x": 1}',
        "b/m.json": '{"x": 2}',
        "b/m.pt": "weights",
        "c.jsonl": '{"step": 1, "y": 3}\n',
    }
    assert read(tmp_path, files, "*/m.*") == {"a/x": 1.0, "b/x": 2.0}
    assert read(tmp_path, files, "[c].jsonl") == {"y": 3.0}
    assert whole(tmp_path, files, "z/*").notes == ("metrics: nothing that the job wrote fits 'z/*'",)


@pytest.mark.parametrize(
    "text", ["", "a,b\n1\n", 'a,b\n"1,2\n', "\0\n\0\n", "a,a\n1,2\n", "step\n1\n", "a\n" + "1," * 999]
)
def test_a_table_that_is_none_costs_itself(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, {"version_0/metrics.csv": text, "version_1/metrics.json": OBJECT})
    assert BOTH.items() <= found.items()


PARTS = st.sampled_from(
    ["outputs", "2026-11-29", "13-50-26", "version_0", "mlruns", "0", RUN, "metrics", "wandb"]
)


@given(st.lists(st.lists(PARTS, max_size=5).map("/".join), unique=True, max_size=8))
def test_names_of_folders_are_never_lost_or_mixed_up(folders: list[str]) -> None:
    written = [f"{folder}/metrics.json".lstrip("/") for folder in folders]
    found = metric_files("**/metrics.json", written)
    assert sorted(file.path for file in found) == sorted(written)
    assert len({file.folder for file in found}) == len(written)
    assert not any("2026" in file.folder or RUN in file.folder for file in found)
