"""TensorBoard's event files, as a real writer writes them."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.altered import flip_bit
from support.event_records import event_record
from tensorboardX import SummaryWriter

from orchestrator.run.attempt_model import MetricPoint, Output, OutputStatus
from orchestrator.run.metrics import event_metrics, read_metrics
from orchestrator.run.metrics.event_files import (
    MAX_SCALARS,
    EventFileError,
    _masked,
    is_event_file,
    read_events,
    timeless,
)
from orchestrator.run.metrics.event_metrics import with_event_metrics
from orchestrator.run.metrics.read_metrics import Metrics

Write = Callable[[SummaryWriter], None]


def written(folder: Path, write: Write) -> Path:
    with SummaryWriter(str(folder)) as writer:
        write(writer)
    (path,) = folder.glob("*tfevents*")
    return path


def everything(writer: SummaryWriter) -> None:
    for step in range(5):
        writer.add_scalar("loss/train", 1 / (step + 1), step)
        writer.add_scalar("accuracy", step / 5, step)
    writer.add_text("notes", "hello", 0)
    writer.add_histogram("weights", numpy.arange(10.0), 3)


def test_a_real_file_is_read_whole(tmp_path: Path) -> None:
    path = written(tmp_path, everything)
    assert is_event_file(str(path))
    events = list(read_events(io.BytesIO(path.read_bytes())))
    scalars = [(scalar.tag, event.step, scalar.value) for event in events for scalar in event.scalars]
    assert [item for item in scalars if item[0] == "loss/train"] == [
        ("loss/train", step, numpy.float32(1 / (step + 1))) for step in range(5)
    ]
    assert sum(tag == "accuracy" for tag, _, _ in scalars) == 5
    assert {tag for tag, _, _ in scalars} == {"loss/train", "accuracy"}


def test_the_checksum_is_the_known_one() -> None:
    # "123456789" has the CRC-32C 0xE3069283 (RFC 3720, appendix B.4 gives the polynomial).
    (masked,) = struct.unpack("<I", _masked(b"123456789"))
    crc = (masked - 0xA282EAD8) & 0xFFFFFFFF
    assert ((crc >> 17) | (crc << 15)) & 0xFFFFFFFF == 0xE3069283


def test_no_flipped_bit_goes_unseen(tmp_path: Path) -> None:
    data = written(tmp_path, everything).read_bytes()
    chosen = random.Random(1).sample(range(len(data) * 8), 300)
    for bit in chosen:
        with pytest.raises(EventFileError):
            list(read_events(io.BytesIO(flip_bit(data, bit))))


def test_a_file_that_is_cut_off_says_so(tmp_path: Path) -> None:
    data = written(tmp_path, everything).read_bytes()
    for length in (5, len(data) - 1, len(data) // 2):
        with pytest.raises(EventFileError, match="cut off"):
            list(read_events(io.BytesIO(data[:length])))
    assert list(read_events(io.BytesIO(b""))) == []


@given(data=st.binary(max_size=200))
def test_what_is_inside_a_record_never_breaks_the_reading(data: bytes) -> None:
    stream = io.BytesIO(event_record(data))
    try:
        list(read_events(stream))
    except EventFileError as error:
        assert str(error)


def test_a_length_is_not_believed() -> None:
    head = struct.pack("<Q", 1 << 60)
    with pytest.raises(EventFileError, match="larger"):
        list(read_events(io.BytesIO(head + _masked(head))))


def test_scalars_become_metrics_unless_the_job_said_them_itself(tmp_path: Path) -> None:
    path = written(tmp_path / "runs" / "Nov23_12-30-00_reprise", everything)
    name = str(path.relative_to(tmp_path))
    outputs = (Output(path=name, status=OutputStatus.KEPT), Output(path="a.txt", status=OutputStatus.KEPT))
    own = (MetricPoint(name="accuracy", step=0, value=0.5),)
    found = with_event_metrics(Metrics(final={"accuracy": 0.5}, series=own), tmp_path, outputs)
    assert found.final == {"accuracy": 0.5, "loss/train": float(numpy.float32(0.2))}
    assert [point.step for point in found.series if point.name == "loss/train"] == [0, 1, 2, 3, 4]
    assert [point for point in found.series if point.name == "accuracy"] == list(own)
    times = [point.at for point in found.series if point.name == "loss/train"]
    assert None not in times and times == sorted(times)
    assert found.notes == ()


def test_several_folders_are_told_apart_without_their_moment(tmp_path: Path) -> None:
    paths = [
        written(tmp_path / folder, lambda writer: writer.add_scalar("loss", 1.0, 0))
        for folder in ("runs/Nov23_12-30-00_a/train", "runs/Nov23_12-30-00_a/val")
    ]
    outputs = tuple(Output(path=str(path.relative_to(tmp_path)), status=OutputStatus.KEPT) for path in paths)
    found = with_event_metrics(Metrics(), tmp_path, outputs)
    assert found.final.keys() == {"train/loss", "val/loss"}


def test_a_tag_of_one_folder_keeps_its_name(tmp_path: Path) -> None:
    """`add_hparams` writes into a folder of its own: `best --metric val/accuracy` finds the others still."""

    with SummaryWriter(str(tmp_path / "runs/Nov23_12-30-00_a")) as writer:
        writer.add_scalar("val/accuracy", 0.5, 0)
        writer.add_hparams({"lr": 0.1}, {"hparam/accuracy": 0.5})
    outputs = tuple(
        Output(path=str(path.relative_to(tmp_path)), status=OutputStatus.KEPT)
        for path in sorted(tmp_path.rglob("*tfevents*"))
    )
    assert len({item.path.rpartition("/")[0] for item in outputs}) == 2
    assert with_event_metrics(Metrics(), tmp_path, outputs).final == {
        "val/accuracy": 0.5,
        "hparam/accuracy": 0.5,
    }


def test_points_past_the_limit_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_metrics, "MAX_POINTS", 3)
    monkeypatch.setattr(read_metrics, "MAX_POINTS", 3)
    path = written(tmp_path, everything)
    found = with_event_metrics(Metrics(), tmp_path, (Output(path=path.name, status=OutputStatus.KEPT),))
    assert len(found.series) == 3
    assert found.notes == ("metrics: more than 3 points; the first 3 are kept",)


def test_a_record_stuffed_with_scalars_is_refused() -> None:
    value = b"\x0a\x08\x0a\x01a\x15\x00\x00\x80\x3f"
    for number in (MAX_SCALARS, MAX_SCALARS + 1):
        summary = value * number
        length = bytes((len(summary) & 0x7F | 0x80, len(summary) >> 7 & 0x7F | 0x80, len(summary) >> 14))
        stream = io.BytesIO(event_record(b"\x2a" + length + summary))
        if number == MAX_SCALARS:
            assert len(next(read_events(stream)).scalars) == number
        else:
            with pytest.raises(EventFileError, match="scalars"):
                next(read_events(stream))


def test_a_damaged_file_is_noted_and_what_came_before_kept(tmp_path: Path) -> None:
    path = written(tmp_path, everything)
    path.write_bytes(path.read_bytes()[:-3])
    outputs = (Output(path=path.name, status=OutputStatus.KEPT),)
    found = with_event_metrics(Metrics(), tmp_path, outputs)
    assert "cut off" in found.notes[0]
    assert found.final["accuracy"] == float(numpy.float32(0.8))


@pytest.mark.parametrize(
    ("folder", "same"),
    [
        ("runs/Nov23_12-30-00_host", "runs/TIME_host"),
        ("logs/1795454420.805952", "logs/TIME"),
        ("logs/2026-11-23T12:30:00/a", "logs/TIME/a"),
        ("logs/20261123-123000", "logs/TIME"),
        ("logs/version_0", "logs/version_0"),
    ],
)
def test_moments_in_names_of_folders(folder: str, same: str) -> None:
    assert timeless(folder) == same
