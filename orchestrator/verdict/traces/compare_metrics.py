"""Compares metrics of two runs: final values and series."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from orchestrator.record.run_record import RunRecord
from orchestrator.run.collect.trace_files import LOSS
from orchestrator.run.metrics.series import MetricPoint, points_of
from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.verdict.tolerance import bits, same_bits, within
from orchestrator.verdict.verdict_model import MetricDifference

_Excusable = tuple[str, bytes, bytes]


@dataclass(frozen=True)
class MetricsCompared:
    """`differences` are the metrics that are not the same bits.

    A series that differs is named by its first point outside its tolerance, else by its first that
    differs: `loss@12` at step 12, `loss#3` the fourth point where the points have no steps.
    """

    differences: tuple[MetricDifference, ...]
    excusable: frozenset[_Excusable]  # (name, original, rerun) of every value within its tolerance
    left_out: frozenset[str] = frozenset()  # volatile metrics, whether they differ or not
    differing: frozenset[str] = frozenset()  # of those, the ones that differ
    beyond: frozenset[str] = frozenset()  # names of those that no tolerance excuses, `loss` for `loss@12`

    @property
    def within(self) -> bool:
        return all(difference.within for difference in self.differences)


NO_METRICS = MetricsCompared((), frozenset())


def compare_metrics(
    original: RunRecord, rerun: RunRecord, losses: bool = True, volatile: frozenset[str] = frozenset()
) -> MetricsCompared:
    """Compare values bit for bit. `within`: by the original's tolerances; a metric of one run only is not.

    Metrics that the spec calls volatile, and those named in `volatile`, are left out. Without `losses` the
    series of the trace is left out, too: where the traces differ, it is not a second finding.
    """
    tolerances = original.tolerance.metrics
    marked = name_matcher(original.tolerance.volatile_metrics)
    differences: list[tuple[str, MetricDifference]] = []
    pairs: set[_Excusable] = set()
    for name in sorted(original.metrics.keys() | rerun.metrics.keys()):
        a, b = original.metrics.get(name), rerun.metrics.get(name)
        near = _near(a, b, tolerances.get(name))
        if near is None:
            continue
        differences.append((name, MetricDifference(name=name, original=a, rerun=b, within=near)))
        if near and a is not None and b is not None:
            pairs.add((name, bits(a), bits(b)))
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
            differences.append((name, difference))
    every = (*original.metrics, *rerun.metrics, *left, *right)
    left_out = frozenset(name for name in every if name != LOSS and (name in volatile or marked(name)))
    return MetricsCompared(
        tuple(difference for name, difference in differences if name not in left_out),
        frozenset(pair for pair in pairs if pair[0] not in left_out),
        left_out,
        frozenset(name for name, _ in differences if name in left_out),
        frozenset(name for name, one in differences if not one.within and name not in left_out),
    )


def name_matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a metric's name fits one of the patterns, in which `*` is any text and `?` any character."""
    texts = (re.escape(one).replace(r"\*", ".*").replace(r"\?", ".") for one in patterns)
    found = [re.compile(text, re.DOTALL) for text in texts]
    return lambda name: any(one.fullmatch(name) for one in found)


def _near(a: float | None, b: float | None, tolerance: Tolerance | None) -> bool | None:
    """Whether the tolerance holds; None where the bits are the same."""
    if a is None or b is None:
        return False
    if same_bits(a, b):
        return None
    return tolerance is not None and within(a, b, tolerance)


class _Places:
    """The points of one metric, as places among all points of a run, which may be a million."""

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
    pairs: set[_Excusable],
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
            pairs.add((name, bits(a.value), bits(b.value)))
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
