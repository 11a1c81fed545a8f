"""Describes two lines of two traces that differ."""

from __future__ import annotations

from orchestrator.verdict.traces.trace_lines import TableLine, TracedTensor, TraceEvent, word
from orchestrator.verdict.verdict_model import Phase, TraceDifference

OTHER_PATH = "the two runs took different paths"
OTHER_SHAPES = "tensors of other shapes or names"
GENERATOR_TOO = "the state of a random generator differs too:"
"""Begins the note of a difference in the first weights where a generator differs at the same step."""

_ORDER = list(Phase)


def between(original: TraceEvent, rerun: TraceEvent, rank: int) -> TraceDifference:
    """Two events of one kind and step, with the same tensors and other digests."""
    a, b = original.entries, rerun.entries
    unequal = [index for index, pair in enumerate(zip(a, b, strict=True)) if pair[0].digest != pair[1].digest]
    first = unequal[0] if unequal else None
    note, seen = "", ("", "")
    if first is not None:
        seen = a[first].digest, b[first].digest
    elif original.combined != rerun.combined:
        seen = original.combined, rerun.combined
        note = "over the budget of the trace, so one digest stands for all of its tensors"
    else:
        note = "the digests are equal, the rest of the line is not"
    if original.kind == "loss" and repr(original.values) != repr(rerun.values):
        seen = _values(original), _values(rerun)
    return TraceDifference(
        phase=original.phase,
        step=original.step,
        rank=rank,
        tensor=_name(original, a[first]) if first is not None else None,
        where=original.where or ("loss" if original.kind == "loss" else ""),
        differing=len(unequal),
        tensors=len(a),
        original=seen[0],
        rerun=seen[1],
        note=note,
    )


def _name(event: TraceEvent, entry: TracedTensor) -> str | None:
    """None for the only tensor of an event: `where` says what it is."""
    return entry.name or (None if len(event.entries) == 1 else "output")


def _values(event: TraceEvent) -> str:
    return ", ".join(word(value)[:40] for value in event.values[:4])


def path_difference(
    original: TraceEvent | TableLine | None, rerun: TraceEvent | TableLine | None, rank: int, step: int = 0
) -> TraceDifference:
    """Two runs that did different things; None: a trace that ended. `step` counts where none is an event."""
    events = [item for item in (original, rerun) if isinstance(item, TraceEvent)]
    early = min(events, key=lambda item: (item.step, _ORDER.index(item.phase)), default=None)
    seen = describe(original), describe(rerun)
    note = OTHER_PATH
    if isinstance(original, TraceEvent) and isinstance(rerun, TraceEvent) and original.kind == rerun.kind:
        shapes = _other_shape(original, rerun)
        if shapes:
            note, seen = OTHER_SHAPES, shapes
    return TraceDifference(
        phase=early.phase if early else Phase.INIT,
        step=early.step if early else step,
        rank=rank,
        where=early.where if early else "",
        original=seen[0],
        rerun=seen[1],
        note=note,
    )


def _other_shape(a: TraceEvent, b: TraceEvent) -> tuple[str, str] | None:
    if a.step != b.step or a.where != b.where or len(a.entries) != len(b.entries):
        return None
    for left, right in zip(a.entries, b.entries, strict=True):
        if (left.name, left.shape) != (right.name, right.shape):
            return f"{left.name} {left.shape}".strip(), f"{right.name} {right.shape}".strip()
    return None


def describe(item: TraceEvent | TableLine | None) -> str:
    """What a run did at this place, in few words."""
    if item is None:
        return "the end"
    if isinstance(item, TableLine):
        return f"other tensors of {item.of or 'a model'}"
    where = f" of {item.where}" if item.where else ""
    return f"{item.kind}{where} at step {item.step:,}"


def table_difference(a: TableLine, b: TableLine) -> str:
    """Why two lists of tensors cannot be set side by side."""
    if a.of != b.of:
        return f"another optimizer or model ({a.of} vs {b.of})"
    if len(a.tensors) != len(b.tensors):
        return f"{len(a.tensors):,} vs {len(b.tensors):,} tensors in {a.of or 'the model'}"
    for left, right in zip(a.tensors, b.tensors, strict=True):
        if left != right:
            return f"other tensors ({' '.join(left)} vs {' '.join(right)})"
    return f"other tensors (table {a.number} vs {b.number})"
