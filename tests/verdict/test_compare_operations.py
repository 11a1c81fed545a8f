"""Logs of operations: the first one that took equal bytes and gave others, and what is no log."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from orchestrator.verdict.traces.compare_operations import OpKind, OpsLog, compare_ops
from orchestrator.verdict.traces.pair_processes import pairs_of

HEAD = {"ops": 1, "rank": 0, "pid": 7, "began": 5, "step": 0, "count": 1}
END = {"end": True, "ops": 2, "steps": 1}


def op(number: int, **changes: Any) -> dict[str, Any]:
    base = {"s": 0, "i": number, "op": "aten::mm", "p": "forward", "w": "fc", "a": "0"}
    return {
        **base,
        "in": [["float32[2]", "aa"]],
        "out": [["float32[2]", "bb"], ["float32[2]", "-"]],
        **changes,
    }


def log(*lines: Any) -> io.BytesIO:
    return io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in (HEAD, *lines)))


def test_equal_logs() -> None:
    assert compare_ops(log(op(0), op(1), END), log(op(0), op(1), END)) == (None, 2)


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        (
            {"out": [["float32[2]", "bb"], ["float32[2]", "cc"]]},
            OpKind.OPERATION,
            "output 2 of 2, float32[2]",
        ),
        ({"in": [["float32[2]", "ab"]]}, OpKind.INPUT, "input 1 of 1, float32[2]"),
        ({"a": "1"}, OpKind.INPUT, "an argument that is not a tensor"),
        ({"op": "aten::add"}, OpKind.PATH, ""),
        ({"p": "backward"}, OpKind.PATH, ""),
        ({"s": 1}, OpKind.PATH, ""),
        ({"in": [["float32[3]", "aa"]]}, OpKind.PATH, ""),
        ({"in": []}, OpKind.PATH, ""),
    ],
)
def test_the_first_difference(changes: dict[str, Any], kind: OpKind, said: str) -> None:
    later = op(2, out=[["float32[2]", "dd"]])
    found, equal = compare_ops(log(op(0), op(1), op(2), END), log(op(0), op(1, **changes), later, END))
    assert found is not None
    assert (found.kind, found.tensor, equal, found.equal) == (kind, said, 1, 1)
    assert found.describe() == "aten::mm (call 1 of step 0, in fc, forward)"


def test_where_one_ends_earlier_the_paths_differ() -> None:
    found, _ = compare_ops(log(op(0), END), log(op(0), op(1), END))
    assert found is not None
    assert (found.kind, found.other) == (
        OpKind.PATH,
        "the original's pass had ended by then",
    )


def test_a_log_that_breaks_off_after_a_difference_still_names_it() -> None:
    found, _ = compare_ops(log(op(0, out=[])), log(op(0)))
    assert found is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
        log(op(0)).getvalue(),
        log(op(0), {"broken": "why"}).getvalue(),
        log(op(0), 7, END).getvalue(),
        log(op(0), op(1, i="x"), END).getvalue(),
        log(op(0), op(1, out=[1]), END).getvalue(),
        log(op(0), op(1)).getvalue() + b'{"end": tr',
    ],
)
def test_what_is_no_log_or_no_whole_one_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"log|Expecting"):
        compare_ops(io.BytesIO(data), io.BytesIO(data))


def test_words_of_a_log_are_cleaned() -> None:
    found, _ = compare_ops(log(op(0, w="\x1b[2J" + "x" * 1000)), log(op(0, out=[["float32[2]", "0"]] * 2)))
    assert found is not None
    assert found.where.isprintable()
    assert len(found.where) <= 200


def test_logs_of_processes_that_began_together_are_paired_by_what_they_hold(blobs: Any) -> None:
    """Each trains a model of its own: side by side with another's, the first operation would differ."""

    def side(order: str, last: str) -> list[OpsLog]:
        logs = []
        for began, name in enumerate(order):
            lines = [op(0, out=[["float32[2]", name]]), op(1, out=[["float32[2]", last]]), END]
            output = blobs.kept(name, log(*lines).read())
            logs.append(OpsLog(0, began, output.digest))
        return logs

    pairs = list(pairs_of(side("abc", "x"), side("bca", "y"), blobs.open))
    assert len(pairs) == 3
    for a, b in pairs:
        found, equal = compare_ops(blobs.open(a.digest), blobs.open(b.digest))
        assert found is not None
        assert (found.call, equal) == (1, 1)
