"""Compares two logs of operations up to the first operation that took equal bytes and gave others.

The payload writes the logs in its second pass (payload/tracer/operation_log.py). A job can write anything
there, so a line of another form raises ValueError and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from typing import Any, BinaryIO, NamedTuple

from orchestrator.digest import Digest
from orchestrator.run.collect.job_files import refuse_large
from orchestrator.run.collect.walk_tree import shown_name
from orchestrator.value import Value

MAX_LINE = 8 << 20  # bytes; an optimizer's operation over 10,000 tensors makes 1 MB
MAX_WORD = 200  # characters of a name


class OpKind(StrEnum):
    OPERATION = "operation"  # equal inputs, other outputs
    INPUT = "input"  # it was given other bytes, which no operation before it had made
    PATH = "path"  # the two passes called different operations


class OpDifference(Value):
    """The first line in which two passes are not the same."""

    kind: OpKind
    op: str  # `aten::mm`
    step: int  # optimizer steps that were complete before it
    call: int  # which operation of that step, from 0
    phase: str  # forward, backward, optimizer, or nothing: outside of modules
    where: str  # module, class of the optimizer, or node of autograd
    random: bool = False  # it draws random numbers
    tensor: str = ""  # `output 1 of 2, float32[64,10]`
    original: str = ""  # its digest, 16 hex digits
    rerun: str = ""
    other: str = ""  # for PATH: what the other pass did there
    rank: int = 0
    equal: int = 0  # operations before it

    def describe(self) -> str:
        """`aten::mm (call 57 of step 12, in layer2.0.conv1, forward)`."""
        places = [f"call {self.call} of step {self.step}"]
        places += [f"rank {self.rank}"] if self.rank else []
        places += [f"in {self.where}"] if self.where else []
        places += [self.phase] if self.phase else []
        return f"{self.op} ({', '.join(places)})"


@dataclass(frozen=True)
class Op:
    step: int
    call: int
    name: str
    phase: str
    where: str
    others: str  # digest of all arguments that are not tensors
    inputs: list[tuple[str, str]]  # description and digest
    outputs: list[tuple[str, str]]
    random: bool


class OpsLog(NamedTuple):
    """The log of one process, in the order of ranks and beginnings."""

    rank: int
    began: int
    digest: Digest


def read_header(stream: BinaryIO) -> tuple[int, int]:
    """Rank and beginning of a log, by which logs of several processes are paired. Raises ValueError."""
    line = stream.readline(MAX_LINE)
    value = _object(line)
    if value.get("ops") != 1:
        raise ValueError("not a log of operations")
    return _natural(value.get("rank")), _natural(value.get("began"))


def compare_ops(original: BinaryIO, rerun: BinaryIO) -> tuple[OpDifference | None, int]:
    """The first difference, if any, and how many operations are equal before it.

    ValueError where a log breaks off before anything differs.
    """
    rank, _ = read_header(original)
    read_header(rerun)
    equal = 0
    for a, b in zip_longest(_ops(original), _ops(rerun)):
        found = _between(a, b)
        if found is not None:
            return found.model_copy(update={"rank": rank, "equal": equal}), equal
        equal += 1
    return None, equal


def _between(a: Op | None, b: Op | None) -> OpDifference | None:
    one = a or b
    assert one is not None  # noqa: S101  (zip_longest gives one of them)
    facts: dict[str, Any] = {
        "op": one.name,
        "step": one.step,
        "call": one.call,
        "phase": one.phase,
        "where": one.where,
        "random": one.random,
    }
    if a is None or b is None:
        ended = "the original's pass" if a is None else "the rerun's pass"
        return OpDifference(kind=OpKind.PATH, other=f"{ended} had ended by then", **facts)
    if (a.step, a.call, a.name, a.phase) != (b.step, b.call, b.name, b.phase) or _shapes(a) != _shapes(b):
        return OpDifference(kind=OpKind.PATH, other=_words(b), **facts)
    if a.others != b.others:
        return OpDifference(
            kind=OpKind.INPUT,
            tensor="an argument that is not a tensor",
            original=a.others,
            rerun=b.others,
            **facts,
        )
    for kind, noun, left, right in (
        (OpKind.INPUT, "input", a.inputs, b.inputs),
        (OpKind.OPERATION, "output", a.outputs, b.outputs),
    ):
        for index, ((text, x), (_, y)) in enumerate(zip(left, right, strict=True), 1):
            if x != y:
                tensor = f"{noun} {index} of {len(left)}, {text}"
                return OpDifference(kind=kind, tensor=tensor, original=x, rerun=y, **facts)
    return None


def _shapes(op: Op) -> list[list[str]]:
    return [[text for text, _ in pairs] for pairs in (op.inputs, op.outputs)]


def _words(op: Op) -> str:
    shapes = ", ".join(text for text, _ in op.inputs[:3])
    return f"call {op.call} of step {op.step}: {op.name}({shapes}) {op.phase}".rstrip()


def _ops(stream: BinaryIO) -> Iterator[Op]:
    while line := stream.readline(MAX_LINE):
        value = _object(line)
        if "end" in value:
            return
        if "broken" in value:
            raise ValueError(f"a log ends early: {_word(value['broken'])}")
        yield Op(
            step=_natural(value.get("s")),
            call=_natural(value.get("i")),
            name=_word(value.get("op")),
            phase=_word(value.get("p")),
            where=_word(value.get("w")),
            others=_word(value.get("a")),
            inputs=_tensors(value.get("in")),
            outputs=_tensors(value.get("out")),
            random=value.get("r") == 1,
        )
    raise ValueError("a log was cut off: its process was killed, or left by os._exit")


def _object(line: bytes) -> dict[str, Any]:
    refuse_large(line)
    try:
        value = json.loads(line)
    except RecursionError:
        value = None
    if not isinstance(value, dict) or not line.endswith(b"\n"):
        raise ValueError("a log of operations has a line that is not understood")
    return value


def _tensors(value: object) -> list[tuple[str, str]]:
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise ValueError("a log of operations has a line without its tensors")
    return [(_word(text), _word(digest)) for text, digest in value]


def _natural(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise ValueError("a log of operations has a line without its numbers")
    return value


def _word(value: object) -> str:
    return shown_name(str(value or "").encode("utf-8", "backslashreplace").decode())[:MAX_WORD]
