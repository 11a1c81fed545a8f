"""Whether two runs can be compared at all, and if not, what stands in the way."""

from __future__ import annotations

from orchestrator.message_wording import listed
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Failure, State
from orchestrator.structural_difference import unequal_names
from orchestrator.verdict.causes.readback_flags import reported


def failure_of(run: RunRecord) -> str | None:
    """Why a run did not succeed, in words; None where it did.

    A row that says `succeeded` without exit code 0, or beside a failure or an OOM kill, contradicts itself:
    it does not count as success.
    """
    if run.state is State.SUCCEEDED:
        against = [
            "no exit code"
            if run.exit_code is None
            else f"exit code {run.exit_code}"
            if run.exit_code
            else "",
            f"failure {run.failure.value}" if run.failure else "",
            "an out-of-memory kill" if run.oom_killed else "",
            "a stop before its end" if run.parted_at is not None else "",
        ]
        found = " and ".join(filter(None, against))
        return f"is recorded as succeeded with {found}, which cannot be" if found else None
    if not run.state.final:
        return f"is not finished ({run.state.value})"
    kind = f" ({run.failure.value})" if run.failure else ""
    message = run.message or (f"exit code {run.exit_code}" if run.exit_code else "")
    words = {State.FAILED: "failed", State.CANCELLED: "was cancelled", State.LOST: "was lost"}
    return f"{words[run.state]}{kind}" + (f": {message}" if message not in ("", run.state.value) else "")


def was_stopped(run: RunRecord) -> bool:
    """Whether a rerun was stopped where its trace parted from its original's."""
    return run.state is State.CANCELLED and run.parted_at is not None


def says_nothing(run: RunRecord) -> bool:
    """Whether a run ended, or did not begin, for reasons outside its job: no verdict can rest on it."""
    if was_stopped(run):
        return False
    return run.state in (State.CANCELLED, State.LOST) or run.failure is Failure.INFRASTRUCTURE


def not_the_same_program(original: RunRecord, rerun: RunRecord) -> list[str]:
    """Each reason why the two did not run the same thing on the same number of GPUs, the weightiest first.

    Under equal digests the rest must be equal too. Where it is not, the record or the image on disk was
    tampered with or damaged: an engine runs a layer that was edited on its disk under the old digest.
    """
    a, b = original, rerun
    reasons = []
    if a.image != b.image:
        reasons.append(f"another image ({a.image.short} vs {b.image.short})")
    if a.config_digest != b.config_digest:
        reasons.append(f"another image config ({a.config_digest.short} vs {b.config_digest.short})")
    if (a.base.digest, a.base.config_digest) != (b.base.digest, b.base.config_digest):
        reasons.append(f"another base ({a.base.digest.short} vs {b.base.digest.short})")
    if a.program.gpus != b.program.gpus:
        reasons.append(f"another world size ({a.program.gpus} vs {b.program.gpus} GPUs)")
    fields = _program_fields(a, b)
    if fields:
        reasons.append(f"another program ({listed(fields)})")
    if reported(a) and reported(b):
        for noun, left, right in (("source", a.source, b.source), ("packages", a.packages, b.packages)):
            names = unequal_names(left, right)
            if names:
                reasons.append(f"other {noun} found in the container ({listed(names)})")
    return reasons


def _program_fields(a: RunRecord, b: RunRecord) -> list[str]:
    left, right = (run.program.model_dump(mode="json", exclude={"gpus"}) for run in (a, b))
    found = []
    for name in unequal_names(left, right):
        inner = left[name], right[name]
        if isinstance(inner[0], dict) and isinstance(inner[1], dict):
            found += [f"{name}.{key}" for key in unequal_names(*inner)]
        else:
            found.append(name)
    return found
