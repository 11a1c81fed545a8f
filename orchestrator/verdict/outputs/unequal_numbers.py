"""The numbers in which two files of metrics differ, at equal places, each with the metric that it is."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, BinaryIO

from orchestrator.digest import Digest
from orchestrator.run.collect.job_files import lines, refuse_large
from orchestrator.run.metrics.metric_sources import MetricFile, MetricFormat
from orchestrator.run.metrics.metric_tables import MAX_LINE
from orchestrator.untrusted_json import strict_json
from orchestrator.verdict.outputs.compare_files import OpenBlob
from orchestrator.verdict.tolerance import same_bits

READ_LIMIT = 32 << 20  # bytes of a file of JSON that are read

UnequalNumber = tuple[str, float, float]
"""The metric at this place, the original's value, the rerun's."""


def unequal_numbers(
    file: MetricFile, original: Digest, rerun: Digest, open_blob: OpenBlob
) -> Iterator[UnequalNumber]:
    """Raises ValueError where anything but numbers differs, or the files are not what `file` says.

    Of a format without names in its places, such as a log of W&B, nothing is a metric.
    """
    if file.kind is MetricFormat.TABLE:
        yield from _of_tables(original, rerun, open_blob)
        return
    left, right = _documents(original, open_blob), _documents(rerun, open_blob)
    if file.kind is MetricFormat.TRAINER:
        yield from _of_trainers(left[0], right[0])
        return
    for one, other in zip(left, right, strict=False):
        yield from _numbers(one, other, "" if isinstance(one, dict) else None)
    if len(left) != len(right):
        raise ValueError(f"{len(left)} and {len(right)} lines")


def _of_tables(original: Digest, rerun: Digest, open_blob: OpenBlob) -> Iterator[UnequalNumber]:
    for digest in (original, rerun):
        with open_blob(digest) as stream:
            if Digest.of_stream(stream) != digest:
                raise ValueError(f"the stored bytes of {digest.short} are damaged")
    names: list[str] = []
    with open_blob(original) as left, open_blob(rerun) as right:
        for number, (a, b) in enumerate(zip_longest(_rows(left), _rows(right)), 1):
            if a is None or b is None or len(a) != len(b):
                raise ValueError(f"other lines or cells from line {number:,} on")
            names = names or a
            if (number == 1 and a != b) or len(a) > len(names):
                raise ValueError("other names of columns")
            for name, one, other in zip(names, a, b, strict=False):
                if one != other:
                    x, y = float(one), float(other)
                    if not same_bits(x, y):
                        yield name, x, y


def _rows(stream: BinaryIO) -> Iterator[list[str]]:
    for line in lines(stream, MAX_LINE):
        if line is None:
            raise ValueError(f"a line of more than {MAX_LINE >> 20} MiB")
        yield next(csv.reader([line.decode("utf-8").removesuffix("\r")], strict=True), [])


def _of_trainers(a: Any, b: Any) -> Iterator[UnequalNumber]:
    """The state of Hugging Face's Trainer: the entries of its `log_history` are metrics, all else is not."""
    if not isinstance(a, dict) or not isinstance(b, dict):
        raise ValueError("not the state of a trainer")  # noqa: TRY004 - of content, not of a caller
    left, right = a.get("log_history"), b.get("log_history")
    if not isinstance(left, list) or not isinstance(right, list) or len(left) != len(right):
        raise ValueError("another number of entries in log_history")
    for one, other in zip(left, right, strict=True):
        yield from _numbers(one, other, "" if isinstance(one, dict) else None)
    yield from _numbers({**a, "log_history": None}, {**b, "log_history": None}, None)


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


def _numbers(a: Any, b: Any, prefix: str | None, name: str = "") -> Iterator[UnequalNumber]:
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
