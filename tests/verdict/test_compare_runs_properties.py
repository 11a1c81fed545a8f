"""Verdicts over any two records: symmetric, reflexive, and `identical` just where all that counts is."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import tries

from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import LINK, MetricPoint, Output, OutputStatus
from orchestrator.spec.jobfile.job_spec import Tolerances
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.tolerance import bits
from orchestrator.verdict.verdict_model import Outcome

numbers = st.sampled_from([0.0, -0.0, 1.0, 0.5, float("nan"), float("inf")])
metrics = st.dictionaries(st.sampled_from(["acc", "loss", "time/epoch", "train_time"]), numbers, max_size=3)
points = st.lists(
    st.tuples(st.sampled_from(["loss", "train_time"]), st.sampled_from([None, 1, 2]), numbers), max_size=3
)
files = st.dictionaries(
    st.sampled_from(["a.log", "b", "d/c.log", "e"]), st.sampled_from([b"1", b"22"]), max_size=3
)
links = st.dictionaries(st.sampled_from(["latest", "l.log"]), st.sampled_from(["a", "b"]), max_size=2)
left = st.fixed_dictionaries(
    {"metrics": metrics, "series": points, "files": files, "links": links, "as_file": st.booleans()}
)
volatile = st.lists(st.sampled_from(["*.log", "**/*.log", "metrics.json"]), max_size=2, unique=True)
volatile_metrics = st.lists(st.sampled_from(["train_time", "time*", "*"]), max_size=2, unique=True)


def fields(blobs: Any, made: dict[str, Any]) -> dict[str, Any]:
    outputs = [blobs.kept(path, data) for path, data in made["files"].items()]
    outputs += [
        Output(path=path, status=OutputStatus.REJECTED, reason=LINK, target=text)
        for path, text in made["links"].items()
    ]
    if made["as_file"]:
        outputs.append(blobs.kept("metrics.json", json.dumps(made["metrics"], sort_keys=True).encode()))
    series = tuple(MetricPoint(name=name, step=step, value=value) for name, step, value in made["series"])
    return {"outputs": tuple(outputs), "metrics": made["metrics"], "series": series}


def counts(made: dict[str, Any], globs: list[str], names: list[str], unnamed: set[str]) -> tuple[Any, ...]:
    """All that counts of what a run left, by the words of the documentation."""

    def kept(path: str) -> bool:
        ends = path.endswith(".log") and ("**/*.log" in globs or ("*.log" in globs and "/" not in path))
        return not (ends or (path == "metrics.json" and path in globs))

    def judged(name: str) -> bool:
        return name not in unnamed and not any(fnmatch.fnmatchcase(name, pattern) for pattern in names)

    values = {name: bits(value) for name, value in made["metrics"].items() if judged(name)}
    series: dict[str, list[Any]] = {}
    for name, step, value in made["series"]:
        if judged(name):
            series.setdefault(name, []).append((step, bits(value)))
    everything = made["files"] | made["links"] | ({"metrics.json": b""} if made["as_file"] else {})
    return values, series, {path: data for path, data in everything.items() if kept(path)}


@settings(max_examples=tries(400), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    one=left,
    changes=st.lists(st.sampled_from(["metrics", "series", "files", "links", "as_file"]), max_size=2),
    other=left,
    globs=volatile,
    names=volatile_metrics,
)
def test_any_two_runs(
    blobs: Any,
    record: Callable[..., RunRecord],
    rerun: Callable[..., RunRecord],
    one: dict[str, Any],
    changes: list[str],
    other: dict[str, Any],
    globs: list[str],
    names: list[str],
) -> None:
    """The rerun has some of its parts from elsewhere, seldom all."""
    again = one | {name: other[name] for name in changes}
    spec = Tolerances(volatile=tuple(globs), volatile_metrics=tuple(names))
    a, b = record(**fields(blobs, one), tolerance=spec), rerun(**fields(blobs, again), tolerance=spec)
    verdict, turned = compare(a, b, blobs.open), compare(b, a, blobs.open)
    assert verdict.outcome is turned.outcome
    assert verdict.outcome in (Outcome.IDENTICAL, Outcome.DIFFERENT)
    # Metrics of a file that is volatile are not judged by, unless they are in another file, too.
    unnamed: set[str] = set()
    if "metrics.json" in globs:
        for made in (one, again):
            unnamed |= set(made["metrics"]) if made["as_file"] else set()
    same = counts(one, globs, names, unnamed) == counts(again, globs, names, unnamed)
    assert (verdict.outcome is Outcome.IDENTICAL) is same, (verdict, globs, names)
    whole = counts(one, [], [], set()) == counts(again, [], [], set())
    assert bool(verdict.left_out) is (same and not whole) or not same
    self = compare(a, a.model_copy(update={"id": "b" * 16}), blobs.open)
    assert self.outcome is Outcome.IDENTICAL
    assert (self.left_out, self.renamed, self.by_content) == ((), (), 0)
