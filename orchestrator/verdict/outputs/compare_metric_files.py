"""Whether two files of metrics differ only in what a tolerance or `volatile` in the spec excuses."""

from __future__ import annotations

from collections.abc import Iterable
from csv import Error as TableError
from dataclasses import dataclass

from orchestrator.digest import Digest
from orchestrator.errors import RepriseError
from orchestrator.message_wording import listed
from orchestrator.record.run_record import RunRecord
from orchestrator.run.metrics.metric_sources import MetricFile, metric_files
from orchestrator.run.metrics.metric_tables import is_keras_log
from orchestrator.verdict.outputs.compare_files import OpenBlob
from orchestrator.verdict.outputs.unequal_numbers import UnequalNumber, unequal_numbers
from orchestrator.verdict.tolerance import bits
from orchestrator.verdict.traces.compare_metrics import MetricsCompared
from orchestrator.verdict.verdict_model import FileDifference


@dataclass(frozen=True)
class Excuse:
    """`by_nature`: the two files differ in volatile metrics only; otherwise a tolerance was needed."""

    excused: bool
    note: str
    by_nature: bool = False


def metrics_file(path: str, run: RunRecord) -> MetricFile | None:
    """How a path is read as a file of metrics, perhaps depending on its bytes; None for any other file."""
    return next((file for file in metric_files(run.program.metrics, [path]) if file.path == path), None)


def excuse_metrics(
    difference: FileDifference, run: RunRecord, metrics: MetricsCompared, open_blob: OpenBlob
) -> Excuse:
    """A number, text or name is excused only as a metric that is compared, in a file of metrics of `run`."""
    file = metrics_file(difference.path, run)
    if file is None or difference.original is None or difference.rerun is None:
        return Excuse(False, "")
    if not (metrics.excusable or metrics.left_out):
        return Excuse(False, "")
    if not metrics.within:
        return Excuse(
            False, "it holds a metric outside its tolerance, or one that the other run does not have"
        )
    try:
        if file.maybe and not all(
            _by_keras(one, open_blob) for one in (difference.original, difference.rerun)
        ):
            return Excuse(False, "")
        return _judged(
            unequal_numbers(file, difference.original, difference.rerun, open_blob), _Names(metrics)
        )
    except RecursionError:
        return Excuse(False, "cannot compare its metrics: nested too deeply")
    except (RepriseError, OSError, ValueError, OverflowError, TableError) as error:
        return Excuse(False, f"cannot compare its metrics: {error}")


def _judged(numbers: Iterable[UnequalNumber], names: _Names) -> Excuse:
    volatile: set[str] = set()
    tolerated = False
    for number in numbers:
        if names.volatile(number[0]):
            volatile.add(number[0])
        elif names.excused(*number):
            tolerated = True
        else:
            return Excuse(False, "it differs in a number that is not a metric with a tolerance")
    if tolerated:
        return Excuse(True, "differs only in metrics that are within their tolerances")
    if not volatile:
        return Excuse(False, "its numbers are equal, its bytes are not")
    named = listed(sorted(volatile))
    return Excuse(True, f"differs only in metrics that are volatile in the spec ({named})", by_nature=True)


def _by_keras(digest: Digest, open_blob: OpenBlob) -> bool:
    with open_blob(digest) as stream:
        return is_keras_log(stream)


class _Names:
    """Metrics by what a file calls them: where several files have one, its folder stands before the name."""

    def __init__(self, metrics: MetricsCompared) -> None:
        self._metrics = metrics
        self._known: dict[str, set[str]] = {}
        for name in metrics.left_out | {name for name, _, _ in metrics.excusable}:
            parts = name.split("/")
            for number in range(len(parts)):
                self._known.setdefault("/".join(parts[number:]), set()).add(name)

    def volatile(self, name: str) -> bool:
        return not self._metrics.left_out.isdisjoint(self._known.get(name, ()))

    def excused(self, name: str, a: float, b: float) -> bool:
        values = bits(a), bits(b)
        return any((known, *values) in self._metrics.excusable for known in self._known.get(name, ()))
