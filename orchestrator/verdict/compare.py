"""compare: two records in, a verdict out. No database, no engine; bytes come through `open_blob`.

The log, times, the box and the limits of a run are never compared: they differ by nature, or do not define
the result. What was left out for another reason is in the verdict's notes.
"""

from __future__ import annotations

from orchestrator.record.model import RunRecord
from orchestrator.run.model import OutputStatus
from orchestrator.spec.model import TracedTensors
from orchestrator.verdict.files import (
    Judged,
    OpenBlob,
    Pair,
    describe_difference,
    excuse_tensors,
    pair_outputs,
    same_output,
)
from orchestrator.verdict.flags import flags_changed, reported
from orchestrator.verdict.grounds import failure_of, not_the_same_program
from orchestrator.verdict.metrics import MetricsCompared, compare_metrics, excuse_metrics, is_metrics_file
from orchestrator.verdict.model import Outcome, Verdict
from orchestrator.verdict.wording import beside, count, listed


def compare(original: RunRecord, rerun: RunRecord, open_blob: OpenBlob) -> Verdict:
    """Did the rerun give what the original gave? Tolerances are those of the original.

    `failed`: the rerun did not succeed. `not_comparable`: the original did not, or another program ran, or
    there is nothing to compare. Never raises for what a job wrote, nor for blobs that cannot be read.
    """
    refusal = _refuse(original, rerun)
    if refusal is not None:
        outcome, reasons = refusal
        return _verdict(outcome, original, rerun, reasons[0], notes=tuple(reasons[1:]))
    pairs = pair_outputs(original.outputs, rerun.outputs)
    metrics = compare_metrics(original, rerun)
    judged = [
        _judge(pair, metrics, original, open_blob) for pair in pairs if not same_output(pair[1], pair[2])
    ]
    outcome, sentence = _decide(original, rerun, pairs, judged, metrics)
    return _verdict(
        outcome,
        original,
        rerun,
        sentence,
        files=tuple(item.difference for item in judged),
        metrics=metrics.differences,
        compared=sum(1 for pair in pairs if _both_kept(pair)),
        notes=tuple(_notes(original, rerun, pairs)),
    )


def _verdict(
    outcome: Outcome, original: RunRecord, rerun: RunRecord, sentence: str, **evidence: object
) -> Verdict:
    return Verdict.model_validate(
        {
            "outcome": outcome,
            "original": original.id,
            "rerun": rerun.id,
            "summary": f"{outcome.value.replace('_', ' ')}: {sentence}",
            "flags_changed": flags_changed(original, rerun),
            **evidence,
        }
    )


def _refuse(original: RunRecord, rerun: RunRecord) -> tuple[Outcome, list[str]] | None:
    if original.id == rerun.id:
        return Outcome.NOT_COMPARABLE, ["a run compared with itself shows nothing"]
    before, again = failure_of(original), failure_of(rerun)
    if again is not None and rerun.state.final:
        alike = "; so did the original" if before and _alike(original, rerun) else ""
        return Outcome.FAILED, [f"the rerun {again}{alike}", *([f"the original {before}"] if before else [])]
    if before or again:
        who = f"the original {before}" if before else f"the rerun {again}"
        return Outcome.NOT_COMPARABLE, [f"{who}, so there is nothing to compare"]
    reasons = not_the_same_program(original, rerun)
    if reasons:
        return Outcome.NOT_COMPARABLE, [listed(reasons, 2), *reasons]
    return None


def _alike(original: RunRecord, rerun: RunRecord) -> bool:
    """Two failures of the same kind with the same exit code."""
    return (original.state, original.failure, original.exit_code) == (
        rerun.state,
        rerun.failure,
        rerun.exit_code,
    )


def _judge(pair: Pair, metrics: MetricsCompared, original: RunRecord, open_blob: OpenBlob) -> Judged:
    difference = describe_difference(pair, open_blob)
    if difference.first_byte is None:
        return Judged(difference, excused=False)
    excused, note = False, ""
    if is_metrics_file(difference.path, original):
        excused, note = excuse_metrics(difference, metrics, open_blob)
    if not excused:
        near, said = excuse_tensors(difference, original.tolerance.outputs, open_blob)
        excused, note = near, said or note
    return Judged(difference.model_copy(update={"note": note}), excused)


def _decide(
    original: RunRecord,
    rerun: RunRecord,
    pairs: list[Pair],
    judged: list[Judged],
    metrics: MetricsCompared,
) -> tuple[Outcome, str]:
    if not all(item.excused for item in judged) or not metrics.within:
        return Outcome.DIFFERENT, _difference_sentence(pairs, judged, metrics)
    named = original.metrics.keys() | {point.name for point in original.series}
    kept = sum(1 for pair in pairs if _both_kept(pair))
    if not kept and not named:
        return Outcome.NOT_COMPARABLE, "the job left no outputs and no metrics to compare"
    equal = _equal_sentence(kept, len(named))
    if judged or metrics.differences:
        equal = _difference_sentence(pairs, judged, metrics) + "; all within the spec's tolerances"
    gap = _missing_evidence(original, rerun)
    if gap:
        return Outcome.NOT_INSTRUMENTED, f"{equal}; but {gap}"
    if judged or metrics.differences:
        return Outcome.WITHIN_TOLERANCE, equal
    return Outcome.IDENTICAL, equal


def _equal_sentence(kept: int, metrics: int) -> str:
    parts = []
    if kept:
        parts.append("the one output is equal" if kept == 1 else f"all {kept:,} outputs are equal")
        parts[0] += " byte for byte"
    if metrics:
        parts.append(count(metrics, "equal metric"))
    return ", ".join(parts)


def _missing_evidence(original: RunRecord, rerun: RunRecord) -> str | None:
    """Why equal results are not yet proof that the same thing ran in the same way."""
    silent = [name for name, run in (("original", original), ("rerun", rerun)) if not reported(run)]
    if silent:
        return f"the runtime left no report in the {' and the '.join(silent)}, so nothing says what ran"
    wanted = original.program.determinism.trace.tensors
    if wanted is not TracedTensors.OFF:
        return f"the spec asks for a trace ({wanted.value}), and none was recorded"
    return None


def _difference_sentence(pairs: list[Pair], judged: list[Judged], metrics: MetricsCompared) -> str:
    parts = []
    if judged:
        parts.append(f"{len(judged):,} of {count(len(pairs), 'output')}")
        parts.append(f"first: {_where(next((item for item in judged if not item.excused), judged[0]))}")
    worst = next((item for item in metrics.differences if not item.within), None)
    shown = worst or next(iter(metrics.differences), None)
    if shown is not None:
        parts.append(f"{shown.name} {beside(shown.original, shown.rerun)}")
    if len(metrics.differences) > 1:
        parts[-1] += f" and {count(len(metrics.differences) - 1, 'more metric')}"
    return "; ".join(parts)


def _where(item: Judged) -> str:
    difference = item.difference
    if difference.first_byte is not None:
        return f"{difference.path} at byte {difference.first_byte:,}"
    return f"{difference.path} ({difference.note})"


def _both_kept(pair: Pair) -> bool:
    return all(output is not None and output.status is OutputStatus.KEPT for output in pair[1:])


def _notes(original: RunRecord, rerun: RunRecord, pairs: list[Pair]) -> list[str]:
    notes = []
    rejected = [path for path, a, b in pairs if a and b and a.status is b.status is OutputStatus.REJECTED]
    if rejected:
        entries = count(len(rejected), "entry", "entries")
        notes.append(f"not compared: {entries} rejected in both runs ({listed(rejected)})")
    for name, run in (("original", original), ("rerun", rerun)):
        notes += [f"{name}: {note}" for note in run.notes]
    return notes
