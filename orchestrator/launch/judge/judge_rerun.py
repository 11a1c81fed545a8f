"""The verdict on a rerun, computed and recorded."""

from __future__ import annotations

from orchestrator.launch.judge.open_evidence import open_evidence
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import RunRecord
from orchestrator.record.runs.author import person
from orchestrator.verdict.comparability import failure_of, says_nothing
from orchestrator.verdict.verdict_model import Verdict


def judge(session: Session, record: RunRecord, watch: Watch) -> Verdict | None:
    """Compare a finished rerun with its original and write the verdict down.

    None for any other run, and for a rerun that says nothing of its original: cancelled, lost, not begun.
    """
    if record.rerun_of is None:
        return None
    if says_nothing(record):
        watch.note(f"no verdict: the rerun {failure_of(record)}, which says nothing of {record.rerun_of}")
        return None
    verdict = verdict_of(session, session.record.run(record.rerun_of), record, watch)
    record_verdict(session, verdict, record)
    return verdict


def verdict_of(session: Session, original: RunRecord, rerun: RunRecord, watch: Watch) -> Verdict:
    """The verdict over any two recorded runs; nothing is written."""
    # What compares is imported for reruns only: it would be 5% of every submit.
    from orchestrator.launch.judge.compare_in_container import find_contents
    from orchestrator.verdict.compare_runs import compare

    watch.phase("verdict", original.id)
    original, rerun = session.record.with_points(original), session.record.with_points(rerun)
    contents = find_contents(session, original, rerun, watch)
    return compare(original, rerun, open_evidence(session.store, original, rerun), contents)


def record_verdict(session: Session, verdict: Verdict, rerun: RunRecord) -> None:
    """Record a verdict in a row of its own, with who judged and the box that made the rerun."""
    session.record.add_verdict(verdict, rerun.box, person())
