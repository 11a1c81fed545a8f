"""What is set aside because it differs by nature, and what never is."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.altered import flip_bit
from tensorboardX import SummaryWriter

from orchestrator.digest import Digest
from orchestrator.run.attempt_model import Output
from orchestrator.verdict.outputs.compare_files import pair_outputs
from orchestrator.verdict.outputs.exclusions import Aside, set_aside

Write = Callable[[SummaryWriter], None]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Write], bytes]:
    """The bytes that a real writer leaves; each call has another clock."""

    def write(what: Write) -> bytes:
        folder = tmp_path / str(random.random())
        with SummaryWriter(str(folder)) as writer:
            what(writer)
        return next(folder.glob("*tfevents*")).read_bytes()

    return write


def scalars(*values: float) -> Write:
    return lambda writer: (
        [writer.add_scalar("loss", value, step) for step, value in enumerate(values)] and None
    )


def aside(blobs: Any, a: list[Output], b: list[Output], volatile: tuple[str, ...] = ()) -> Aside:
    return set_aside(pair_outputs(tuple(a), tuple(b)), volatile, blobs.open)


BEFORE, AFTER = "runs/events.out.tfevents.1700000000.host.7.0", "runs/events.out.tfevents.1800000000.host.9.0"


def test_only_the_clock_differs(blobs: Any, written: Callable[[Write], bytes]) -> None:
    data = written(scalars(1.0, 0.5)), written(scalars(1.0, 0.5))
    assert data[0] != data[1]
    found = aside(blobs, [blobs.kept(BEFORE, data[0])], [blobs.kept(AFTER, data[1])])
    assert found.pairs == []
    assert found.judged == ()
    assert found.equal == 1
    (left,) = found.left_out
    assert left.path == BEFORE
    assert "1 tag" in left.why


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (scalars(1.0, 0.25), "loss at step 1: 0.5 vs 0.25"),
        (scalars(1.0), "only in the original"),
        (scalars(1.0, 0.5, 0.1), "only in the rerun"),
        (lambda writer: [writer.add_scalar(tag, 1.0, 0) for tag in ("los", "b")] and None, "tag 'loss'"),
        (lambda writer: writer.add_text("loss", "1.0", 0), "holds no scalar"),
        (lambda writer: writer.add_scalar("loss", 1.0, 7), "step 0"),
    ],
)
def test_what_they_hold_differs(
    blobs: Any, written: Callable[[Write], bytes], other: Write, said: str
) -> None:
    a, b = blobs.kept(BEFORE, written(scalars(1.0, 0.5))), blobs.kept(AFTER, written(other))
    found = aside(blobs, [a], [b])
    (judged,) = found.judged
    assert not judged.excused
    assert said in judged.difference.note
    assert found.equal == 0
    assert found.left_out == ()


def test_no_flipped_bit_is_left_out(blobs: Any, written: Callable[[Write], bytes]) -> None:
    data = written(scalars(1.0, 0.5))
    a = blobs.kept(BEFORE, data)
    for bit in random.Random(2).sample(range(len(data) * 8), 200):
        found = aside(blobs, [a], [blobs.kept(BEFORE, flip_bit(data, bit))])
        assert found.equal == 0
        assert len(found.pairs) == 1


def test_what_cannot_be_read_stays_to_be_compared_byte_for_byte(
    blobs: Any, written: Callable[[Write], bytes]
) -> None:
    data = written(scalars(1.0))
    a = blobs.kept(BEFORE, data)
    for other in (blobs.kept(AFTER, b"no event file"), blobs.kept(AFTER, data[:-1])):
        assert len(aside(blobs, [a], [other]).pairs) == 2
    gone = a.model_copy(update={"digest": Digest.of(b"gone")})
    assert len(aside(blobs, [a], [gone]).pairs) == 1


def test_files_that_have_no_counterpart_stay(blobs: Any, written: Callable[[Write], bytes]) -> None:
    data = written(scalars(1.0))
    elsewhere = blobs.kept("other/events.out.tfevents.1.host.7.0", data)
    found = aside(blobs, [blobs.kept(BEFORE, data)], [elsewhere])
    assert len(found.pairs) == 2
    assert found.left_out == ()


def test_folders_named_after_the_moment_are_paired(blobs: Any, written: Callable[[Write], bytes]) -> None:
    a = blobs.kept("runs/Nov23_12-30-00_me/events.out.tfevents.1.h.7.0", written(scalars(1.0)))
    b = blobs.kept("runs/Nov24_01-02-03_me/events.out.tfevents.2.h.7.0", written(scalars(1.0)))
    assert aside(blobs, [a], [b]).equal == 1


def test_volatile_outputs_are_listed_and_never_compared(blobs: Any) -> None:
    a = [blobs.kept("train.log", b"took 1 s"), blobs.kept("same.log", b"x"), blobs.kept("model", b"1")]
    b = [blobs.kept("train.log", b"took 2 s"), blobs.kept("same.log", b"x"), blobs.kept("model", b"2")]
    b.append(blobs.kept("extra.log", b"y"))
    found = aside(blobs, a, b, ("*.log",))
    assert [pair[0] for pair in found.pairs] == ["model"]
    assert [(item.path, item.why) for item in found.left_out] == [
        ("extra.log", "volatile in the spec, not compared; only in the rerun"),
        ("train.log", "volatile in the spec, not compared"),
    ]
