"""Metrics of two runs against each other: final values, series, and the files they were read from."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.digest import Digest
from orchestrator.errors import RepriseError
from orchestrator.record.model import RunRecord
from orchestrator.run.metrics import FINAL, SERIES
from orchestrator.run.series import MetricPoint, points_of
from orchestrator.run.traces import LOSS
from orchestrator.spec.model import Tolerance
from orchestrator.verdict.files import OpenBlob
from orchestrator.verdict.model import FileDifference, MetricDifference
from orchestrator.verdict.tolerance import bits, same_bits, within

READ_LIMIT = 32 << 20  # bytes of a metrics file that are read to see whether only metrics differ

_BitPair = tuple[bytes, bytes]


@dataclass(frozen=True)
class MetricsCompared:
    """`differences` are the metrics that are not the same bits.

    A series that differs is named by its first point outside its tolerance, else by its first that
    differs: `loss@12` at step 12, `loss#3` the fourth point where the points have no steps.
    """

    differences: tuple[MetricDifference, ...]
    excusable: frozenset[_BitPair]  # (original, rerun) of every value that differs within its tolerance

    @property
    def within(self) -> bool:
        return all(difference.within for difference in self.differences)


def compare_metrics(original: RunRecord, rerun: RunRecord, losses: bool = True) -> MetricsCompared:
    """By value, bit for bit; `within` by the tolerances of the original's spec. In one only: not within.

    Without `losses` the series that comes from the trace is left out: where the traces differ, that it
    differs too is no second finding. Where they are equal it must be equal.
    """
    tolerances = original.tolerance.metrics
    differences, pairs = [], set()
    for name in sorted(original.metrics.keys() | rerun.metrics.keys()):
        a, b = original.metrics.get(name), rerun.metrics.get(name)
        near = _near(a, b, tolerances.get(name))
        if near is None:
            continue
        differences.append(MetricDifference(name=name, original=a, rerun=b, within=near))
        if near and a is not None and b is not None:
            pairs.add((bits(a), bits(b)))
    left, right = _by_name(original.series), _by_name(rerun.series)
    for name in sorted(left.keys() | right.keys()):
        if name == LOSS and not losses:
            continue
        difference = _compare_series(
            name,
            left.get(name, _Places(original.series)),
            right.get(name, _Places(rerun.series)),
            tolerances.get(name),
            pairs,
        )
        if difference is not None:
            differences.append(difference)
    return MetricsCompared(tuple(differences), frozenset(pairs))


def _near(a: float | None, b: float | None, tolerance: Tolerance | None) -> bool | None:
    """None: the same bits. Else whether the tolerance holds."""
    if a is None or b is None:
        return False
    if same_bits(a, b):
        return None
    return tolerance is not None and within(a, b, tolerance)


class _Places:
    """The points of one metric, as their places among all points: of these a run may have a million."""

    def __init__(self, series: Sequence[MetricPoint]) -> None:
        self._series = series
        self.places = array("I")

    def __len__(self) -> int:
        return len(self.places)

    def at(self, index: int) -> MetricPoint | None:
        return self._series[self.places[index]] if index < len(self.places) else None


def _by_name(series: Sequence[MetricPoint]) -> dict[str, _Places]:
    found: dict[str, _Places] = {}
    for place, (name, _, _) in enumerate(points_of(series)):
        if name not in found:
            found[name] = _Places(series)
        found[name].places.append(place)
    return found


def _compare_series(
    name: str,
    original: _Places,
    rerun: _Places,
    tolerance: Tolerance | None,
    pairs: set[_BitPair],
) -> MetricDifference | None:
    first: MetricDifference | None = None
    for index in range(max(len(original), len(rerun))):
        a, b = original.at(index), rerun.at(index)
        if a is not None and b is not None and a.step != b.step:
            b = None  # another step is not the same point: the original's is missing in the rerun
        near = _near(a.value if a else None, b.value if b else None, tolerance)
        if near is None:
            continue
        point = _point(name, index, a, b, near)
        if not near:
            return point
        first = first or point
        if a is not None and b is not None:
            pairs.add((bits(a.value), bits(b.value)))
    return first


def _point(
    name: str, index: int, a: MetricPoint | None, b: MetricPoint | None, near: bool
) -> MetricDifference:
    known = a or b
    step = known.step if known else None
    return MetricDifference(
        name=f"{name}#{index}" if step is None else f"{name}@{step}",
        original=a.value if a else None,
        rerun=b.value if b else None,
        within=near,
    )


def is_metrics_file(path: str, run: RunRecord) -> bool:
    return path == run.program.metrics if run.program.metrics else path in (FINAL, SERIES)


def excuse_metrics(
    difference: FileDifference, metrics: MetricsCompared, open_blob: OpenBlob
) -> tuple[bool, str]:
    """Whether the two metrics files differ in nothing but metrics that are within their tolerances.

    Read as JSON, or as JSON lines. A number, text or key that is no compared metric is not excused.
    """
    if difference.original is None or difference.rerun is None or not metrics.excusable:
        return False, ""
    if not metrics.within:
        return False, "it holds a metric outside its tolerance, or one that the other run does not have"
    try:
        left, right = (_documents(digest, open_blob) for digest in (difference.original, difference.rerun))
        pairs = set(_number_pairs(left, right))
    except RecursionError:
        return False, "cannot compare its metrics: nested too deeply"
    except (RepriseError, OSError, ValueError, OverflowError) as error:
        return False, f"cannot compare its metrics: {error}"
    if not pairs:
        return False, "its numbers are equal, its bytes are not"
    if not pairs <= metrics.excusable:
        return False, "it differs in a number that is no metric with a tolerance"
    return True, "differs only in metrics that are within their tolerances"


def _documents(digest: Digest, open_blob: OpenBlob) -> list[Any]:
    """One document, or one per line. Raises ValueError for what is not JSON, or too large."""
    with open_blob(digest) as stream:
        data = stream.read(READ_LIMIT + 1)
    if len(data) > READ_LIMIT:
        raise ValueError(f"larger than the {READ_LIMIT >> 20} MiB that are read")
    if Digest.of(data) != digest:
        raise ValueError(f"the stored bytes of {digest.short} are damaged")
    text = data.decode("utf-8")
    try:
        return [_parse(text)]
    except json.JSONDecodeError:
        return [_parse(line) for line in text.split("\n") if line.strip()]


def _parse(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_no_duplicates)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _number_pairs(a: Any, b: Any) -> Iterator[_BitPair]:
    """The numbers that differ, at equal places. Raises ValueError where anything else differs."""
    if _is_number(a) and _is_number(b) and isinstance(a, bool) is isinstance(b, bool):
        left, right = float(a), float(b)
        if not same_bits(left, right) or (a != b and left == right):  # large integers round to one float
            yield bits(left), bits(right)
    elif isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            raise ValueError(f"other keys: {sorted(a.keys() ^ b.keys())[:3]}")
        for key, value in a.items():
            yield from _number_pairs(value, b[key])
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            raise ValueError(f"{len(a)} and {len(b)} entries in a list, or lines")
        for one, other in zip(a, b, strict=True):
            yield from _number_pairs(one, other)
    elif type(a) is not type(b) or a != b:
        raise ValueError("something that is no number differs")


def _is_number(value: Any) -> bool:
    """true and false are metrics too: 1 and 0."""
    return isinstance(value, int | float)
