from __future__ import annotations

from typing import Any

import pytest

from orchestrator.digest import Digest
from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.verdict.outputs.torch_contents import TensorFinding, judge_contents, stored_contents
from orchestrator.verdict.verdict_model import FileDifference

DIFFERENCE = FileDifference(
    path="run/model.pt", original=Digest.of(b"a"), rerun=Digest.of(b"b"), first_byte=1
)
EXACT = {"run/*.pt": Tolerance()}


def finding(**facts: Any) -> TensorFinding:
    return TensorFinding.model_validate({"path": DIFFERENCE.path, "tensors": 14, **facts})


EQUAL = {"equal_tensors": True}
DATED = {**EQUAL, "leaves": ("saved_at: 1 vs 2",), "leaf_count": 1}
APART = {"differing": 2, "first": "a.b", "max_abs": 0.25, "max_rel": 0.5}


@pytest.mark.parametrize(
    ("facts", "tolerances", "excused", "said"),
    [
        (DATED, {}, False, "bytes differ, all 14 tensors are bit-equal; differs in: saved_at"),
        (EQUAL, {}, False, "bytes differ, all 14 tensors are bit-equal, and so is every other entry"),
        (DATED, EXACT, True, "within tolerance 'run/*.pt' (abs 0, rel 0): bytes differ, all 14 tensors"),
        ({**DATED, "leaf_count": 1 << 62}, {}, False, "saved_at and 4,611,686,018,427,387,903 more"),
        (
            APART,
            {},
            False,
            "2 of 14 tensors differ, first a.b; largest difference 0.25 absolute, 0.5 relative",
        ),
        (APART, EXACT, True, "within tolerance"),  # as where 0.0 and -0.0 differ
        ({**APART, "outside": 1}, EXACT, False, "not within tolerance"),
        ({"problem": "x: only in the rerun"}, EXACT, False, "other tensors: x: only in the rerun"),
        ({"error": "no engine"}, EXACT, False, "its tensors are not compared: no engine"),
        ({"tensors": 0}, EXACT, False, "it holds no tensors"),
        ({**EQUAL, "tolerance": Tolerance(abs=1)}, EXACT, False, "not the one that it was compared with"),
        (EQUAL, {"other.pt": Tolerance(abs=1)}, False, "bit-equal"),
    ],
)
def test_only_equal_or_near_tensors_under_a_tolerance_are_excused(
    facts: dict[str, Any], tolerances: dict[str, Tolerance], excused: bool, said: str
) -> None:
    near, note = judge_contents(DIFFERENCE, finding(**facts), tolerances)
    assert near is excused
    assert said in note


def test_a_stored_finding_is_read_back_and_a_forged_one_is_none() -> None:
    kept = finding(**APART, outside=3).model_copy(update={"max_rel": float("inf")})
    assert stored_contents({"contents": [kept.model_dump(mode="json")]}) == {kept.path: kept}
    assert stored_contents({"contents": [{"path": 1}]}) == {}
    assert stored_contents({"contents": 7}) == {}
    assert stored_contents({}) == {}
