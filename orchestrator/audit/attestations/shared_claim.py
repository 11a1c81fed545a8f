"""The claim that a run and its identical reruns share: the original's paths, without what verdicts ignore."""

from __future__ import annotations

from orchestrator.audit.attestations.statement import ClaimStatement, claim_of
from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.causes.tolerance_advice import glob_of
from orchestrator.verdict.outputs.compare_metric_files import metrics_file
from orchestrator.verdict.outputs.pairing import pair_runs


def original_claim(original: RunRecord) -> ClaimStatement:
    return claim_of(original, _left_out(original))


def rerun_claim(run: RunRecord, original: RunRecord) -> ClaimStatement:
    """The rerun's claim. A path that differs only in a moment or an id is the original's."""
    names = {item.rerun: item.original for item in pair_runs(original, run).renamed}
    outputs = tuple(
        output.model_copy(update={"path": names.get(output.path, output.path)}) for output in run.outputs
    )
    return claim_of(run.model_copy(update={"outputs": outputs}), _left_out(original))


def _left_out(original: RunRecord) -> tuple[str, ...]:
    """Globs: those of the spec, and the metrics files where some metrics are volatile."""
    tolerance = original.tolerance
    if not tolerance.volatile_metrics:
        return tolerance.volatile
    files = [
        output.path
        for output in original.outputs
        if (file := metrics_file(output.path, original)) is not None and not file.maybe
    ]
    return (*tolerance.volatile, *(glob_of(path, original) for path in files))
