"""The report of a container is untrusted: whatever is in it becomes a finding, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.launch.judge.compare_in_container import finding_of
from orchestrator.spec.jobfile.job_spec import Tolerance

WHOLE = {
    "tensors": 3,
    "differing": 0,
    "first": None,
    "max_abs": 0.0,
    "max_rel": 0.0,
    "outside": 0,
    "problem": "",
    "leaves": ["at: 1 vs 2"],
    "leaf_count": 1,
}


def found(**changes: Any) -> Any:
    return finding_of("m.pt", Tolerance(), json.loads(json.dumps({**WHOLE, **changes})))


def test_a_report_becomes_a_finding() -> None:
    assert found().equal_tensors
    assert found().leaves == ("at: 1 vs 2",)
    assert not found(differing=1).equal_tensors
    assert not found(problem="x").equal_tensors
    assert not found(tensors=0).equal_tensors


@pytest.mark.parametrize(
    "changes",
    [
        {"tensors": -1},
        {"tensors": True},
        {"tensors": 10**30},
        {"tensors": None},
        {"outside": 1.5},
        {"max_abs": "far"},
        {"max_rel": float("nan")},
        {"max_abs": -1.0},
        {"leaves": "x"},
        {"leaf_count": []},
    ],
)
def test_what_makes_no_sense_is_an_error_and_never_equal(changes: dict[str, Any]) -> None:
    finding = found(**changes)
    assert finding.error is not None
    assert not finding.equal_tensors


def test_words_are_cut_and_cleaned() -> None:
    finding = found(leaves=["\x1b[2J\ud800" + "x" * 10**5] * 100, problem="\n\x00", leaf_count=0)
    assert len(finding.leaves) == 20
    assert finding.leaf_count == 20
    assert all(leaf.isprintable() and len(leaf) <= 400 for leaf in finding.leaves)
    assert finding.problem == "\\x0a\\x00"
    assert found(error="\x1b").error == "\\x1b"
    assert finding_of("m.pt", Tolerance(), {}).error is not None
