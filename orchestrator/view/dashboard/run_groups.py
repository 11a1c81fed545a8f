"""Runs that differ in nothing but the seed, taken together: how good a choice of parameters is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from orchestrator.record.run_record import RunLine
from orchestrator.run.attempt_model import State
from orchestrator.spec.jobfile.job_spec import Scalar
from orchestrator.spec.jobfile.placeholders import text_of
from orchestrator.view.forms.human_units import number_text

_SEEDS = ("seed", "random_seed", "random_state", "manual_seed")


class Mean(NamedTuple):
    mean: float
    spread: float | None  # standard deviation of the sample; None for one value
    values: int

    @property
    def text(self) -> str:
        """`0.932 ± 0.004 (3)`."""
        spread = "" if self.spread is None else f" ± {number_text(float(f'{self.spread:.2g}'))}"
        return f"{number_text(self.mean)}{spread} ({self.values})"


class RunGroup(NamedTuple):
    job: str
    params: Mapping[str, Scalar]  # without the seed
    runs: tuple[str, ...]  # ids, in the order of the runs that were given
    states: Mapping[State, int]
    metrics: Mapping[str, Mean]  # last values of the runs that succeeded

    @property
    def failed(self) -> int:
        """Runs that failed or were lost. A cancelled one says nothing of its parameters."""
        return sum(self.states.get(state, 0) for state in (State.FAILED, State.LOST))

    def where(self) -> str:
        """The group in the filter's own language."""
        tests = [f"job == {self.job!r}"]
        for name, value in sorted(self.params.items()):
            literal = text_of(value) if isinstance(value, bool) else repr(value)
            tests.append(f"params[{name!r}] == {literal}")
        return " and ".join(tests)


def is_seed(name: str) -> bool:
    """Whether a parameter is a seed by its name: it does not say what was tried."""
    return name.rpartition(".")[2].lower() in _SEEDS


def grouped(runs: Sequence[RunLine]) -> list[RunGroup]:
    """In the order of each group's first run."""
    found: dict[tuple[object, ...], list[RunLine]] = {}
    seeds = {name for name in set().union(*(run.params for run in runs)) if is_seed(name)}
    for run in runs:
        chosen = sorted((name, value) for name, value in run.params.items() if name not in seeds)
        key = (run.job, *((name, type(value), repr(value)) for name, value in chosen))
        found.setdefault(key, []).append(run)
    return [_group(members) for members in found.values()]


def _group(members: Sequence[RunLine]) -> RunGroup:
    states: dict[State, int] = {}
    values: dict[str, list[float]] = {}
    for run in members:
        states[run.state] = states.get(run.state, 0) + 1
        if run.state is State.SUCCEEDED:
            for name, value in run.metrics.items():
                if math.isfinite(value):
                    values.setdefault(name, []).append(value)
    first = members[0]
    return RunGroup(
        first.job,
        {name: value for name, value in first.params.items() if not is_seed(name)},
        tuple(run.id for run in members),
        states,
        {name: _mean(held) for name, held in values.items()},
    )


def _mean(values: Sequence[float]) -> Mean:
    try:
        spread = stdev(values) if len(values) > 1 else None
        return Mean(fmean(values), spread, len(values))
    except OverflowError:
        return Mean(math.inf, None, len(values))


def differing_params(groups: Sequence[RunGroup]) -> list[str]:
    """Names of parameters in which the groups differ, sorted; all of them where there is one group."""
    names = sorted({name for group in groups for name in group.params})
    if len(groups) == 1:
        return names
    return [name for name in names if len({repr(group.params.get(name)) for group in groups}) > 1]


def group_documents(groups: Sequence[RunGroup]) -> list[dict[str, object]]:
    """For JSON: `job`, `params`, `runs`, `failed`, `metrics` (`mean`, `spread`, `values`)."""
    return [
        {
            "job": group.job,
            "params": group.params,
            "runs": group.runs,
            "failed": group.failed,
            "metrics": {name: held._asdict() for name, held in group.metrics.items()},
        }
        for group in groups
    ]
