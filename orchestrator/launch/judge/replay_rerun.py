"""rerun --replay: where a rerun differs, a second run on this box tells the script from the hardware."""

from __future__ import annotations

from orchestrator.launch.judge.judge_rerun import judge, record_verdict, verdict_of
from orchestrator.launch.session import Session
from orchestrator.launch.submit.rerun_run import RerunRequest, rerun, rerun_of_target
from orchestrator.launch.submit.rerun_target import resolve
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import RunRecord
from orchestrator.value import Value
from orchestrator.verdict.comparability import says_nothing
from orchestrator.verdict.judge_replay import ReplayConclusion, Second, conclude, no_second_run
from orchestrator.verdict.verdict_model import Verdict


class Replayed(Value):
    """A rerun, its verdict, and what was made of it."""

    run: RunRecord
    verdict: Verdict | None
    conclusion: ReplayConclusion
    second: Second | None  # None: no second run was made


def replay(session: Session, request: RerunRequest, watch: Watch) -> Replayed:
    """As `rerun`. Where the verdict is `different`, run once more and compare the two runs of this box.

    Three verdicts are recorded: rerun against original, second against rerun, second against original.
    """
    first, verdict = rerun(session, request, watch)
    found = no_second_run(verdict, first)
    if found is not None or verdict is None:
        assert found is not None  # noqa: S101  (no_second_run always answers for None)
        return Replayed(run=first, verdict=verdict, conclusion=found, second=None)
    original = session.record.run(verdict.original)
    watch.note("the rerun differs; a second run tells the script from the hardware")
    target = resolve(session, request.target)
    with rerun_of_target(session, target, original, request, watch) as run:
        against_rerun = verdict_of(session, first, run, watch)
        if not says_nothing(run):
            record_verdict(session, against_rerun, run)
        # Last: the history shows the latest verdict of a run.
        against_original = judge(session, run, watch) or verdict_of(session, original, run, watch)
    second = Second(run=run, against_original=against_original, against_rerun=against_rerun)
    conclusion = conclude(original, first, second)
    return Replayed(run=first, verdict=verdict, conclusion=conclusion, second=second)
