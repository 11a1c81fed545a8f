"""What real trackers wrote (tests/run/data): metrics, series and parameters, read without the trackers."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.altered import flipped
from support.examples import tries

from orchestrator.run.metrics.event_files import EventFileError
from orchestrator.run.metrics.logged_params import MAX_PARAMS, logged_params
from orchestrator.run.metrics.read_metrics import Metrics, read_metrics
from orchestrator.run.metrics.series import points_of
from orchestrator.run.metrics.wandb_log import read_wandb
from orchestrator.spec.program import Program

DATA = Path(__file__).with_name("data")
LOSS, ACCURACY = [1.0, 0.5, 1 / 3], [0.5, 0.6, 0.7]
WANDB = next((DATA / "wandb").glob("*/*.wandb")).read_bytes()
BLOCK = 32 << 10


def brought(folder: Path, name: str) -> list[str]:
    """A tracker's files as a job's: the paths that it wrote."""
    shutil.copytree(DATA / name, folder / name)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def series(metrics: Metrics, name: str) -> tuple[list[int | None], list[float]]:
    found = [point for point in points_of(metrics.series) if point.name == name]
    return [point.step for point in found], [point.value for point in found]


@pytest.mark.parametrize(
    ("tracker", "loss", "accuracy"),
    [
        ("wandb", "loss", "val.acc"),
        ("mlruns", "loss", "val/acc"),
        ("dvclive", "loss", "val/acc"),
        ("lightning", "loss", "acc"),
        ("trainer", "loss", "eval_acc"),
        ("keras", "loss", "accuracy"),
    ],
)
def test_metrics_and_series_of_each_tracker(tmp_path: Path, tracker: str, loss: str, accuracy: str) -> None:
    metrics = read_metrics(tmp_path, None, written=brought(tmp_path, tracker))
    steps, values = series(metrics, loss)
    assert (steps[:3], values[:3]) == ([0, 1, 2], LOSS)
    assert series(metrics, accuracy) == ([0, 1, 2], ACCURACY)
    assert metrics.final[accuracy] == 0.7 and metrics.incomplete == ""
    [note] = metrics.notes
    assert note.startswith(f"metrics: read from {tracker}/"), "where they are from"
    assert not any("runtime" in name or name.startswith("_") for name in metrics.final)


def test_points_of_wandb_have_times(tmp_path: Path) -> None:
    metrics = read_metrics(tmp_path, None, written=brought(tmp_path, "wandb"))
    times = [point.at for point in metrics.series if point.name == "loss"]
    assert times and None not in times and times == sorted(times)


def test_wandbs_summary_is_a_final_value(tmp_path: Path) -> None:
    metrics = read_metrics(tmp_path, None, written=brought(tmp_path, "wandb"))
    assert metrics.final["best"] == 0.7 and str(metrics.final["loss"]) == "nan"
    assert series(metrics, "loss")[0] == [0, 1, 2, 10] and "word" not in metrics.final


def test_a_file_of_the_jobs_own_comes_first(tmp_path: Path) -> None:
    written = brought(tmp_path, "keras")
    (tmp_path / "metrics.json").write_text('{"mine": 1}')
    assert read_metrics(tmp_path, None, written=[*written, "metrics.json"]).final == {"mine": 1.0}


def test_a_table_that_is_no_keras_log_is_left_alone(tmp_path: Path) -> None:
    for name, text in (
        ("a.csv", "epoch,lr\n0,1\n"),
        ("b.log", "epoch 1, loss 2\n"),
        ("c.csv", "x,loss\n1,2\n"),
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "d.csv").symlink_to(DATA / "keras" / "training.log")
    metrics = read_metrics(tmp_path, None, written=["a.csv", "b.log", "c.csv", "d.csv", "gone.csv"])
    assert (metrics.final, metrics.notes) == ({}, ())


@pytest.mark.parametrize("tracker", ["wandb", "mlruns", "dvclive", "lightning"])
def test_parameters_are_compared_with_those_of_the_job_file(tmp_path: Path, tracker: str) -> None:
    program = Program(name="x", command=("x",), params={"lr": 0.2, "epochs": 3, "depth": 4})
    written = brought(tmp_path, tracker)
    first, second = logged_params(tmp_path, program, written).notes
    assert first.startswith(f"params: {tracker}/") and first.endswith(" has lr=0.1, and the job file lr=0.2")
    assert second.endswith(" has also model.width=8")
    same = Program(name="x", command=("x",), params={"lr": 0.1, "epochs": 3, "model.width": 8})
    found, none = logged_params(tmp_path, same, written)
    assert none == [] and {name: found[name].value for name in same.params} == same.params
    [source] = {item.source for item in found.values()}
    assert source.startswith(f"{tracker}/") and source in first


def test_the_first_of_two_trackers_is_kept_and_the_second_noted(tmp_path: Path) -> None:
    for folder, text in (("a", f"lr: 0.1\nlong: {'x' * 9000}"), ("b", "lr: 0.2\nflag: true\nx: nan")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "hparams.yaml").write_text(text)
    written = [f"{folder}/{name}" for folder in "ab" for name in ("hparams.yaml", "metrics.csv")]
    found, notes = logged_params(tmp_path, Program(name="x", command=("x",), params={"lr": 0.1}), written)
    assert {name: (item.value, item.source[0]) for name, item in found.items()} == {
        "lr": (0.1, "a"),
        "flag": (True, "b"),
        "x": ("nan", "b"),
    }
    assert "params: b/hparams.yaml has lr=0.2, and the job file lr=0.1" in notes
    (tmp_path / "a" / "hparams.yaml").write_text("\n".join(f"p{number}: 1" for number in range(3000)))
    assert len(logged_params(tmp_path, Program(name="x", command=("x",)), written).params) == MAX_PARAMS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!python/object/apply:os.system [id]\nlr: 0.1\n", "lr=0.1"),
        ("b: &x 1\nlr: *x\nflag: True\n", "flag=true"),
        ("- 1\n? x\nlr: 'two words'\r\n", "lr=two words"),
        ("\tlr: 1\nx: \x1b]0;t\x07\n", "x=\\x1b]0;t\\x07"),
        ("lr: 1_000\n", "lr=1_000"),
        ("lr: 0.1  # tuned\n# b: 2\n", "lr=0.1"),
        ("opt: # of torch\n  lr: 0.1\n", "opt.lr=0.1"),
        ("a: 'x # y' # z\nb: \"it's # w\"\nc: x#y\n", "a=x # y, b=it's # w, c=x#y"),
    ],
)
def test_yaml_is_only_plain_lines(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "hparams.yaml").write_text(text)
    written = ["log/hparams.yaml", "log/metrics.csv"]
    program = Program(name="x", command=("x",))
    notes = logged_params(tmp_path, program, written).notes
    assert notes == [f"params: log/hparams.yaml has also {said}"]
    assert logged_params(tmp_path, program, written[:1]).notes == [], "not of Lightning"


def test_links_and_large_files_cost_themselves(tmp_path: Path) -> None:
    written = brought(tmp_path, "lightning")
    (tmp_path / "lightning" / "hparams.yaml").unlink()
    (tmp_path / "lightning" / "hparams.yaml").symlink_to("/etc/passwd")
    [note] = logged_params(tmp_path, Program(name="x", command=("x",)), written).notes
    assert note.startswith("params: lightning/hparams.yaml: ")
    (tmp_path / "wandb" / "offline-run-1").mkdir(parents=True)
    with (tmp_path / "wandb" / "offline-run-1" / "run-1.wandb").open("wb") as stream:
        stream.truncate(1 << 30)
    metrics = read_metrics(tmp_path, None, written=["wandb/offline-run-1/run-1.wandb"])
    assert "more than" in metrics.incomplete


def test_a_cut_log_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    """The real file goes on in a second block: a record lies in both."""
    assert len(WANDB) > BLOCK
    folder = tmp_path / "wandb" / "offline-run-1"
    folder.mkdir(parents=True)
    (folder / "run-1.wandb").write_bytes(WANDB[: BLOCK + 10])
    metrics = read_metrics(tmp_path, None, written=["wandb/offline-run-1/run-1.wandb"])
    assert series(metrics, "loss")[0][:2] == [0, 1] and "cut off" in metrics.incomplete


def test_a_flipped_bit_is_seen_wherever_it_is(tmp_path: Path) -> None:
    for place in (0, 4, 6, 9, 11, 13, 20, 200, BLOCK + 3, len(WANDB) - 1):
        path = tmp_path / "x"
        path.write_bytes(flipped(WANDB, place, 4))
        with path.open("rb") as stream, pytest.raises(EventFileError):
            list(read_wandb(stream))


def piece(data: bytes, kind: int = 1) -> bytes:
    return struct.pack("<IHB", zlib.crc32(data, zlib.crc32(bytes([kind]))), len(data), kind) + data


@settings(max_examples=tries(300))
@given(
    st.lists(st.tuples(st.binary(max_size=200), st.sampled_from((0, 1, 2, 3, 4, 9))), max_size=8),
    st.binary(max_size=20),
)
def test_any_records_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, pieces, rest) -> None:
    path = tmp_path_factory.mktemp("log") / "x"
    path.write_bytes(WANDB[:7] + b"".join(piece(data, kind) for data, kind in pieces) + rest)
    with path.open("rb") as stream:
        try:
            for record in read_wandb(stream):
                assert record.kind in ("history", "summary", "config")
                assert record.step is None or 0 <= record.step < 1 << 63
        except EventFileError as error:
            assert str(error)


def field(number: int, data: bytes) -> bytes:
    size = len(data)
    assert size < 1 << 14
    return bytes([number << 3 | 2, size & 127 | 128, size >> 7]) + data


def said(number: int, **values: str) -> bytes:
    items = (
        field(1, field(1, name.encode()) + b"\x82\x01" + field(0, text.encode())[1:])
        for name, text in values.items()
    )
    return piece(field(number, b"".join(items)))


def test_lists_in_values_are_dropped_as_they_are_read(tmp_path: Path) -> None:
    """64 MiB of `[[],[],…` would be 1.6 GB, kept until the end of the log."""
    path = tmp_path / "wandb" / "offline-run-1" / "run-1.wandb"
    path.parent.mkdir(parents=True)
    many = f"[{','.join(['[]'] * 500)}]"
    log = [said(3, a=many, b=f'{{"c":{many},"d":2}}', e="1"), said(3, e="3"), said(2, loss="0.5")]
    path.write_bytes(WANDB[:7] + b"".join(log))
    with path.open("rb") as stream:
        assert next(read_wandb(stream)).items == (("b", {"d": 2}), ("e", 1))
    metrics = read_metrics(tmp_path, None, written=["wandb/offline-run-1/run-1.wandb"])
    assert metrics.final == {"b.d": 2.0, "e": 3.0, "loss": 0.5} and metrics.incomplete == ""
