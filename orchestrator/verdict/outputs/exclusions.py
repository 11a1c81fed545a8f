"""Sets aside what differs by nature before outputs are compared. Each is listed with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.run.attempt_model import Output
from orchestrator.spec.globs import matcher
from orchestrator.verdict.outputs.compare_event_files import (
    NO_EXCUSES,
    Excuses,
    compare_event_files,
    pair_event_files,
)
from orchestrator.verdict.outputs.compare_files import JudgedFile, OpenBlob, Pair, same_output
from orchestrator.verdict.verdict_model import FileDifference, LeftOut


@dataclass(frozen=True)
class Aside:
    """`pairs` are still to be compared byte for byte; `equal` event files differ in their clocks only."""

    pairs: list[Pair]
    judged: tuple[JudgedFile, ...]
    left_out: tuple[LeftOut, ...]
    equal: int


def set_aside(
    pairs: list[Pair],
    volatile_globs: tuple[str, ...],
    open_blob: OpenBlob,
    excuses: Excuses = NO_EXCUSES,
) -> Aside:
    """Set aside outputs under a volatile glob, and TensorBoard's event files.

    An event file that cannot be read stays in `pairs`: its bytes are compared.
    """
    volatile = matcher(volatile_globs)
    left_out = [
        LeftOut(path=path, why=f"volatile in the spec, not compared{_only(a is None, b is None)}")
        for path, a, b in pairs
        if _fits(volatile, path, b) and not same_output(a, b)
    ]
    rest = [pair for pair in pairs if not _fits(volatile, pair[0], pair[2])]
    done: set[str] = set()
    judged: list[JudgedFile] = []
    equal = 0
    outputs = (
        tuple(a for _, a, _ in rest if a is not None),
        tuple(b for _, _, b in rest if b is not None),
    )
    for a, b in pair_event_files(*outputs):
        if a.path == b.path and same_output(a, b):
            continue
        compared = compare_event_files(a, b, open_blob, excuses)
        if compared is None:
            continue
        done |= {a.path, b.path}
        if compared.equal:
            equal += 1
            left_out.append(LeftOut(path=a.path, why=f"the clock in its name and records ({compared.note})"))
        else:
            difference = _differing(a.path, a.digest, b.digest, compared.note)
            judged.append(JudgedFile(difference, excused=compared.excused))
    rest = [pair for pair in rest if pair[0] not in done]
    return Aside(rest, tuple(judged), tuple(sorted(left_out, key=lambda item: item.path)), equal)


def _fits(volatile: Callable[[str], bool], path: str, other: Output | None) -> bool:
    return volatile(path) or (other is not None and volatile(other.path))


def _only(absent: bool, new: bool) -> str:
    if absent:
        return "; only in the rerun"
    return "; only in the original" if new else ""


def _differing(path: str, a: object, b: object, note: str) -> FileDifference:
    return FileDifference.model_validate({"path": path, "original": a, "rerun": b, "note": note})
