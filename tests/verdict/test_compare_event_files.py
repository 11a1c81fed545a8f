"""Event files of two honest runs: what protobuf leaves open is no difference, everything else is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy
import pytest
from support.event_records import event_record
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event as Proto
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from orchestrator.run.attempt_model import Output
from orchestrator.run.metrics.event_files import EventRecord, read_events
from orchestrator.verdict.outputs.compare_event_files import Excuses, compare_event_files, pair_event_files
from orchestrator.verdict.outputs.event_records import settled
from orchestrator.verdict.tolerance import bits

DATA = Path(__file__).parent / "data/tensorboard"  # README.md there says how it was made
PLUGINS = ("hparams", "hparamz")


def kept(blobs: Any, folder: Path) -> tuple[Output, ...]:
    return tuple(
        blobs.kept(str(path.relative_to(folder)), path.read_bytes())
        for path in sorted(folder.rglob("*tfevents*"))
    )


def test_two_honest_runs_of_pytorchs_writer_are_equal(blobs: Any) -> None:
    pairs = pair_event_files(kept(blobs, DATA / "a"), kept(blobs, DATA / "b"))
    assert len(pairs) == 2
    for pair in pairs:
        read = [list(read_events(blobs.open(output.digest))) for output in pair]
        assert [event.payload for event in read[0]] != [event.payload for event in read[1]]
        compared = compare_event_files(*pair, blobs.open)
        assert compared is not None
        assert compared.equal, compared.note


def test_every_scalar_of_pytorchs_writer_is_read(blobs: Any) -> None:
    scalars = [
        (scalar.tag, event.step, scalar.value)
        for path in (DATA / "a").glob("*tfevents*")
        for event in read_events(io.BytesIO(path.read_bytes()))
        for scalar in event.scalars
    ]
    assert scalars == [
        point
        for step in range(3)
        for point in (
            ("train/loss", step, float(numpy.float32(1 / (step + 1)))),
            ("val/accuracy", step, float(numpy.float32(step / 3))),  # a tensor of one float
            ("lr", step, 0.1 / (step + 1)),  # of one double
        )
    ]


def events(folder: Path, write: Any) -> list[EventRecord]:
    with SummaryWriter(str(folder)) as writer:
        write(writer)
    (path,) = folder.glob("*tfevents*")
    return list(read_events(io.BytesIO(path.read_bytes())))


def hparams(entries: list[tuple[str, float]], start: float, plugin: str = "hparams") -> EventRecord:
    """A record of the plugin, its map in this order: each entry is a message, one after the other."""
    data = b""
    for name, value in entries:
        part = HParamsPluginData()
        part.session_start_info.hparams[name].number_value = value
        part.session_start_info.start_time_secs = 0
        data += part.session_start_info.SerializeToString()
    clock = HParamsPluginData()
    clock.session_start_info.start_time_secs = start
    data += clock.session_start_info.SerializeToString()
    proto = Proto(wall_time=1.0, step=0)
    item = proto.summary.value.add(tag="_hparams_/session_start_info")
    item.metadata.plugin_data.plugin_name = plugin
    length = bytes((len(data),))
    assert len(data) < 128
    item.metadata.plugin_data.content = b"\x1a" + length + data
    return from_proto(proto)


def from_proto(proto: Any) -> EventRecord:
    (event,) = read_events(io.BytesIO(event_record(proto.SerializeToString())))
    return event


def test_the_order_of_a_map_and_the_plugins_clock_say_nothing() -> None:
    a = hparams([("lr", 0.1), ("wd", 0.2)], 1700000000.5)
    assert settled(a) == settled(hparams([("wd", 0.2), ("lr", 0.1)], 1800000000.5))


@pytest.mark.parametrize(
    "entries",
    [
        [("lr", 0.1)],
        [("lr", 0.1), ("wd", 0.3)],
        [("lr", 0.2), ("wd", 0.1)],
        [("lr", 0.1), ("wd", 0.2), ("wd", 0.2)],
    ],
)
def test_another_map_is_another(entries: list[tuple[str, float]]) -> None:
    assert settled(hparams([("lr", 0.1), ("wd", 0.2)], 1.5)) != settled(hparams(entries, 1.5))


def test_of_a_key_twice_the_last_counts_so_the_order_does() -> None:
    a, b = [("lr", 0.1), ("lr", 0.2)], [("lr", 0.2), ("lr", 0.1)]
    assert settled(hparams(a, 1.5)) != settled(hparams(b, 1.5))


def test_only_the_plugin_that_is_known_has_a_clock() -> None:
    a, b = ([settled(hparams([("lr", 0.1)], start, plugin)) for start in (1.5, 2.5)] for plugin in PLUGINS)
    assert a[0] == a[1]
    assert b[0] != b[1]


def test_scalars_within_a_tolerance_are_excused_and_nothing_else(blobs: Any, tmp_path: Path) -> None:
    def run(name: str, loss: float, text: str = "same") -> Output:
        def write(writer: SummaryWriter) -> None:
            writer.add_scalar("loss", loss, 3)
            writer.add_text("notes", text, 3)

        events(tmp_path / name, write)
        return kept(blobs, tmp_path / name)[0]

    a, b, other = run("a", 0.5), run("b", 0.75), run("c", 0.75, "another")
    near = Excuses(frozenset({("loss", bits(0.5), bits(0.75))}))
    elsewhere = Excuses(frozenset({("acc", bits(0.5), bits(0.75)), ("val/loss", bits(0.5), bits(0.75))}))
    for pair, excuses, excused in (
        ((a, b), near, True),
        ((a, b), Excuses(), False),
        ((a, b), elsewhere, False),
        ((b, a), near, False),
        ((a, other), near, False),
        ((a, other), Excuses(volatile=frozenset({"loss"})), False),
    ):
        compared = compare_event_files(*pair, blobs.open, excuses)
        assert compared is not None
        assert not compared.equal
        assert compared.excused is excused
    volatile = compare_event_files(a, b, blobs.open, Excuses(volatile=frozenset({"loss"})))
    assert volatile is not None
    assert (volatile.equal, volatile.note.endswith("equal but for volatile loss")) == (True, True)


def test_a_tag_is_the_metric_of_its_folder() -> None:
    known = Excuses(volatile=frozenset({"loss", "val/loss", "train/loss", "al/loss"}))
    assert sorted(known.names("runs/*/val", "loss")) == ["loss", "val/loss"]
    assert sorted(known.names("", "val/loss")) == ["val/loss"]


def test_bytes_that_are_not_the_records_prove_nothing(blobs: Any, tmp_path: Path) -> None:
    """A blob that was exchanged for that of the other run."""
    for name, loss in (("a", 0.5), ("b", 0.75)):
        events(tmp_path / name, lambda writer, loss=loss: writer.add_scalar("loss", loss, 0))
    (a,), (b,) = kept(blobs, tmp_path / "a"), kept(blobs, tmp_path / "b")
    blobs.held[b.digest] = blobs.held[a.digest]
    assert compare_event_files(a, b, blobs.open) is None


def test_the_tenth_writer_of_a_second_comes_after_the_ninth(blobs: Any) -> None:
    def run(start: int, times: list[int]) -> tuple[Output, ...]:
        return tuple(
            blobs.kept(f"events.out.tfevents.{time}.host.7.{number}", bytes([number]))
            for number, time in enumerate(times, start)
        )

    pairs = pair_event_files(run(8, [1, 1, 1]), run(8, [1, 2, 3]))
    assert [(a.path[-2:], b.path[-2:]) for a, b in pairs] == [(".8", ".8"), (".9", ".9"), ("10", "10")]
