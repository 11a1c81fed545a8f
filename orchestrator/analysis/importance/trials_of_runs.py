"""From lines of the history to the trials that importance is computed of, and how the others ended."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from orchestrator.analysis.importance.parameter_importance import MOST_RUNS, Trial
from orchestrator.record.run_record import HistoryFilter, RunLine
from orchestrator.run.attempt_model import State

PARTS = ("last", "min", "max")
_PART = re.compile(r"(?P<name>.+)\.(?P<part>last|min|max)\Z", re.DOTALL)


class Gathered(NamedTuple):
    trials: list[Trial]  # in the order of the lines
    runs: list[str]  # the trials' runs
    ended: dict[str, int]  # how many runs ended in each state, and how many are still open, by its word
    without: int  # runs that succeeded without this metric


def metric_and_part(asked: str, known: Iterable[str]) -> tuple[str, str]:
    """`loss.min` -> (`loss`, `min`), unless a metric bears that whole name; `last` where nothing is said."""
    found = None if asked in set(known) else _PART.match(asked)
    return (found["name"], found["part"]) if found else (asked, "last")


def trials_filter(job: str, where: str | None = None) -> HistoryFilter:
    """The runs that can be trials, the newest first: twice as many as are weighed, because some failed."""
    return HistoryFilter(job=job, where=where, archived=False, reruns=False, limit=2 * MOST_RUNS)


def gather(lines: Iterable[RunLine], metric: str, part: str) -> Gathered:
    """`part`: one of PARTS. A rerun is no trial: what it repeats would be told from itself."""
    trials, runs, without = [], [], 0
    ended: Counter[str] = Counter()
    for line in lines:
        if line.rerun_of is not None:
            continue
        ended[line.state.value if line.state.final else "open"] += 1
        if line.state is not State.SUCCEEDED:
            continue
        value = value_of(line, metric, part)
        if value is None:
            without += 1
        else:
            trials.append(Trial(line.params, value))
            runs.append(line.id)
    return Gathered(trials, runs, dict(ended), without)


def value_of(line: RunLine, metric: str, part: str) -> float | None:
    """A run's last, least or greatest value of a metric; None where it has none."""
    if part == "last":
        return line.metrics.get(metric)
    found = line.reached.get(metric)
    return None if found is None else found.min if part == "min" else found.max
