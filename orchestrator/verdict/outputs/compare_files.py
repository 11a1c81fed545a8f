"""Compares outputs of two runs: which differ, at which byte, and what a tolerance excuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from orchestrator.digest import CHUNK, Digest
from orchestrator.errors import RepriseError
from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.spec.globs import matcher
from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.verdict.outputs.tensor_tolerance import SUFFIXES, compare_tensors
from orchestrator.verdict.verdict_model import FileDifference

OpenBlob = Callable[[Digest], BinaryIO]
"""Opens a blob of the store for reading; raises StoreError or OSError where it cannot."""

Pair = tuple[str, Output | None, Output | None]


@dataclass(frozen=True)
class JudgedFile:
    """A differing output, and whether a tolerance excuses it."""

    difference: FileDifference
    excused: bool


def pair_outputs(original: tuple[Output, ...], rerun: tuple[Output, ...]) -> list[Pair]:
    """Outputs with the same path side by side, sorted by path; None where one run has no such output.

    A path that a run lists more than once is paired as often.
    """
    left, right = _numbered(original), _numbered(rerun)
    return [(key[0], left.get(key), right.get(key)) for key in sorted(left.keys() | right.keys())]


def _numbered(outputs: tuple[Output, ...]) -> dict[tuple[str, int], Output]:
    found: dict[tuple[str, int], Output] = {}
    ordered = sorted(outputs, key=lambda item: (item.path, item.status, item.digest or "", item.reason or ""))
    for output in ordered:
        repeated = 0
        while (output.path, repeated) in found:
            repeated += 1
        found[output.path, repeated] = output
    return found


def same_output(a: Output | None, b: Output | None) -> bool:
    """Kept with the same bytes, links with the same text, or rejected for the same reason.

    An output without a digest equals none. Records from before the texts of links were kept have only the
    reason to compare.
    """
    if a is None or b is None or a.status is not b.status:
        return False
    if a.status is OutputStatus.REJECTED:
        return a.reason == b.reason and (a.target == b.target or None in (a.target, b.target))
    return a.digest is not None and a.digest == b.digest and a.size == b.size


def describe_difference(pair: Pair, open_blob: OpenBlob) -> FileDifference:
    """What differs between two outputs that are not the same, with the first differing byte."""
    path, a, b = pair
    originally, again = a.digest if a else None, b.digest if b else None
    first_byte, note = None, ""
    if a is None or b is None:
        note = "only in the rerun" if a is None else "only in the original"
        rejected = a or b
        if rejected is not None and rejected.status is OutputStatus.REJECTED:
            is_link = rejected.target is not None
            note += f", a {fate(rejected)}" if is_link else f", and {fate(rejected, ' there')}"
    elif OutputStatus.REJECTED in (a.status, b.status):
        note = f"original: {fate(a)}; rerun: {fate(b)}"
    elif originally is None or again is None:
        note = "a digest is missing in the record, so nothing can be said"
    elif originally == again:
        note = f"the same digest, but {a.size:,} and {b.size:,} bytes: the record contradicts itself"
    else:
        first_byte, note = _first_byte(originally, again, open_blob)
    return FileDifference(path=path, original=originally, rerun=again, first_byte=first_byte, note=note)


def fate(output: Output, where: str = "") -> str:
    """`kept`, `link to best.pt`, `rejected (fifo)`."""
    if output.status is not OutputStatus.REJECTED:
        return "kept"
    if output.target is not None:
        return f"link to {output.target}"
    return f"rejected{where} ({output.reason or 'no reason recorded'})"


def _first_byte(a: Digest, b: Digest, open_blob: OpenBlob) -> tuple[int | None, str]:
    try:
        with open_blob(a) as left, open_blob(b) as right:
            offset = first_difference(left, right)
    except (RepriseError, OSError) as error:
        return None, f"the first differing byte is not known: {error}"
    if offset is None:
        return None, "the stored bytes are equal although the digests are not: the store is damaged"
    return offset, ""


def first_difference(a: BinaryIO, b: BinaryIO) -> int | None:
    """Offset of the first byte that differs; the shorter length if one is a prefix; None if equal."""
    offset = 0
    while True:
        left, right = _read(a), _read(b)
        if left != right:
            return offset + _first_in(left, right)
        if not left:
            return None
        offset += len(left)


def _read(stream: BinaryIO) -> bytes:
    """CHUNK bytes, fewer only at the end: a raw stream may hand over less at a time."""
    data = stream.read(CHUNK)
    while data and len(data) < CHUNK and (more := stream.read(CHUNK - len(data))):
        data += more
    return data


def _first_in(a: bytes, b: bytes) -> int:
    """For two that differ. Halves the span, so that bytes are compared by memcmp and not one by one."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


def excuse_tensors(
    difference: FileDifference, tolerances: dict[str, Tolerance], open_blob: OpenBlob
) -> tuple[bool, str]:
    """Whether the spec's tolerance for this output holds element by element, and what to say of it.

    The note is empty where no tolerance names the output.
    """
    glob = tolerance_glob(difference.path, tolerances)
    if glob is None or difference.original is None or difference.rerun is None:
        return False, ""
    if not difference.path.endswith(SUFFIXES):
        return False, f"the tolerance for {glob!r} covers only {' and '.join(SUFFIXES)} files"
    tolerance = tolerances[glob]
    try:
        for digest in (difference.original, difference.rerun):
            with open_blob(digest) as stream:
                if Digest.of_stream(stream) != digest:
                    return False, f"cannot compare: the stored bytes of {digest.short} are damaged"
        with open_blob(difference.original) as left, open_blob(difference.rerun) as right:
            result = compare_tensors(difference.path, left, right, tolerance)
    except (RepriseError, OSError) as error:
        return False, f"cannot compare: {error}"
    bound = f"tolerance {glob!r} (abs {tolerance.abs:g}, rel {tolerance.rel:g})"
    return result.within, f"{'within' if result.within else 'not within'} {bound}: {result.describe()}"


def tolerance_glob(path: str, tolerances: dict[str, Tolerance]) -> str | None:
    """The glob that decides for a path: the path itself, else the longest that matches, else None."""
    if path in tolerances:
        return path
    matching = [glob for glob in tolerances if matcher((glob,))(path)]
    return min(matching, key=lambda glob: (-len(glob), glob), default=None)
