"""The verdict on a rerun, and its row."""

from __future__ import annotations

from orchestrator.launch.person import person
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.model import RunRecord
from orchestrator.verdict.compare import compare
from orchestrator.verdict.model import Verdict


def judge(session: Session, record: RunRecord, watch: Watch) -> Verdict | None:
    """Compare a finished rerun with its original and write the verdict down; None for any other run."""
    if record.rerun_of is None:
        return None
    watch.phase("verdict", record.rerun_of)
    verdict = compare(session.record.run(record.rerun_of), record, session.store.open)
    session.record.add_verdict(verdict, record.box, person())
    return verdict
