"""Whether a rerun can be stopped at its first difference: only where that already decides the verdict."""

from __future__ import annotations

from orchestrator.message_wording import listed
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import OutputStatus
from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.verdict.comparability import failure_of, not_the_same_program
from orchestrator.verdict.instrumentation import nothing_to_trace
from orchestrator.verdict.outputs.compare_files import tolerance_glob
from orchestrator.verdict.sentences import named_metrics


def why_not_to_stop(original: RunRecord, rerun: RunRecord | None = None) -> str | None:
    """Why a first difference of the traces would not decide; None where it would. `rerun` has just begun."""
    failed = failure_of(original)
    if failed is not None:
        return f"the original {failed}, so there is nothing to compare with"
    if not original.traces:
        return f"run {original.id} left no trace: {nothing_to_trace(original)}"
    if rerun is not None and (
        reasons := not_the_same_program(original, rerun.model_copy(update={"reports_missing": True}))
    ):
        return f"another program runs ({listed(reasons, 2)})"
    tolerated = _tolerances(original)
    if tolerated:
        return (
            f"its spec has tolerances ({listed(tolerated, 3)}), so a rerun whose training differs may be"
            " within them all the same, and only a whole one can tell"
        )
    return None


def _tolerances(run: RunRecord) -> list[str]:
    """Tolerances other than 0 of what the run left. They may let training differ (compared_parts.py)."""
    outputs, metrics = run.tolerance.outputs, run.tolerance.metrics
    kept = [output.path for output in run.outputs if output.status is OutputStatus.KEPT]
    globs = {glob for path in kept if (glob := tolerance_glob(path, outputs)) is not None}
    found = sorted(str(glob) for glob in globs if outputs[str(glob)] != Tolerance())
    named = named_metrics(run)
    return found + sorted(name for name, one in metrics.items() if name in named and one != Tolerance())
