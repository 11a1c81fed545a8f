"""Stored verdicts against the evidence that they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.audit.checks.ledger_checks import UNREADABLE
from orchestrator.audit.findings import Finding, Kind, Progress
from orchestrator.audit.reachability import is_away
from orchestrator.errors import StoreError, UsageError
from orchestrator.launch.judge.verify_verdicts import VerifiedVerdict, stored_verdicts, verify
from orchestrator.launch.session import Session

TOGETHER = 50  # reruns in one step: they often share their original
_ODD = (*UNREADABLE, UsageError, StoreError)


def verdict_findings(
    session: Session, runs: Sequence[str], progress: Progress, *, evidence: bool = False
) -> Iterator[Finding]:
    """Verdicts on these reruns. With `evidence`, missing or damaged blobs are findings, too: a full audit
    finds those in blob_checks.py.
    """
    for start in range(0, len(runs), TOGETHER):
        for checked in _together(session, runs[start : start + TOGETHER]):
            if isinstance(checked, Finding):
                yield checked
                continue
            if evidence:
                for kind, names in (
                    (Kind.BLOB_MISSING, checked.missing),
                    (Kind.BLOB_ALTERED, checked.damaged),
                ):
                    for name in names:
                        subject = f"evidence of the verdict on run {checked.run}"
                        yield Finding(kind=kind, subject=subject, detail=name, run=checked.run)
            if not checked.sound and not (checked.missing or checked.damaged):
                yield Finding(
                    kind=Kind.VERDICT,
                    subject=f"verdict on run {checked.run}",
                    detail=f"stored: {checked.stored}; the evidence gives {checked.recomputed}: "
                    + "; ".join(checked.differences[:3]),
                    run=checked.run,
                )
        progress(min(start + TOGETHER, len(runs)), len(runs))


def _together(session: Session, runs: Sequence[str]) -> Iterator[VerifiedVerdict | Finding]:
    """All at once; one by one where one of them raises."""
    try:
        lines = stored_verdicts(session, list(runs))
        found = list(verify(session, lines))
    except _ODD as error:
        if is_away(error):
            raise
        if len(runs) > 1:
            for run in runs:
                yield from _together(session, [run])
            return
        detail = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        yield Finding(kind=Kind.UNREADABLE, subject=f"verdict on run {runs[0]}", detail=detail, run=runs[0])
        return
    yield from found
    for run in sorted(set(runs) - {line.run for line in lines}):
        detail = "no verdict of it can be read, and the record has one"
        yield Finding(kind=Kind.UNREADABLE, subject=f"verdict on run {run}", detail=detail, run=run)
