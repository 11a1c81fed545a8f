"""Compares two records and gives a verdict. It needs no database and no engine: `open_blob` gives the bytes.

The log, times, the box and the limits of a run are never compared: they differ by nature, or do not define
the result. What was left out for another reason is in the verdict's `left_out` and notes.
"""

from __future__ import annotations

from types import MappingProxyType

from orchestrator.message_wording import count, listed
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import OutputStatus
from orchestrator.run.collect.trace_files import LOSS
from orchestrator.verdict.causes.rank_causes import Evidence, causes
from orchestrator.verdict.causes.readback_flags import flags_changed
from orchestrator.verdict.comparability import failure_of, not_the_same_program, was_stopped
from orchestrator.verdict.compared_parts import Contents, Findings, find
from orchestrator.verdict.instrumentation import missing_evidence, not_looked_at, nothing_to_trace
from orchestrator.verdict.outputs.compare_files import OpenBlob
from orchestrator.verdict.sentences import (
    Equal,
    difference_sentence,
    equal_sentence,
    named_metrics,
    stopped_sentence,
)
from orchestrator.verdict.traces.compare_metrics import NO_METRICS
from orchestrator.verdict.traces.compare_traces import compare_traces
from orchestrator.verdict.traces.drift import drifts
from orchestrator.verdict.verdict_model import Outcome, Stopped, Verdict

_NO_CONTENTS: Contents = MappingProxyType({})


def compare(
    original: RunRecord, rerun: RunRecord, open_blob: OpenBlob, contents: Contents = _NO_CONTENTS
) -> Verdict:
    """Did the rerun give what the original gave? Tolerances are those of the original.

    `failed`: the rerun did not succeed. `not_comparable`: the original did not, or another program ran, or
    there is nothing to compare. Where both succeeded, even a `not_comparable` says where and why they differ.
    Never raises for what a job wrote, nor for blobs that cannot be read.
    """
    refusal = _refuse(original, rerun)
    if refusal is not None:
        outcome, reasons = refusal
        return _verdict(outcome, original, rerun, reasons[0], notes=tuple(reasons[1:]))
    reasons = not_the_same_program(original, rerun)
    if reasons:
        return _of_another_program(original, rerun, reasons, open_blob)
    if was_stopped(rerun):
        return _of_a_stopped_rerun(original, rerun, open_blob)
    findings = find(original, rerun, open_blob, contents)
    outcome, sentence = _decide(original, rerun, findings)
    return _verdict(
        outcome,
        original,
        rerun,
        sentence,
        files=tuple(item.difference for item in findings.judged),
        metrics=findings.metrics.differences,
        compared=findings.kept,
        by_content=findings.by_content,
        renamed=findings.renamed,
        traced=findings.traces.traced,
        first=findings.traces.first,
        causes=causes(original, rerun, findings.evidence),
        drift=tuple(
            one for one in drifts(original, rerun) if one.name != LOSS or not findings.traces.one_of_several
        ),
        left_out=findings.left_out,
        contents=tuple(contents[path] for path in sorted(contents)),
        notes=tuple(_notes(original, rerun, findings, outcome)),
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
    before = failure_of(original)
    again = None if was_stopped(rerun) else failure_of(rerun)
    if again is not None and rerun.state.final:
        alike = "; so did the original" if before and _alike(original, rerun) else ""
        return Outcome.FAILED, [f"the rerun {again}{alike}", *([f"the original {before}"] if before else [])]
    if before or again:
        who = f"the original {before}" if before else f"the rerun {again}"
        return Outcome.NOT_COMPARABLE, [f"{who}, so there is nothing to compare"]
    return None


def _alike(original: RunRecord, rerun: RunRecord) -> bool:
    """Two failures of the same kind with the same exit code."""
    return (original.state, original.failure, original.exit_code) == (
        rerun.state,
        rerun.failure,
        rerun.exit_code,
    )


def _of_another_program(
    original: RunRecord, rerun: RunRecord, reasons: list[str], open_blob: OpenBlob
) -> Verdict:
    """The first difference is named without a judgement: it shows what a seed changed on purpose does."""
    traces = compare_traces(original, rerun, open_blob)
    evidence = Evidence(first=traces.first, traced=traces.traced, unlike=traces.unlike)
    apart = [f"the traces cannot be set side by side: {traces.unlike}"] if traces.unlike else []
    return _verdict(
        Outcome.NOT_COMPARABLE,
        original,
        rerun,
        listed(reasons, 2),
        traced=traces.traced,
        first=traces.first,
        causes=causes(original, rerun, evidence),
        drift=drifts(original, rerun),
        notes=(*reasons, *apart, *traces.problems),
    )


def _of_a_stopped_rerun(original: RunRecord, rerun: RunRecord, open_blob: OpenBlob) -> Verdict:
    """By its trace alone: what a stopped job left says nothing. The trace is read again, and must show it."""
    traces = compare_traces(original, rerun, open_blob)
    evidence = Evidence(first=traces.first, traced=traces.traced, reordered=traces.reordered)
    stopped = _stopped(original, rerun)
    if traces.first is None:
        outcome, sentence = Outcome.NOT_COMPARABLE, "the rerun was stopped, and its trace shows no difference"
    else:
        outcome, sentence = Outcome.DIFFERENT, difference_sentence(traces.first, 0, [], NO_METRICS)
        sentence += f"; {stopped_sentence(stopped)}"
    return _verdict(
        outcome,
        original,
        rerun,
        sentence,
        traced=traces.traced,
        first=traces.first,
        stopped=stopped,
        causes=causes(original, rerun, evidence),
        drift=drifts(original, rerun),
        notes=tuple(traces.problems),
    )


def _stopped(original: RunRecord, rerun: RunRecord) -> Stopped:
    both = rerun.seconds, original.seconds
    saved = max(0.0, both[1] - both[0]) if both[0] is not None and both[1] is not None else None
    return Stopped(seconds=both[0], original=both[1], saved=saved)


def _decide(original: RunRecord, rerun: RunRecord, findings: Findings) -> tuple[Outcome, str]:
    """By rules, asked in this order (docs/verdict.md gives the reasons):

    traces that cannot be set side by side; outputs or metrics outside their tolerances; nothing compared;
    traces that differ where no tolerance is given; missing evidence; tolerances that were needed.
    """
    traces, judged, metrics = findings.traces, findings.judged, findings.metrics
    gap = missing_evidence(original, rerun, traces.problems)
    unseen = not_looked_at(original, rerun, findings.pairs)
    if traces.unlike and not gap:  # a process that was not watched has no steps to count
        return Outcome.NOT_COMPARABLE, traces.unlike
    apart = difference_sentence(traces.first, findings.total, judged, metrics)
    if findings.outside:
        return Outcome.DIFFERENT, apart
    kept = Equal(findings.kept, findings.by_content, len(findings.renamed))
    of_trace = {LOSS} if traces.traced is not None else set()  # counted with the steps
    named = len(named_metrics(original) - metrics.left_out - of_trace)
    if not kept.outputs and not named and traces.traced is None:
        return Outcome.NOT_COMPARABLE, "the job left no outputs, no metrics and no trace to compare"
    results = equal_sentence(kept, named, None)
    must_match = findings.why_training_must_be_equal(original) if traces.first is not None else None
    if must_match is not None:
        if judged or metrics.differences:
            return (
                Outcome.DIFFERENT,
                f"{apart}, within tolerance; but training must be the same: {must_match}",
            )
        return Outcome.DIFFERENT, f"{apart}; {results} all the same" if results else apart
    equal = equal_sentence(kept, named, None if traces.unlike else traces.traced)
    if apart:
        equal = f"{apart}; all outputs and metrics within the spec's tolerances"
    if gap or unseen:
        return Outcome.NOT_INSTRUMENTED, f"{equal}; but {gap or unseen}"
    return Outcome.WITHIN_TOLERANCE if apart else Outcome.IDENTICAL, equal


def _notes(original: RunRecord, rerun: RunRecord, findings: Findings, outcome: Outcome) -> list[str]:
    notes = []
    rejected = [
        path
        for path, a, b in findings.pairs
        if a and b and a.status is b.status is OutputStatus.REJECTED and None in (a.target, b.target)
    ]
    if rejected:
        entries = count(len(rejected), "entry", "entries")
        notes.append(f"not compared: {entries} rejected in both runs ({listed(rejected)})")
    if outcome is Outcome.IDENTICAL and findings.traces.traced is None:
        notes.append(nothing_to_trace(original))
    if outcome is not Outcome.NOT_INSTRUMENTED:
        notes += findings.traces.problems
    for name, run in (("original", original), ("rerun", rerun)):
        if run.metrics_incomplete:
            notes.append(f"the metrics of the {name} are incomplete: {run.metrics_incomplete}")
        notes += [f"{name}: {note}" for note in run.notes]
    return notes
