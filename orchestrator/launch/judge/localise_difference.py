"""localise: a second, slow pass over two runs, which names the first operation whose bytes differ.

Each run is made once more from its own image with every operation of one optimizer step logged, which is
asked for from outside the image, so the digest stays the same. A pass is a recorded run of its own; its
description says what it is, and its logs are outputs, so that another box can compare with it.
"""

from __future__ import annotations

from enum import StrEnum

from orchestrator.digest import Digest
from orchestrator.errors import ExitCode, StoreError, UsageError
from orchestrator.launch.execute.attempt_plan import Terms
from orchestrator.launch.execute.execute_attempt import execute_locked
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.judge.open_evidence import open_evidence
from orchestrator.launch.session import Session
from orchestrator.launch.submit.find_inputs import located_inputs
from orchestrator.launch.submit.rerun_target import new_rerun, resolve
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import HistoryFilter, RunRecord, pass_description
from orchestrator.run.attempt_model import State
from orchestrator.run.collect.operation_logs import VARIABLE, is_ops_log
from orchestrator.run.hardware import box_id, choose_gpus, gpus
from orchestrator.value import Value
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.traces.compare_operations import (
    OpDifference,
    OpKind,
    OpsLog,
    compare_ops,
    read_header,
)
from orchestrator.verdict.traces.pair_processes import pairs_of
from orchestrator.verdict.verdict_model import Outcome, Verdict

NO_TRACE = {"REPRISE_TRACE": ""}  # it would have a gap where the operations are logged


class LocaliseConclusion(StrEnum):
    OPERATION = "operation"  # one took equal bytes and gave different ones
    INPUT = "input"  # other bytes came from outside of torch
    PATH = "path"  # the two passes called different operations
    EQUAL = "equal"  # the runs are identical, and so are the passes where they were made
    UNKNOWN = "unknown"  # this box cannot show it, or a pass left no log

    @property
    def exit_code(self) -> ExitCode:
        if self is LocaliseConclusion.EQUAL:
            return ExitCode.OK
        return ExitCode.NOT_COMPARABLE if self is LocaliseConclusion.UNKNOWN else ExitCode.DIFFERENT


class Localised(Value):
    original: str  # run ids
    rerun: str
    passes: tuple[str, ...]  # of the slow passes: of the original, of the rerun
    step: int
    conclusion: LocaliseConclusion
    difference: OpDifference | None
    operations: int  # that were equal before it
    summary: str  # one sentence
    state: State | None = None  # of a pass that did not succeed


def localise(
    session: Session, original: RunRecord, rerun: RunRecord, step: int | None, watch: Watch
) -> Localised:
    """Make the two passes and compare their logs. `step`: by default the first whose traces differ, else 0.

    UsageError for runs that are not over.
    """
    for run in (original, rerun):
        if not run.state.final:
            raise UsageError(f"run {run.id} is {run.state.value}, not finished", "wait for its end")
    original, rerun = session.record.with_points(original), session.record.with_points(rerun)
    verdict = compare(original, rerun, open_evidence(session.store, original, rerun))
    at = step if step is not None else verdict.first.step if verdict.first else 0
    facts = {"original": original.id, "rerun": rerun.id, "step": at}
    if verdict.outcome is Outcome.IDENTICAL and step is None:
        summary = "the two runs are identical, so there is nothing to find"
        return _localised(facts, LocaliseConclusion.EQUAL, summary)
    passes: list[RunRecord] = []
    for index, run in enumerate((original, rerun), 1):
        watch.note(f"pass {index} of 2: run {run.id} once more, with every operation of step {at} logged")
        passes.append(_recorded(session, run, at) or _pass(session, run, at, watch))
        if passes[-1].state is not State.SUCCEEDED:
            last = passes[-1]
            why = last.message or last.state.value
            summary = f"cannot be told: the pass over run {run.id} did not succeed: {why}"
            return _localised(facts, LocaliseConclusion.UNKNOWN, summary, passes, state=last.state)
    return _compared(session, facts, verdict, passes)


def _localised(
    facts: dict[str, object],
    conclusion: LocaliseConclusion,
    summary: str,
    passes: list[RunRecord] | None = None,
    difference: OpDifference | None = None,
    operations: int = 0,
    state: State | None = None,
) -> Localised:
    return Localised.model_validate(
        {
            **facts,
            "passes": tuple(run.id for run in passes or ()),
            "conclusion": conclusion,
            "difference": difference,
            "operations": operations,
            "summary": summary,
            "state": state,
        }
    )


def _recorded(session: Session, run: RunRecord, step: int) -> RunRecord | None:
    """A recorded pass over the run, made on the run's box, where that is another box."""
    if run.box == box_id(session.settings):
        return None
    for line in session.record.history.lines(HistoryFilter(job=run.job, states=(State.SUCCEEDED,))):
        if line.rerun_of != run.id:
            continue
        found = session.record.run(line.id)
        if found.description == pass_description(step) and found.box == run.box and _logs(found):
            return found
    return None


def _pass(session: Session, run: RunRecord, step: int, watch: Watch) -> RunRecord:
    target = resolve(session, run.id)
    choose_gpus(run.resources, gpus() if target.program.gpus else ())
    new = new_rerun(target, run, description=pass_description(step))
    with run_lock(session.settings, new.id):
        found = located_inputs(session, target.program.inputs, run.input_paths, watch, run=new.id)
        made, _ = session.record.submit(new)
        environment = {VARIABLE: f"{step}:1", **NO_TRACE}
        return execute_locked(
            session, made, watch, Terms(inputs=found.paths, stamps=found.stamps, environment=environment)
        )


def _logs(run: RunRecord) -> list[Digest]:
    return [output.digest for output in run.outputs if output.digest is not None and is_ops_log(output)]


def _compared(
    session: Session, facts: dict[str, object], verdict: Verdict, passes: list[RunRecord]
) -> Localised:
    step = facts["step"]
    try:
        pairs = _paired(session, passes)
        found, equal = _first(session, pairs)
    except (ValueError, StoreError) as error:
        return _localised(facts, LocaliseConclusion.UNKNOWN, f"cannot be told: {error}", passes)
    if found is not None:
        conclusion = LocaliseConclusion(found.kind.value)
        return _localised(facts, conclusion, _sentence(found), passes, found, found.equal)
    same = f"both passes made the same {equal:,} operations in step {step}, with the same bits"
    if verdict.outcome is Outcome.IDENTICAL:
        return _localised(facts, LocaliseConclusion.EQUAL, same, passes, operations=equal)
    if passes[0].box == passes[1].box:
        summary = (
            f"{same}; so this box cannot show it: run the same command on the box of the other run,"
            " or give another --step"
        )
    else:
        summary = f"{same}, each on the box of its run; give another --step"
    return _localised(facts, LocaliseConclusion.UNKNOWN, summary, passes, operations=equal)


def _paired(session: Session, passes: list[RunRecord]) -> list[tuple[OpsLog, OpsLog]]:
    """Logs of the same process side by side. ValueError where one has none, or they are not as many."""
    sides: list[list[OpsLog]] = []
    for run in passes:
        logs = []
        for digest in _logs(run):
            session.store.verify(digest)
            with session.store.open(digest) as stream:
                logs.append(OpsLog(*read_header(stream), digest))
        if not logs:
            raise ValueError(
                f"the pass {run.id} logged no operation: no process imported torch, or it took fewer steps"
            )
        sides.append(sorted(logs))
    ranks = [[log.rank for log in logs] for logs in sides]
    if ranks[0] != ranks[1]:
        raise ValueError(
            f"{len(ranks[0])} and {len(ranks[1])} processes logged operations, or other ranks did"
        )
    return list(pairs_of(sides[0], sides[1], session.store.open))


def _first(session: Session, pairs: list[tuple[OpsLog, OpsLog]]) -> tuple[OpDifference | None, int]:
    """The earliest difference of all processes, by step and call; the operations that are equal."""
    found, total = [], 0
    for a, b in pairs:
        with session.store.open(a.digest) as left, session.store.open(b.digest) as right:
            difference, equal = compare_ops(left, right)
        total += equal
        if difference is not None:
            found.append(difference)
    return min(found, key=lambda item: (item.step, item.call), default=None), total


def _sentence(found: OpDifference) -> str:
    what = found.describe()
    if found.kind is OpKind.PATH:
        return f"the two passes took different paths at {what}; the other one: {found.other}"
    if found.kind is OpKind.INPUT:
        before = (
            f"none of the {found.equal:,} operations before it made" if found.equal else "nothing seen made"
        )
        return (
            f"{what} was given other bytes ({found.tensor}), and {before} the difference: it came from"
            " outside of torch (data, numpy, the clock), an earlier step, or a kernel that is not seen"
        )
    if found.random:
        return f"{what} drew other random numbers ({found.tensor}): its generator was in another state"
    return f"{what} took equal inputs and gave other bits ({found.tensor})"
