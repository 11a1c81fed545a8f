from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from support.records import new_run

from orchestrator.errors import FencedError, RecordError, UsageError
from orchestrator.record.record import Record
from orchestrator.record.run_record import HistoryFilter, NewRun
from orchestrator.run.attempt_model import Failure, Output, OutputStatus, Readback, Result, State
from orchestrator.verdict.verdict_model import MetricDifference, Outcome, Verdict

DONE = Result(state=State.SUCCEEDED, exit_code=0)


def claimed(record: Record, new: NewRun) -> tuple[str, int]:
    run, _ = record.submit(new)
    return run, record.claim(run, "box", "boot", "pid 1")


def test_a_run_goes_from_queued_to_finished(record: Record) -> None:
    run, created = record.submit(new_run())
    assert created
    assert record.state(run) is State.QUEUED
    assert record.claim(run, "box", "boot", "pid 1") == 1
    assert record.state(run) is State.PREPARING
    record.save_plan(run, 1, '{"a":1}')
    record.take_over(run, 1, "pid 2")
    record.move(run, 1, State.RUNNING)
    record.move(run, 1, State.COLLECTING)
    opened = record.open_run(run)
    assert (opened.box, opened.boot, opened.plan, opened.attempt) == ("box", "boot", '{"a":1}', 1)
    record.finish(run, 1, DONE)
    assert record.run_with_points(run).state is State.SUCCEEDED
    assert record.open_runs("box") == []


def test_a_key_of_another_image_is_an_error(record: Record) -> None:
    """Whoever means another experiment by it would be given the old one's result."""
    first = new_run(key="monday")
    record.submit(first)
    with pytest.raises(UsageError, match=f"'monday' is that of run {first.id}, of another image") as caught:
        record.submit(new_run(key="monday", image="another"))
    assert "use another key" in (caught.value.hint or "")
    assert len(record.history.lines(HistoryFilter())) == 1


def test_the_same_key_is_the_same_run(record: Record) -> None:
    first = new_run(key="monday")
    assert record.submit(first) == (first.id, True)
    assert record.submit(new_run(key="monday", job="other")) == (first.id, False)
    assert record.submit(new_run(key="tuesday"))[1]


def test_a_run_is_claimed_once(record: Record) -> None:
    run, _ = claimed(record, new_run())
    with pytest.raises(FencedError, match="attempt 1 is preparing"):
        record.claim(run, "other", "boot", "pid 2")


@pytest.mark.parametrize(
    "write",
    [
        lambda record, run, attempt: record.take_over(run, attempt, "pid 9"),
        lambda record, run, attempt: record.save_plan(run, attempt, "{}"),
        lambda record, run, attempt: record.move(run, attempt, State.RUNNING),
        lambda record, run, attempt: record.finish(run, attempt, DONE),
    ],
)
@pytest.mark.parametrize("final", [False, True])
def test_a_stale_attempt_writes_nothing(record: Record, write: Callable[..., None], final: bool) -> None:
    run, attempt = claimed(record, new_run())
    if final:
        record.finish(run, attempt, Result(state=State.FAILED, failure=Failure.JOB, message="first"))
    before = record.run_with_points(run), record.open_run(run)
    for stale in (attempt,) if final else (attempt - 1, attempt + 1):
        with pytest.raises(FencedError):
            write(record, run, stale)
    assert (record.run_with_points(run), record.open_run(run)) == before


@pytest.mark.parametrize("state", [State.QUEUED, State.PREPARING, State.COLLECTING, State.SUCCEEDED])
def test_only_the_next_step_is_legal(record: Record, state: State) -> None:
    run, attempt = claimed(record, new_run())
    with pytest.raises(RecordError, match="cannot go from preparing to") as caught:
        record.move(run, attempt, state)
    assert not isinstance(caught.value, FencedError)
    assert record.state(run) is State.PREPARING


def test_an_open_state_finishes_nothing(record: Record) -> None:
    run, attempt = claimed(record, new_run())
    with pytest.raises(RecordError, match="cannot be finished as running"):
        record.finish(run, attempt, Result(state=State.RUNNING))


def test_cancel_is_remembered_for_open_runs_only(record: Record) -> None:
    run, attempt = claimed(record, new_run())
    assert not record.cancel_requested(run)
    assert record.request_cancel(run) is State.PREPARING
    assert record.cancel_requested(run)
    assert record.open_run(run).cancel_requested
    record.finish(run, attempt, Result(state=State.CANCELLED))
    other, attempt = claimed(record, new_run())
    record.finish(other, attempt, DONE)
    assert record.request_cancel(other) is State.SUCCEEDED
    assert not record.cancel_requested(other)


def test_open_runs_are_this_boxes_and_the_queued(record: Record) -> None:
    mine, _ = claimed(record, new_run())
    theirs, _ = record.submit(new_run())
    record.claim(theirs, "elsewhere", "boot", "pid 1")
    queued, _ = record.submit(new_run(rerun_of=mine))
    assert [item.id for item in record.open_runs("box")] == [mine, queued]
    assert [item.id for item in record.open_runs("elsewhere")] == [theirs, queued]
    assert record.open_runs("box")[1].rerun_of == mine
    assert record.open_runs("box")[1].box is None


def test_a_moment_without_a_zone_is_refused_and_nothing_is_written(record: Record) -> None:
    run, attempt = claimed(record, new_run())
    with pytest.raises(Exception, match="without a time zone"):
        record.finish(run, attempt, Result(state=State.LOST, started_at=datetime(2026, 1, 1), notes=("n",)))
    assert record.state(run) is State.PREPARING
    assert record.run_with_points(run).notes == ()
    record.finish(run, attempt, Result(state=State.LOST, started_at=datetime(2026, 1, 1, tzinfo=UTC)))


def test_a_step_that_no_column_holds_is_no_point_of_a_result() -> None:
    """Readers of a job's files drop and note it; a bundle that holds one is refused."""
    for step in (1 << 63, -(1 << 63) - 1):
        with pytest.raises(ValueError, match="64 bits"):
            Result(state=State.LOST, series=({"name": "loss", "step": step, "value": 1.0},))  # type: ignore[arg-type]


def test_half_a_surrogate_pair_stops_no_result(record: Record, finished: Callable[..., str]) -> None:
    """A job's JSON may hold one; it is no character, and no database takes it."""
    half, written = "a\ud800", "a\\ud800"
    readback = Readback(pid=1, argv=(half,), start={half: half, "x": float("nan")}, end=None)
    output = Output(path=half, status=OutputStatus.REJECTED, reason=half)
    facts = record.run_with_points(
        finished(
            {
                "message": half,
                "metrics": {half: 1.0},
                "series": ({"name": half, "value": 1.0},),
                "packages": {half: half, written: "another"},
                "source": {half: half},
                "notes": (half,),
                "outputs": (output,),
                "readbacks": (readback,),
            }
        )
    )
    assert (facts.message, facts.metrics, facts.notes) == (written, {written: 1.0}, (written,))
    assert facts.packages == {written: "another"}
    assert facts.source == {written: written}
    assert (facts.series[0].name, facts.outputs[0].path, facts.outputs[0].reason) == (written,) * 3
    assert repr(facts.readbacks) == repr((readback,))


def test_a_question_in_a_broken_encoding_is_answered(record: Record, finished: Callable[..., str]) -> None:
    finished()
    assert record.history.lines(HistoryFilter(job="a\udcff")) == []
    assert record.state("\udcff") is None
    assert record.history.runs_of_image("\udcff") == []
    with pytest.raises(UsageError):
        record.history.best("a\udcff", "b")
    with pytest.raises(UsageError):
        record.run_with_points("a\udcff")


def test_verdicts_are_found_from_both_sides(record: Record, finished: Callable[..., str]) -> None:
    original = finished()
    rerun = finished(rerun_of=original)
    nan = MetricDifference(name="loss", original=float("nan"), rerun=1.0, within=False)
    for outcome in (Outcome.DIFFERENT, Outcome.IDENTICAL):
        verdict = Verdict(outcome=outcome, original=original, rerun=rerun, summary="é", metrics=(nan,))
        record.add_verdict(verdict, "box", "ada")
    for run in (original, rerun):
        lines = record.history.verdicts(run)
        assert [line.outcome for line in lines] == ["different", "identical"]
        assert repr(Verdict.model_validate(lines[1].document)) == repr(verdict)
    assert record.history.verdicts(finished()) == []
    assert record.history.outcomes_of_reruns(original) == {"different": 1, "identical": 1}
    assert record.history.outcomes_of_reruns(rerun) == {}


@pytest.mark.parametrize("ask", ["run", "open_run", "request_cancel"])
def test_an_unknown_run_is_said_to_be_unknown(record: Record, ask: str) -> None:
    with pytest.raises(UsageError, match="no run 0123456789abcdef"):
        getattr(record, ask)("0123456789abcdef")
    assert record.state("0123456789abcdef") is None


def test_a_rerun_of_nothing_is_refused_whole(record: Record) -> None:
    new = new_run(rerun_of="0123456789abcdef")
    with pytest.raises(UsageError):
        record.submit(new)
    assert record.state(new.id) is None
    assert record.history.runs_of_image(new.image) == []


def test_an_id_is_taken_once(record: Record) -> None:
    first, _ = record.submit(new_run())
    with pytest.raises(RecordError, match=r"UNIQUE|unique"):
        record.submit(new_run(id=first, key="another"))
