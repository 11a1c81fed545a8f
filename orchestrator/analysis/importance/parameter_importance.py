"""How much of a metric each parameter decides, over many runs; or that it cannot be told.

Extra-trees learn the metric from the parameters; a parameter's share is by how much their predictions of
unseen runs get worse when its values are shuffled. Parameters that go together are shuffled together: which
of them it was cannot be told. Nothing depends on the order of the runs or on what a parameter is called.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.analysis.importance.association import correlation_ratio, groups, sign
from orchestrator.analysis.importance.extra_trees import grow
from orchestrator.analysis.importance.parameter_column import Column, Scalar, columns_of
from orchestrator.analysis.number_scale import is_logarithmic

MOST_RUNS = 1000
MOST_PARAMETERS = 20
FEWEST_RUNS = 20  # below that nothing is said
LEAST_R2 = 0.2  # out-of-bag; below that nothing is said
TOGETHER = 0.7  # parameters that go together by more are one


class Trial(NamedTuple):
    """One run that ended well: its parameters, and the metric that it reached."""

    params: Mapping[str, Scalar]
    value: float


class Share(NamedTuple):
    names: list[str]  # sorted; several that go together
    share: float  # of all that the parameters decide: 0 to 1
    signs: list[float | None]  # Spearman's rank correlation of each with the metric; None: categories


class Importance(NamedTuple):
    told: bool
    why_not: str  # a sentence; empty where it is told
    r2: float | None  # out-of-bag; None where no trees were grown
    runs: int  # that were looked at
    unusable: int  # of the runs given, how many have no finite value
    over: int  # of the runs given, how many were too many
    logarithmic: bool  # the logarithm of the metric was explained
    shares: list[Share]  # the largest first
    constant: list[str]  # parameters that are the same in all runs
    beyond: list[str]  # parameters that were too many: those that go least with the metric


def parameter_importance(trials: Sequence[Trial]) -> Importance:
    """`trials` with the newest first: of more than MOST_RUNS the first count."""
    usable = [trial for trial in trials if _finite(trial.value)]
    seen = usable[:MOST_RUNS]
    logged = is_logarithmic([trial.value for trial in seen])
    target = _scaled([math.log10(trial.value) if logged else trial.value for trial in seen])
    columns = columns_of([trial.params for trial in seen], target)
    varied = [column for column in columns if not column.constant]
    kept = sorted(varied, key=lambda column: (-_strength(column, target), column.name))[:MOST_PARAMETERS]
    nothing = Importance(
        told=False,
        why_not="",
        r2=None,
        runs=len(seen),
        unusable=len(trials) - len(usable),
        over=len(usable) - len(seen),
        logarithmic=logged,
        shares=[],
        constant=[column.name for column in columns if column.constant],
        beyond=sorted({column.name for column in varied} - {column.name for column in kept}),
    )
    if len(seen) < FEWEST_RUNS:
        have = f"{len(seen)} {'has' if len(seen) == 1 else 'have'}"
        return nothing._replace(why_not=f"{FEWEST_RUNS} runs with this metric are needed, and {have} it")
    if not kept:
        return nothing._replace(why_not="no parameter differs between these runs")
    if min(target) == max(target):
        return nothing._replace(why_not="the metric is the same in all runs")
    return _told(nothing, kept, target)


def _told(nothing: Importance, columns: list[Column], target: list[float]) -> Importance:
    columns, target = _in_order(columns, target)
    together = groups(columns, TOGETHER)
    forest = grow(columns, target, together)
    nothing = nothing._replace(r2=forest.r2)
    if forest.r2 < LEAST_R2:
        return nothing._replace(
            why_not=f"the parameters explain too little of it: R² is {forest.r2:.2f}, less than {LEAST_R2}"
        )
    worse = [max(0.0, one) for one in forest.increase]
    whole = sum(worse)
    if whole <= 0:
        return nothing._replace(why_not="shuffling a parameter made no prediction worse")
    shares = []
    for group, one in zip(together, worse, strict=True):
        held = sorted((columns[place] for place in group), key=lambda column: column.name)
        signs = [sign(column, target) for column in held]
        shares.append(Share([column.name for column in held], one / whole, signs))
    shares.sort(key=lambda share: (-share.share, share.names))
    return nothing._replace(told=True, shares=shares)


def _in_order(columns: list[Column], target: list[float]) -> tuple[list[Column], list[float]]:
    """Columns and runs in an order that follows from their values alone."""
    columns = sorted(
        columns, key=lambda column: (sorted(zip(target, column.codes, strict=True)), column.name)
    )
    rows = sorted(
        range(len(target)), key=lambda row: (target[row], [column.codes[row] for column in columns])
    )
    return [column.at(rows) for column in columns], [target[row] for row in rows]


def _strength(column: Column, target: Sequence[float]) -> float:
    """How much a parameter alone goes with the metric, of any kind."""
    if column.ordered and not column.absent:
        return abs(sign(column, target) or 0.0)
    return correlation_ratio(column.codes, target)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _scaled(target: list[float]) -> list[float]:
    """Into -1 to 1, so that no square overflows."""
    greatest = max((abs(value) for value in target), default=0.0)
    return [value / greatest for value in target] if greatest > 0 else target
