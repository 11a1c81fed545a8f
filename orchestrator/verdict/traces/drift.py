"""How far the numbers of two runs are apart. Digests show only that something differs."""

from __future__ import annotations

import math

from orchestrator.record.run_record import RunRecord
from orchestrator.run.metrics.series import points_of
from orchestrator.verdict.tolerance import same_bits
from orchestrator.verdict.verdict_model import Drift

_Key = tuple[int | None, int]  # step, and how many points of that step came before
_FINAL: _Key = (None, 0)


def drifts(original: RunRecord, rerun: RunRecord) -> tuple[Drift, ...]:
    """One per series that differs, sorted by name; final metrics too, where they have no series.

    Points are paired by step, those without one by position. A point of one run only is not compared; what
    is not finite is infinitely far from everything but itself. Distances are absolute, and relative to the
    original's value.
    """
    left, right = _series(original), _series(rerun)
    found = [_drift(name, left[name], right[name]) for name in sorted(left.keys() & right.keys())]
    for name in (original.metrics.keys() & rerun.metrics.keys()) - left.keys():
        a, b = ({_FINAL: run.metrics[name]} for run in (original, rerun))
        found.append(_drift(name, a, b).model_copy(update={"first": None}))
    return tuple(sorted((item for item in found if item.differing), key=lambda item: item.name))


def _series(run: RunRecord) -> dict[str, dict[_Key, float]]:
    found: dict[str, dict[_Key, float]] = {}
    seen: dict[tuple[str, int | None], int] = {}
    for name, step, value in points_of(run.series):
        number = seen.get((name, step), 0)
        seen[name, step] = number + 1
        found.setdefault(name, {})[step, number] = value
    return found


def _drift(name: str, a: dict[_Key, float], b: dict[_Key, float]) -> Drift:
    shared = [key for key in a if key in b]
    unequal = [key for key in shared if not same_bits(a[key], b[key])]
    distances = [distance(a[key], b[key]) for key in unequal]
    sizes = [abs(a[key]) for key in unequal]
    first = unequal[0] if unequal else None
    last = shared[-1] if shared else None
    return Drift(
        name=name,
        points=len(shared),
        differing=len(unequal),
        first=None if first is None else first[1] if first[0] is None else first[0],
        max_abs=max(distances, default=0.0),
        max_rel=max(map(_ratio, distances, sizes), default=0.0),
        last_abs=distance(a[last], b[last]) if last is not None else 0.0,
    )


def distance(a: float, b: float) -> float:
    """|a - b|; 0 for two NaNs or two equal infinities, infinite where else one is not finite."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    return abs(a - b) if math.isfinite(a) and math.isfinite(b) else math.inf


def _ratio(apart: float, size: float) -> float:
    if not apart:
        return 0.0
    return apart / size if size and math.isfinite(apart) and math.isfinite(size) else math.inf
