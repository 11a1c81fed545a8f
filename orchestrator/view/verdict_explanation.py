"""A verdict in lines that a person reads in ten seconds. `reprise diff` shows the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator

from orchestrator.message_wording import count, listed
from orchestrator.record.run_record import RunRecord
from orchestrator.run.collect.trace_files import LOSS
from orchestrator.verdict.causes.hardware_causes import boxes, labelled
from orchestrator.verdict.causes.readback_flags import main_readback
from orchestrator.verdict.tolerance import same_bits
from orchestrator.verdict.verdict_model import (
    CauseKind,
    Drift,
    FileDifference,
    LeftOut,
    Outcome,
    Phase,
    Renamed,
    TraceDifference,
    Verdict,
)
from orchestrator.verdict.verdict_wording import beside, number

FILES_SHOWN = 4
METRICS_SHOWN = 5
DRIFT_SHOWN = 3
CAUSES_SHOWN = 3
LEFT_OUT_SHOWN = 3
RENAMED_SHOWN = 3
FLAGS_SHOWN = 5
NOTES_SHOWN = 6


def explain(verdict: Verdict, original: RunRecord, rerun: RunRecord) -> list[str]:
    """Plain lines: the verdict's sentence without its word, then the details, indented by two spaces."""
    lines = [verdict.summary.removeprefix(f"{verdict.outcome.value.replace('_', ' ')}: ")]
    lines += _first(verdict)
    lines += _causes(verdict)
    compared = verdict.outcome not in (Outcome.FAILED, Outcome.NOT_COMPARABLE) and verdict.stopped is None
    if compared:
        lines += _files(verdict.files)
        lines += _metrics(verdict, original, rerun)
    lines += _drift(verdict, compared)
    lines += _left_out(verdict.left_out)
    lines += _renamed(verdict.renamed)
    if not any(cause.kind is CauseKind.HARDWARE for cause in verdict.causes[:CAUSES_SHOWN]):
        lines += _hardware(original, rerun, compared)
    lines += _flags(verdict, original, rerun)
    lines += _cut([f"note: {note}" for note in verdict.notes], NOTES_SHOWN, "and {} more notes")
    return lines


def _cut(lines: list[str], limit: int, more: str = "  and {} more") -> list[str]:
    rest = len(lines) - limit
    return lines if rest <= 0 else [*lines[:limit], more.format(f"{rest:,}")]


def _first(verdict: Verdict) -> Iterator[str]:
    first, traced = verdict.first, verdict.traced
    if first is None:
        return
    yield f"first differs at {first_words(first)}"
    if traced is not None:
        processes = f" in {count(traced.ranks, 'process', 'processes')}" if traced.ranks > 1 else ""
        equal = f"{count(traced.steps, 'step')}, {count(traced.tensors, 'digest')} equal"
        yield f"  before that: {equal}{processes}"


def _causes(verdict: Verdict) -> Iterator[str]:
    for index, cause in enumerate(verdict.causes[:CAUSES_SHOWN]):
        yield f"why: {cause.text}" if not index else f"  or: {cause.text}"
    if len(verdict.causes) > CAUSES_SHOWN:
        yield f"  or {count(len(verdict.causes) - CAUSES_SHOWN, 'less likely reason')}"


def _files(files: tuple[FileDifference, ...]) -> Iterator[str]:
    if not files:
        return
    yield f"{count(len(files), 'output')} not the same:"
    lines = []
    for difference in files:
        facts = [f"from byte {difference.first_byte:,}"] if difference.first_byte is not None else []
        facts += [difference.note] if difference.note else []
        lines.append(f"  {difference.path}: {', '.join(facts)}")
    yield from _cut(lines, FILES_SHOWN)


def _metrics(verdict: Verdict, original: RunRecord, rerun: RunRecord) -> Iterator[str]:
    """Both values of each metric that differs; the equal metrics in one line."""
    if verdict.metrics:
        yield "metrics, original vs rerun:"
    differing = {difference.name for difference in verdict.metrics}
    lines = [
        f"  {item.name}: {beside(item.original, item.rerun)}{_delta(item.original, item.rerun)}"
        f"{', within tolerance' if item.within else ''}"
        for item in verdict.metrics
    ]
    yield from _cut(lines, METRICS_SHOWN)
    equal = []
    for name in sorted(original.metrics.keys() & rerun.metrics.keys() - differing):
        a, b = original.metrics[name], rerun.metrics[name]
        if same_bits(a, b):
            equal.append(f"{name} {number(a)}")
    if equal:
        yield f"equal metrics: {listed(equal, METRICS_SHOWN)}"


def _delta(a: float | None, b: float | None) -> str:
    return f" ({b - a:+.3g})" if a is not None and b is not None else ""


def _drift(verdict: Verdict, compared: bool) -> Iterator[str]:
    """How far series are apart. Compared final metrics are left out: both values are shown already."""
    found = [item for item in verdict.drift if not compared or item.first is not None]
    found.sort(key=lambda item: item.name != LOSS)
    traced = "traced loss" if any(item.name == "loss" for item in found) else "loss"  # not the metric
    lines = [_drift_text(traced if item.name == LOSS else item.name, item) for item in found]
    yield from _cut(lines, DRIFT_SHOWN)


def _drift_text(name: str, item: Drift) -> str:
    most = "infinitely" if math.isinf(item.max_abs) else f"by at most {item.max_abs:.2g}"
    relative = f" ({item.max_rel:.2g} of its value)" if math.isfinite(item.max_rel) else ""
    first = f", first at step {item.first:,}" if item.first is not None else ""
    points = f" in {item.differing:,} of {count(item.points, 'point')}" if item.points > 1 else ""
    return f"{name}: apart {most}{relative}{points}{first}"


def _left_out(left_out: tuple[LeftOut, ...]) -> Iterator[str]:
    if left_out:
        shown = [f"{item.path} ({item.why})" for item in left_out]
        yield f"left out: {listed(shown, LEFT_OUT_SHOWN)}"


def _renamed(renamed: tuple[Renamed, ...]) -> Iterator[str]:
    if renamed:
        yield f"{count(len(renamed), 'output')} with another path in the rerun:"
        yield from _cut(
            [f"  {item.original} -> {item.rerun}, paired {item.why}" for item in renamed], RENAMED_SHOWN
        )


def _hardware(original: RunRecord, rerun: RunRecord, compared: bool) -> Iterator[str]:
    found = boxes(original, rerun)
    if found is None:
        missing = [
            name for name, run in (("original", original), ("rerun", rerun)) if run.fingerprint is None
        ]
        yield f"hardware: not known for the {' and the '.join(missing)}"
        return
    same_box = original.box is not None and original.box == rerun.box
    if not (found.hard or found.soft or found.unknown):
        expected = ", so equal bits are expected" if compared else ""
        yield f"hardware: the same {'box' if same_box else 'class'}{expected}"
    elif hard := found.hard | found.unknown:
        yield f"hardware: another class, so equal bits are not promised: {labelled(hard)}"
    else:
        yield f"hardware: the same class; soft fields that differ: {labelled(found.soft)}"


def _flags(verdict: Verdict, original: RunRecord, rerun: RunRecord) -> Iterator[str]:
    named = {name for cause in verdict.causes[:CAUSES_SHOWN] for name in cause.fields}
    moved = [f"  {name}: {moves}" for name, moves in verdict.flags_changed.items() if name not in named]
    if moved:
        yield "the script changed flags that Reprise had set or seen:"
        yield from _cut(moved, FLAGS_SHOWN)
    for name, run in (("original", original), ("rerun", rerun)):
        readback = main_readback(run)
        if readback is None:
            yield f"flags: no Python process of the {name} reported any"
        elif readback.end is None and not (verdict.stopped and run is rerun):
            yield f"flags: the main process of the {name} left a report at its start only"


def first_words(first: TraceDifference) -> str:
    """`step 12, backward: gradient of conv2.weight (3 of 14 tensors)`."""
    place = f"step {first.step:,}, {first.phase.value}"
    if first.rank:
        place += f" on rank {first.rank}"
    if not first.tensors and first.note:
        return f"{place}: {first.note} ({first.original} vs {first.rerun})"
    words = f"{place}: {_what_differs(first)}"
    if first.tensors > 1 and first.differing:
        noun = "generators" if first.phase is Phase.RNG else "tensors"
        words += f" ({first.differing:,} of {first.tensors:,} {noun})"
    if first.where == "loss" and first.original:
        words += f", {first.original} vs {first.rerun}"
    return words + (f"; {first.note}" if first.note else "")


def _what_differs(first: TraceDifference) -> str:
    tensor, where = first.tensor, first.where
    of = f" of {where}" if where else ""
    if first.phase is Phase.INIT:
        return f"weights before the first step, {tensor or f'all{of}'}"
    if first.phase is Phase.RNG:
        return f"state of the random generator {tensor or ''}".rstrip()
    if first.phase is Phase.BATCH:
        return f"batch{of}" + (f", {_entry(tensor)}" if tensor else "")
    if first.phase is Phase.FORWARD:
        return "loss" if where == "loss" else f"output{of}" + (f", {_entry(tensor)}" if tensor else "")
    if first.phase is Phase.BACKWARD:
        return f"gradient of {tensor}" if tensor else f"gradients{of}"
    return f"{tensor or 'weights'} after the step{of}"


def _entry(name: str) -> str:
    return f"entry {name}" if name[:1].isdigit() else name
