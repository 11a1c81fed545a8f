"""Concludes from a second run on this box whether a rerun differs by the script or by the two boxes.

Two runs that agree do not prove determinism, so the conclusion says only what was seen.
"""

from __future__ import annotations

from enum import StrEnum

from orchestrator.message_wording import listed
from orchestrator.record.run_record import RunRecord
from orchestrator.structural_difference import unequal_names
from orchestrator.value import Value
from orchestrator.verdict.comparability import failure_of
from orchestrator.verdict.predict_bits import Cell, Pair, class_differences, listed_pairs, plain
from orchestrator.verdict.verdict_model import Outcome, Verdict


class Source(StrEnum):
    """Where the difference between a rerun and its original comes from."""

    NOTHING = "nothing"  # no difference to explain
    SCRIPT = "script"  # the script itself is nondeterministic
    BOXES = "boxes"  # two boxes: this one agrees with itself
    BOX_CHANGED = "box_changed"  # one box, whose bit class is another than it was
    UNRECORDED = "unrecorded"  # one class: something changed that no record holds, or a rare race
    INCONCLUSIVE = "inconclusive"


class Second(Value):
    """The second run on this box, and its two verdicts."""

    run: RunRecord
    against_original: Verdict
    against_rerun: Verdict


class ReplayConclusion(Value):
    source: Source
    summary: str  # one sentence
    reasons: tuple[str, ...] = ()
    fields: dict[str, Pair] = {}  # of the bit class, that differ: name -> (original's, this box's)
    soft: dict[str, Pair] = {}  # other facts of box and limits that differ, and that a script can see


_AGREE = (Outcome.IDENTICAL, Outcome.NOT_INSTRUMENTED)  # in every byte that there is
_DISAGREE = (Outcome.DIFFERENT, Outcome.WITHIN_TOLERANCE)


def no_second_run(first: Verdict | None, run: RunRecord | None = None) -> ReplayConclusion | None:
    """Why a second run would show nothing; None where it is to be made. `run`: the rerun."""
    if first is None:
        why = "no earlier run of this digest is known here, so there is no difference to explain"
        if run is not None and run.rerun_of is not None:
            why = f"the rerun {failure_of(run)}, so there is no difference to explain"
        return ReplayConclusion(source=Source.INCONCLUSIVE, summary=f"{why}; no second run was made")
    if first.outcome is Outcome.DIFFERENT:
        return None
    if first.outcome is Outcome.IDENTICAL:
        return ReplayConclusion(
            source=Source.NOTHING, summary="the rerun is identical: no second run was needed"
        )
    if first.outcome is Outcome.WITHIN_TOLERANCE:
        why = "the rerun is within the spec's tolerances: no second run was needed"
        return ReplayConclusion(source=Source.NOTHING, summary=why)
    word = first.outcome.value.replace("_", " ")
    why = f"the rerun is {word}, which a second run does not mend; none was made"
    if first.outcome is Outcome.FAILED:
        why = "the rerun did not succeed, so no second run was made"
    return ReplayConclusion(source=Source.INCONCLUSIVE, summary=why)


def conclude(original: RunRecord, rerun: RunRecord, second: Second) -> ReplayConclusion:
    """What three runs say of a rerun that was judged `different` from its original."""
    between = second.against_rerun
    fields, soft = _differences(original, rerun)
    doubts = _doubts(rerun, second)
    if between.outcome in _DISAGREE:
        found = _script(second, bool(fields))
    elif between.outcome not in _AGREE:
        found = _unusable(second)
    elif second.against_original.outcome is not Outcome.DIFFERENT:
        found = ReplayConclusion(
            source=Source.INCONCLUSIVE,
            summary="the second run is equal to the rerun and to the original, which differ: that cannot be",
            reasons=("a record or a blob is damaged; `reprise audit --only verdicts` says which",),
        )
    else:
        found = _agreeing(original, rerun, fields, soft)
    return found.model_copy(
        update={"fields": fields, "soft": soft, "reasons": (*found.reasons, *doubts)},
    )


def _script(second: Second, other_class: bool) -> ReplayConclusion:
    """Two runs on one box that are not the same."""
    reasons = []
    if second.against_original.outcome in _AGREE:
        reasons.append("the second run gave the original's bits, so the bits are sometimes the same")
    elif other_class:
        reasons.append("the original's box is of another bit class, which may add to it")
    if second.against_rerun.outcome is Outcome.WITHIN_TOLERANCE:
        reasons.append(
            "the two runs here are within the spec's tolerances of each other, the original is not: its"
            " nondeterminism alone need not explain that"
        )
    first = second.against_rerun.summary.partition(": ")[2]
    return ReplayConclusion(
        source=Source.SCRIPT,
        summary="the script itself is nondeterministic: two runs on this box differ from each other",
        reasons=(*([f"between the two: {first}"] if first else []), *reasons),
    )


def _unusable(second: Second) -> ReplayConclusion:
    why = second.against_rerun.summary.partition(": ")[2] or second.against_rerun.summary
    return ReplayConclusion(
        source=Source.INCONCLUSIVE, summary=f"the second run could not be compared with the rerun: {why}"
    )


def _agreeing(
    original: RunRecord, rerun: RunRecord, fields: dict[str, Pair], soft: dict[str, Pair]
) -> ReplayConclusion:
    """Two equal runs here, and an original that is not."""
    same_box = original.box is not None and original.box == rerun.box
    named, others = listed_pairs(fields, 5), listed_pairs(soft, 5)
    if same_box and any(map(_of_host, fields)):
        return ReplayConclusion(
            source=Source.BOX_CHANGED,
            summary=f"this box agrees with itself, and it has changed since the original was made: {named}",
        )
    if fields and not same_box:
        return ReplayConclusion(
            source=Source.BOXES,
            summary=f"this box is deterministic: the difference is between the boxes ({named})",
        )
    if not same_box:
        known = original.fingerprint is not None and rerun.fingerprint is not None
        of_class = "are of one bit class" if known else "recorded no hardware to compare"
        where = f"what else differs: {others}" if others else "nothing that is recorded of them differs"
        return ReplayConclusion(
            source=Source.BOXES,
            summary=f"this box is deterministic: the difference is between the boxes, which {of_class}",
            reasons=(where, _UNRECORDED),
        )
    reasons = [f"what the job's libraries saw differs: {named}"] if fields else []
    reasons += [f"what differs on the box: {others}"] if others else []
    return ReplayConclusion(
        source=Source.UNRECORDED,
        summary="two runs on this box now agree, but not with the original, made on this same box",
        reasons=(*reasons, _UNRECORDED),
    )


_UNRECORDED = (
    "what no digest holds may have changed meanwhile (the date, a network, files of the host), or the script"
    " is nondeterministic, but seldom: more reruns would tell"
)


def _of_host(field: str) -> bool:
    """Not what libraries in the container saw: a script may have moved that, as it does thread counts."""
    return not field.startswith("effective.")


def _doubts(rerun: RunRecord, second: Second) -> list[str]:
    doubts = []
    if second.against_rerun.outcome is Outcome.NOT_INSTRUMENTED:
        doubts.append("the two runs here agree in their outputs; what would have been traced is not known")
    if rerun.fingerprint and second.run.fingerprint:
        pair = rerun.fingerprint.bit_class, second.run.fingerprint.bit_class
        moved = list(filter(_of_host, class_differences(rerun.program, *pair).hard))
        if moved:
            doubts.append(f"the two runs here did not have the same hardware: {listed(sorted(moved), 5)}")
    if rerun.box != second.run.box:
        doubts.append("the two runs were made on different boxes")
    return doubts


def _differences(original: RunRecord, rerun: RunRecord) -> tuple[dict[str, Pair], dict[str, Pair]]:
    """Fields that can move bits, and other facts that differ: soft ones, what a script can see, limits."""
    hard: dict[str, Pair] = {}
    soft: dict[str, Pair] = {}
    if original.fingerprint and rerun.fingerprint:
        found = class_differences(
            original.program, original.fingerprint.bit_class, rerun.fingerprint.bit_class
        )
        hard, soft = found.hard, found.soft | found.unknown
    left, right = _seen(original), _seen(rerun)
    soft |= {name: (left.get(name), right.get(name)) for name in unequal_names(left, right)}
    return hard, soft


def _seen(run: RunRecord) -> dict[str, Cell]:
    """What a script can see of its box and its limits, though the bit class does not hold it."""
    perf = run.fingerprint.perf_class if run.fingerprint else {}
    limits = run.resources.model_dump(mode="json")
    return {name: plain(value) for name, value in perf.items()} | {
        f"resources.{name}": plain(value) for name, value in limits.items()
    }
