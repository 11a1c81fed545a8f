"""A rerun that is judged identical signs the claim of its original, to the byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from support.finished_run import make_run
from support.records import kept

from orchestrator.audit.attestations.shared_claim import original_claim, rerun_claim
from orchestrator.record.run_record import RunRecord
from orchestrator.spec.jobfile.job_spec import Tolerances

FIRST, AGAIN = (datetime(2026, 11, day, 13, 50, 26, tzinfo=UTC) for day in (29, 30))


def run_of(run: str, at: datetime, files: dict[str, str], tolerance: Tolerances) -> RunRecord:
    outputs = tuple(kept(path.format(f"{at:%Y-%m-%d/%H-%M-%S}"), text) for path, text in files.items())
    times = {"started_at": at, "finished_at": at + timedelta(minutes=1)}
    return make_run(id=run * 16, outputs=outputs, tolerance=tolerance, **times)


@pytest.mark.parametrize("folder", ["", "outputs/{}/"])
def test_the_claim_of_an_identical_rerun(folder: str) -> None:
    spec = Tolerances(volatile_metrics=("t",), volatile=("*.log",))
    left = {f"{folder}model.pt": "w", f"{folder}metrics.json": '{"t": 1}', "x.log": "1"}
    right = {f"{folder}model.pt": "w", f"{folder}metrics.json": '{"t": 2}', "x.log": "2"}
    original = run_of("a", FIRST, left, spec)
    rerun = run_of("b", AGAIN, right, spec)
    claim = original_claim(original)
    assert rerun_claim(rerun, original).to_bytes() == claim.to_bytes()
    assert [name.rpartition("/")[2] for name in claim.digests if "metrics" in name or ".log" in name] == []
    other = run_of("c", AGAIN, right | {f"{folder}model.pt": "x"}, spec)
    assert rerun_claim(other, original).to_bytes() != claim.to_bytes()
