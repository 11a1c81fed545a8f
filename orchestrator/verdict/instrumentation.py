"""Whether equal results are proof: what is missing of the evidence that both runs went the same way."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.message_wording import listed
from orchestrator.record.run_record import RunRecord
from orchestrator.spec.globs import EVERYTHING
from orchestrator.spec.jobfile.job_spec import TracedTensors
from orchestrator.verdict.causes.readback_flags import UNWATCHED, last_flags, reported, with_torch
from orchestrator.verdict.outputs.compare_files import Pair


def missing_evidence(original: RunRecord, rerun: RunRecord, problems: tuple[str, ...]) -> str | None:
    """Why equal results are not yet proof that the same thing ran in the same way; None where they are.

    `problems` are those of reading the traces. Where the program asks for a trace: every process that had
    torch says that it was watched as asked, and every trace that it left is whole.
    """
    silent = [name for name, run in (("original", original), ("rerun", rerun)) if not reported(run)]
    if silent:
        return f"the runtime left no report in the {' and the '.join(silent)}, so nothing says what ran"
    wanted = original.program.determinism.trace
    if wanted.tensors is TracedTensors.OFF:
        return None
    for name, run in (("original", original), ("rerun", rerun)):
        gap = _not_watched(name, run, f"{wanted.tensors.value}:{wanted.every}")
        if gap:
            return gap
    return problems[0] if problems else None


def not_looked_at(original: RunRecord, rerun: RunRecord, pairs: Sequence[Pair]) -> str | None:
    """What both runs left and nobody could compare; None where all of it was.

    A file of metrics that could not be read to its end is compared byte for byte, if it is an output.
    """
    unread = [path for path, a, b in pairs if a is not None and b is not None and (a.unread or b.unread)]
    if unread:
        return f"what {listed(unread)} {'holds' if len(unread) == 1 else 'hold'} was not looked at"
    lost = original.metrics_incomplete or rerun.metrics_incomplete
    if lost and EVERYTHING not in original.program.outputs:
        return f"not all metrics could be compared: {lost}"
    return None


def _not_watched(name: str, run: RunRecord, asked: str) -> str | None:
    if not run.readbacks:
        return f"no Python process of the {name} reported itself, so nothing says that it was watched"
    for readback in run.readbacks:
        if last_flags(readback).get(UNWATCHED):
            started = f"process {readback.pid} of the {name} started Python in an environment of its own"
            return f"{started}, without the variables REPRISE_*, so nothing says what that one did"
        found = last_flags(readback).get("trace")
        if with_torch(readback) and found != asked:
            said = "nothing" if found is None else str(found)[:200]
            return f"process {readback.pid} of the {name} was not traced as asked ({asked}): it says {said}"
    if run.traces and not any(map(with_torch, run.readbacks)):
        return f"the {name} left a trace, but none of its processes reported torch"
    return None


def nothing_to_trace(original: RunRecord) -> str:
    """What an `identical` without a trace stands on; "" where no trace was asked for."""
    if original.program.determinism.trace.tensors is TracedTensors.OFF:
        return "the spec turns the trace off, so only what the job left was compared"
    torch = any(with_torch(readback) for readback in original.readbacks)
    why = "no process took an optimizer step" if torch else "no process imported torch"
    return f"{why}, so there was nothing to trace, and only what the job left was compared"
