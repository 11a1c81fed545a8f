"""What is said of a run and of a verdict, and the exit codes that follow."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from orchestrator.cli.json_document import jsonable, print_document, run_document
from orchestrator.cli.terminal import summary
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Failure, Output, OutputStatus, State
from orchestrator.verdict.verdict_model import Outcome, Verdict


def verdict_of(outcome: Outcome) -> Verdict:
    return Verdict(outcome=outcome, original="a", rerun="b", summary="")


@pytest.mark.parametrize(
    ("state", "failure", "code"),
    [
        (State.SUCCEEDED, None, 0),
        (State.FAILED, Failure.JOB, 1),
        (State.FAILED, Failure.MEMORY, 1),
        (State.FAILED, Failure.TIMEOUT, 1),
        (State.FAILED, Failure.POLICY, 1),
        (State.FAILED, Failure.INFRASTRUCTURE, 5),
        (State.LOST, None, 5),
        (State.CANCELLED, None, 130),
    ],
)
def test_exit_codes_of_runs(
    make_run: Callable[..., RunRecord], state: State, failure: Failure | None, code: int
) -> None:
    run = make_run(state=state, failure=failure)
    assert summary.exit_code_of(run) == code
    assert summary.exit_code_of_rerun(run, None) == code
    assert summary.exit_code_of_rerun(run, verdict_of(Outcome.FAILED)) == (code or 1)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.FAILED])
def test_exit_codes_of_verdicts(make_run: Callable[..., RunRecord], outcome: Outcome) -> None:
    assert summary.exit_code_of_rerun(make_run(), verdict_of(outcome)) == outcome.exit_code


def test_what_is_said_of_a_run(
    make_run: Callable[..., RunRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    summary.print_run(run)
    summary.print_next(run)
    out = capsys.readouterr().out
    for fact in (
        "run        0123456789abcdef",
        "state      succeeded",
        run.image,
        "12.3 s",
        "epochs=3  lr=0.1  seed=7",
        "accuracy 0.981235",
        "loss nan",
        "main cccccccccccc  DIRTY",
        "packages   2",
        "cudnn.benchmark: False -> True",
        "2.0 KiB",
        run.outputs[0].digest.short,
        "rejected: symlink",
        f"reprise rerun {run.image}",
        f"reprise outputs {run.id} --to",
    ):
        assert fact in out, fact


def test_a_failure_says_whose_it_is_and_why(
    make_run: Callable[..., RunRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(
        state=State.FAILED, failure=Failure.MEMORY, message="killed\x1b[2J for memory", outputs=(), git=None
    )
    summary.print_run(run)
    summary.print_next(run)
    out = capsys.readouterr().out
    assert "state      failed (memory) killed for memory" in out
    assert f"reprise logs {run.id}" in out
    assert "reprise outputs" not in out


def test_a_long_list_of_outputs_is_shortened(
    make_run: Callable[..., RunRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    many = tuple(
        Output(path=f"{number:05d}", status=OutputStatus.KEPT, digest=make_run().image)
        for number in range(1000)
    )
    summary.print_run(make_run(outputs=many))
    out = capsys.readouterr().out
    assert "and 980 more" in out
    assert "00020" not in out


def test_the_run_document_is_complete_valid_and_stable(
    make_run: Callable[..., RunRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    document = run_document(run)
    assert document.keys() == (RunRecord.model_fields.keys() - {"series"}) | {"flags_changed"}
    print_document(document)
    text = capsys.readouterr().out
    read = json.loads(text, parse_constant=lambda word: pytest.fail(f"not JSON: {word}"))
    assert read["metrics"] == {"accuracy": 0.9812345678, "loss": "NaN"}
    assert read["started_at"] == "2026-11-23T12:00:13.500000Z"
    assert read["state"] == "succeeded"
    assert read["flags_changed"] == {"cudnn.benchmark": [False, True]}
    assert "patch" not in read["git"]
    assert list(read) == sorted(read)
    assert run_document(run, series=True)["series"] == [{"name": "loss", "step": 1, "value": "Infinity"}]


def test_a_document_holds_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_document({"name": "a\x1b[2J\u202e\x7f\x9b\udcff"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert all(character.isprintable() or character == "\n" for character in out)


def test_a_document_of_something_else_is_an_error() -> None:
    with pytest.raises(TypeError, match="object"):
        jsonable(object())


@pytest.mark.parametrize("outcome", Outcome)
def test_a_verdict_is_a_word_alone_then_the_reasons(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    summary.print_verdict(verdict_of(outcome), ["model.pt differs\x1b[2J"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["", outcome.value.upper().replace("_", " "), "  model.pt differs"]
    assert ("next:  reprise diff a b" in lines) is (outcome is not Outcome.IDENTICAL)


def test_without_a_verdict_there_is_nothing_to_explain(make_run: Callable[..., RunRecord]) -> None:
    assert summary.explanation_of(None, None, make_run()) == []
    assert summary.explanation_of(verdict_of(Outcome.IDENTICAL), make_run(), make_run())
