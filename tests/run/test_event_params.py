"""Hyperparameters that tensorboardX wrote, read without it."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.altered import with_other_bytes
from support.examples import tries
from tensorboardX import SummaryWriter

from orchestrator.run.metrics import logged_params as logged_params_module
from orchestrator.run.metrics.event_files import EventFileError, _masked, records
from orchestrator.run.metrics.event_params import MAX_RECORDS, read_hparams
from orchestrator.run.metrics.logged_params import MAX_PARAMS, logged_params
from orchestrator.spec.program import Program


def wrote(folder: Path, params: dict[str, Any], points: int = 0) -> list[str]:
    """The event files of a script that logged parameters and metrics, by their paths."""
    with SummaryWriter(str(folder / "runs")) as writer:
        for step in range(points):
            writer.add_scalar("loss", 1 / (step + 1), step)
        writer.add_hparams(params, {"hparam/accuracy": 0.9})
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*tfevents*"))


def framed(*messages: bytes) -> bytes:
    found = b""
    for data in messages:
        head = struct.pack("<Q", len(data))
        found += head + _masked(head) + data + _masked(data)
    return found


PARAMS = {"lr": 0.5, "batch": 64, "optimizer": "adam", "nesterov": True, "ümlaut": "ö"}


def test_what_was_logged_is_read_with_its_type(tmp_path: Path) -> None:
    written = wrote(tmp_path, PARAMS, points=3)
    found = logged_params(tmp_path, Program(name="x", command=("x",), params={"lr": 0.1}), written)
    assert {name: one.value for name, one in found.params.items()} == PARAMS
    assert type(found.params["batch"].value) is int and type(found.params["nesterov"].value) is bool
    (differs, more) = found.notes
    (source,) = {one.source for one in found.params.values()}
    assert source in written and differs == f"params: {source} has lr=0.5, and the job file lr=0.1"
    assert more.startswith(f"params: {source} has also ") and "batch=64" in more


def test_a_file_that_a_kill_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    (path,) = [one for one in wrote(tmp_path, PARAMS) if b"lr" in (tmp_path / one).read_bytes()]
    data = (tmp_path / path).read_bytes()
    (tmp_path / path).write_bytes(data[:-3])
    found = logged_params(tmp_path, Program(name="x", command=("x",)), [path])
    assert set(found.params) == set(PARAMS)
    assert any("its last record is cut off" in note for note in found.notes)


def test_only_the_plugin_and_only_the_beginning_count(tmp_path: Path) -> None:
    (path,) = [one for one in wrote(tmp_path, {"lr": 0.5}) if b"lr" in (tmp_path / one).read_bytes()]
    data = (tmp_path / path).read_bytes()
    assert list(read_hparams(io.BytesIO(data))) == [("lr", 0.5)]
    assert list(read_hparams(io.BytesIO(framed(*[b""] * MAX_RECORDS) + data))) == []
    (other,) = wrote(tmp_path / "plain", {}, points=1)[:1]
    assert list(read_hparams(io.BytesIO((tmp_path / "plain" / other).read_bytes()))) == []


def test_a_flood_of_parameters_ends(tmp_path: Path) -> None:
    written = wrote(tmp_path, {f"p{number}": number for number in range(MAX_PARAMS + 10)})
    assert len(logged_params(tmp_path, Program(name="x", command=("x",)), written).params) == MAX_PARAMS


def test_many_large_files_end_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is damaged at its end, after the parameters."""
    monkeypatch.setattr(logged_params_module, "MAX_READ", 5_000)
    written = [f"{number}/{path}" for number in range(20) for path in wrote(tmp_path / str(number), PARAMS)]
    for path in written:
        (tmp_path / path).write_bytes((tmp_path / path).read_bytes() + bytes(1_000))
    notes = logged_params(tmp_path, Program(name="x", command=("x",)), written).notes
    assert sum("of such files were read" in note for note in notes) > len(written) / 2


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("events")
    for path in wrote(folder, PARAMS):
        for found in records(io.BytesIO((folder / path).read_bytes())):
            if b"session_start" in found:
                return found
    raise AssertionError("no parameters were written")


@settings(max_examples=tries(200))
@given(data=st.data())
def test_a_damaged_message_is_read_or_refused(data: st.DataObject, record: bytes) -> None:
    """Its checksums are right: the job computes them."""
    changed = data.draw(with_other_bytes(record, 3))
    try:
        found = list(read_hparams(io.BytesIO(framed(changed))))
    except EventFileError:
        return
    assert all(isinstance(name, str) and isinstance(value, bool | int | float | str) for name, value in found)
