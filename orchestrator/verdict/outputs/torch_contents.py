"""Files that only torch can read: makes a note, and perhaps an excuse, of what a container found in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.verdict.outputs.compare_files import tolerance_glob
from orchestrator.verdict.verdict_model import FileDifference, TensorFinding

__all__ = ["SUFFIXES", "TensorFinding", "judge_contents", "stored_contents"]

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
"""Names under which torch.save is used."""

NAMED = 3  # entries named in a note; the finding has more of them


def judge_contents(
    difference: FileDifference, finding: TensorFinding, tolerances: Mapping[str, Tolerance]
) -> tuple[bool, str]:
    """Whether a tolerance excuses a file whose bytes differ, and what to say of it.

    The tensors decide: with a tolerance of 0, bit-equal tensors are enough, even if another entry, such as a
    date, differs. Such entries are always named. Without a tolerance nothing is excused.
    """
    if finding.error is not None:
        return False, f"its tensors are not compared: {finding.error}"
    glob = tolerance_glob(difference.path, dict(tolerances))
    note = _tensors(finding) + _leaves(finding)
    if glob is None:
        return False, note
    tolerance = tolerances[glob]
    if tolerance != finding.tolerance:
        return False, f"{note}; the tolerance for {glob!r} is not the one that it was compared with"
    near = not finding.problem and finding.tensors > 0 and finding.outside == 0
    bound = f"tolerance {glob!r} (abs {tolerance.abs:g}, rel {tolerance.rel:g})"
    return near, f"{'within' if near else 'not within'} {bound}: {note}"


def stored_contents(document: Mapping[str, Any]) -> dict[str, TensorFinding]:
    """The findings that a stored verdict rests on, by path; empty where it has no readable ones."""
    try:
        found = [TensorFinding.model_validate(item) for item in document.get("contents") or ()]
    except (ValidationError, TypeError):
        return {}
    return {finding.path: finding for finding in found}


def _tensors(finding: TensorFinding) -> str:
    if finding.problem:
        return f"other tensors: {finding.problem}"
    if not finding.tensors:
        return "it holds no tensors"
    if finding.equal_tensors:
        which = f"all {finding.tensors:,} tensors are" if finding.tensors > 1 else "its tensor is"
        return f"bytes differ, {which} bit-equal"
    which = f"{finding.differing:,} of {finding.tensors:,} tensors differ, first {finding.first}"
    if finding.tensors == 1:
        which = "its tensor differs"
    return f"{which}; largest difference {finding.max_abs:.3g} absolute, {finding.max_rel:.3g} relative"


def _leaves(finding: TensorFinding) -> str:
    if not finding.leaf_count:
        return ", and so is every other entry" if finding.equal_tensors else ""
    names = [leaf.partition(": ")[0] for leaf in finding.leaves[:NAMED]]
    rest = finding.leaf_count - len(names)
    return f"; differs in: {', '.join(names)}" + (f" and {rest:,} more" if rest > 0 else "")
