"""Lines for the job file where training is the same and only what is written differs. They can be copied."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.record.run_record import RunRecord
from orchestrator.spec.globs import WILD
from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.verdict.outputs.compare_files import JudgedFile, OpenBlob
from orchestrator.verdict.outputs.compare_metric_files import excuse_metrics
from orchestrator.verdict.outputs.path_blanks import blanked, window_of
from orchestrator.verdict.traces.compare_metrics import MetricsCompared
from orchestrator.verdict.verdict_model import TensorFinding

MOST = 8  # more files or metrics are not listed: a glob that a person writes is better then


@dataclass(frozen=True)
class SuggestedMarks:
    """What the job file must mark for the two runs to count as equal."""

    outputs: tuple[str, ...] = ()  # globs to be called volatile
    metrics: tuple[str, ...] = ()  # names to be called volatile
    tensors: tuple[str, ...] = ()  # globs of which equal tensors are enough: a tolerance of 0


NO_MARKS = SuggestedMarks()


def marks(
    original: RunRecord,
    judged: Sequence[JudgedFile],
    metrics: MetricsCompared,
    open_blob: OpenBlob,
    contents: Mapping[str, TensorFinding],
) -> SuggestedMarks:
    """The marks with which these two runs would count as equal.

    A file of metrics needs none where the metrics that differ in it are marked by name. A checkpoint with
    equal tensors gets a tolerance of 0: then its tensors are judged.
    """
    names = sorted(metrics.beyond)
    marked = replace(
        metrics,
        differences=tuple(item for item in metrics.differences if item.within),
        left_out=metrics.left_out | set(names),
    )
    globs, tensors = [], []
    for item in judged:
        path = item.difference.path
        finding = contents.get(path)
        if finding is not None and finding.equal_tensors and finding.tensors and not finding.error:
            if not item.excused:
                tensors.append(glob_of(path, original))
            continue
        named = excuse_metrics(item.difference, original, marked, open_blob).excused
        if not (item.excused or named):
            globs.append(glob_of(path, original))
    return SuggestedMarks(tuple(dict.fromkeys(globs)), tuple(names), tuple(dict.fromkeys(tensors)))


def glob_of(path: str, run: RunRecord) -> str:
    """A glob that fits the path in every rerun, and little else."""
    found = blanked(path, window_of(run))
    first, *rest = map(_literal, found.pieces)
    stars = ("*/" * blank.text.count("/") + "*" for blank in found.blanks)
    return first + "".join(star + piece for star, piece in zip(stars, rest, strict=True))


def _literal(text: str) -> str:
    """A glob that fits this text only."""
    return "".join(f"[{char}]" if char in WILD | {"{"} else char for char in text)


def advice(original: RunRecord, found: SuggestedMarks) -> str:
    """`outputs: [...]` and `tolerance: {...}`, complete lines of the job file; "" where none is needed."""
    tolerance = original.tolerance
    lines = []
    if found.outputs and len(found.outputs) <= MOST:
        volatile = (*tolerance.volatile, *(glob for glob in found.outputs if glob not in tolerance.volatile))
        plain = [_quoted(glob) for glob in original.program.outputs if glob not in volatile]
        marked = [f"{{glob: {_quoted(glob)}, volatile: true}}" for glob in volatile]
        lines.append(f"outputs: [{', '.join([*plain, *marked])}]")
    metrics = found.metrics if len(found.metrics) <= MOST else ()
    tensors = found.tensors if len(found.tensors) <= MOST else ()
    if metrics or tensors:
        kept = {name: one for name, one in tolerance.metrics.items() if name not in metrics}
        entries = [f"{_quoted(name)}: {_bound(one)}" for name, one in kept.items()]
        entries += [
            f"{_quoted(name)}: {{volatile: true}}" for name in (*tolerance.volatile_metrics, *metrics)
        ]
        files = [f"{_quoted(glob)}: {_bound(one)}" for glob, one in tolerance.outputs.items()]
        files += [f"{_quoted(glob)}: 0" for glob in tensors if glob not in tolerance.outputs]
        both = (("metrics", entries), ("outputs", files))
        parts = [f"{key}: {{{', '.join(values)}}}" for key, values in both if values]
        lines.append(f"tolerance: {{{', '.join(parts)}}}")
    return " and ".join(f"`{line}`" for line in lines)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _bound(tolerance: Tolerance) -> str:
    return f"{{abs: {tolerance.abs!r}, rel: {tolerance.rel!r}}}"
