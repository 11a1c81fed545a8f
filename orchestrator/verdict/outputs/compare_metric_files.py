"""Whether two files of metrics differ only in what a tolerance or `volatile` in the spec excuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.digest import Digest
from orchestrator.errors import RepriseError
from orchestrator.message_wording import listed
from orchestrator.record.run_record import RunRecord
from orchestrator.run.collect.job_files import refuse_large
from orchestrator.run.metrics.metric_sources import metric_files
from orchestrator.untrusted_json import strict_json
from orchestrator.verdict.outputs.compare_files import OpenBlob
from orchestrator.verdict.tolerance import bits, same_bits
from orchestrator.verdict.traces.compare_metrics import MetricsCompared
from orchestrator.verdict.verdict_model import FileDifference

READ_LIMIT = 32 << 20  # bytes of a metrics file that are read to see whether only metrics differ

_Number = tuple[str, float, float]  # the metric at this place, the original's value, the rerun's


@dataclass(frozen=True)
class Excuse:
    """`by_nature`: the two files differ in volatile metrics only; otherwise a tolerance was needed."""

    excused: bool
    note: str
    by_nature: bool = False


def is_metrics_file(path: str, run: RunRecord) -> bool:
    return any(file.path == path and not file.maybe for file in metric_files(run.program.metrics, [path]))


def excuse_metrics(difference: FileDifference, metrics: MetricsCompared, open_blob: OpenBlob) -> Excuse:
    """Read as JSON, or as JSON lines. A number, text or key is excused only as a metric that is compared."""
    if difference.original is None or difference.rerun is None:
        return Excuse(False, "")
    if not (metrics.excusable or metrics.left_out):
        return Excuse(False, "")
    if not metrics.within:
        return Excuse(
            False, "it holds a metric outside its tolerance, or one that the other run does not have"
        )
    try:
        left, right = (_documents(digest, open_blob) for digest in (difference.original, difference.rerun))
        numbers = {
            number
            for one, other in zip(left, right, strict=False)
            for number in _numbers(one, other, "" if isinstance(one, dict) else None)
        }
        if len(left) != len(right):
            return Excuse(False, f"{len(left)} and {len(right)} lines")
    except RecursionError:
        return Excuse(False, "cannot compare its metrics: nested too deeply")
    except (RepriseError, OSError, ValueError, OverflowError) as error:
        return Excuse(False, f"cannot compare its metrics: {error}")
    if not numbers:
        return Excuse(False, "its numbers are equal, its bytes are not")
    names = _Names(metrics)
    judged = [number for number in numbers if not names.volatile(number[0])]
    if not all(names.excused(*number) for number in judged):
        return Excuse(False, "it differs in a number that is not a metric with a tolerance")
    if judged:
        return Excuse(True, "differs only in metrics that are within their tolerances")
    named = listed(sorted({name for name, _, _ in numbers}))
    return Excuse(True, f"differs only in metrics that are volatile in the spec ({named})", by_nature=True)


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


def names_in(digest: Digest, open_blob: OpenBlob) -> set[str]:
    """The metrics that a file holds; none where it cannot be read."""
    try:
        return {name for document in _documents(digest, open_blob) for name in _names(document, "")}
    except (RepriseError, OSError, ValueError, OverflowError, RecursionError):
        return set()


def _names(value: Any, prefix: str) -> Iterator[str]:
    """As the run's metrics are named: nested objects are joined with dots."""
    for key, item in value.items() if isinstance(value, dict) else ():
        if isinstance(item, dict):
            yield from _names(item, f"{prefix}{key}.")
        elif isinstance(item, int | float):
            yield f"{prefix}{key}"


def _documents(digest: Digest, open_blob: OpenBlob) -> list[Any]:
    """One document, or one per line. Raises ValueError for what is not JSON, or too large."""
    with open_blob(digest) as stream:
        data = stream.read(READ_LIMIT + 1)
    if len(data) > READ_LIMIT:
        raise ValueError(f"larger than the {READ_LIMIT >> 20} MiB that are read")
    if Digest.of(data) != digest:
        raise ValueError(f"the stored bytes of {digest.short} are damaged")
    refuse_large(data)
    text = data.decode("utf-8")
    try:
        return [strict_json(text, nan=True)]
    except json.JSONDecodeError:
        return [strict_json(line, nan=True) for line in text.split("\n") if line.strip()]


def _numbers(a: Any, b: Any, prefix: str | None, name: str = "") -> Iterator[_Number]:
    """The numbers that differ, at equal places, each with the metric that is read from there.

    Raises ValueError where anything else differs. What lies in a list is not a metric: `prefix` None.
    """
    if _is_number(a) and _is_number(b) and isinstance(a, bool) is isinstance(b, bool):
        left, right = float(a), float(b)
        if not same_bits(left, right) or (a != b and left == right):  # large integers round to one float
            yield name, left, right
    elif isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            raise ValueError(f"other keys: {sorted(a.keys() ^ b.keys())[:3]}")
        for key, value in a.items():
            full = None if prefix is None else f"{prefix}{key}"
            yield from _numbers(value, b[key], None if full is None else f"{full}.", full or "")
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            raise ValueError(f"{len(a)} and {len(b)} entries in a list, or lines")
        for one, other in zip(a, b, strict=True):
            yield from _numbers(one, other, None)
    elif type(a) is not type(b) or a != b:
        raise ValueError("something that is not a number differs")


def _is_number(value: Any) -> bool:
    """true and false are metrics too: 1 and 0."""
    return isinstance(value, int | float)
