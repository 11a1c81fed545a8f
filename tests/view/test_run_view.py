"""A run's document and its page."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.finished_run import make_run
from support.records import digest_of

from orchestrator.record.run_record import InputOrigin, RunAnnotations, RunRecord
from orchestrator.run.attempt_model import (
    Failure,
    LoggedParam,
    MetricPoint,
    Output,
    OutputStatus,
    Readback,
    State,
    TraceFile,
)
from orchestrator.spec.jobfile.placeholders import SHELL
from orchestrator.view.forms.json_form import json_text, jsonable
from orchestrator.view.runs.run_view import run_document, run_view, shown_run
from orchestrator.view.verdict_view import rerun_view

Read = Callable[..., str]


def test_what_is_said_of_a_run(read: Read) -> None:
    program = make_run().program.model_copy(update={"params": {"lr": 0.1, "epochs": 3}, "seed": 7})
    rejected = Output(path="shadow", status=OutputStatus.REJECTED, reason="symlink")
    outputs = (*make_run().outputs, rejected)
    run = make_run(program=program, outputs=outputs, metrics={"accuracy": 0.9812345678, "loss": float("nan")})
    out = read(run_view(run).page)
    for fact in (
        "run         0123456789abcdef",
        "state       succeeded",
        run.image,
        "12.3 s",
        "epochs=3  lr=0.1  seed=7",
        "accuracy 0.981235",
        "loss nan",
        "cccccccccccc  DIRTY",
        "packages    2",
        "benchmark: False -> True",
        "5 B",
        digest_of("model").short,
        "rejected: symlink",
        f"reprise rerun {run.image}",
        f"reprise outputs {run.id} --to",
    ):
        assert fact in out, fact


def test_what_a_script_logged_is_said_with_its_file(read: Read) -> None:
    many = {f"p{number:02}": LoggedParam(value=number, source="b/params.yaml") for number in range(14)}
    run = make_run(logged={"lr": LoggedParam(value=0.2, source="a/hparams.yaml"), **many})
    out = " ".join(read(run_view(run).page).split())
    assert "logged lr=0.2 (a/hparams.yaml)" in out
    assert "p11=11 and 2 more (b/params.yaml)" in out and "p12" not in out
    assert jsonable(run_document(run))["logged"]["lr"] == {"value": 0.2, "source": "a/hparams.yaml"}


def test_what_the_runtime_says_of_itself_is_no_flag_that_the_script_moved(read: Read) -> None:
    start, end = (
        {"trace": "all:1", "cudnn.benchmark": False},
        {"trace": "failed: OSError", "python.unwatched": True},
    )
    run = make_run(readbacks=(Readback(pid=7, argv=("python",), start=start, end={**start, **end}),))
    assert run_document(run)["flags_changed"] == {}
    out = " ".join(read(run_view(run).page).split())
    assert "the script changed" not in out
    assert "process 7 started Python without the variables REPRISE_*: it was not watched" in out


def test_an_origin_that_is_not_so_here_is_only_said(read: Read) -> None:
    program = make_run().program.model_copy(update={"inputs": {"set": digest_of("set")}})
    origins = {"set": InputOrigin(asked="data:mnist", data="mnist", version=1)}
    run = make_run(program=program, input_origins=origins)
    assert "(mnist@1, asked for as data:mnist)" in read(shown_run(run, RunAnnotations(), ()).page)
    shown = shown_run(run, RunAnnotations(), (), untrue={"set"})
    said = "(said to be mnist@1, asked for as data:mnist, which is other bytes here)"
    assert said in " ".join(read(shown.page).split())
    assert shown.document["untrue_origins"] == ["set"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((*SHELL, "python train.py --lr 0.1"), "command     python train.py --lr 0.1\n"),
        (("python", "a b.py"), "command     python 'a b.py'\n"),
        ((*SHELL, "x" * 5000), "x…\n"),
    ],
)
def test_a_run_says_its_command_as_the_job_file_does(read: Read, command: tuple[str, ...], said: str) -> None:
    program = make_run().program.model_copy(update={"command": command})
    assert said in read(run_view(make_run(program=program)).page)


def test_a_failure_says_whose_it_is_and_why(read: Read) -> None:
    message = "killed\x1b[2J for memory"
    run = make_run(state=State.FAILED, failure=Failure.MEMORY, message=message, outputs=(), git=None)
    out = read(run_view(run).page)
    assert "state       failed (memory): killed for memory" in out
    assert f"reprise logs {run.id}" in out
    assert "reprise outputs" not in out


def test_a_long_list_of_outputs_is_shortened(read: Read) -> None:
    many = tuple(
        Output(path=f"{number:05d}", status=OutputStatus.KEPT, digest=digest_of("x"))
        for number in range(1000)
    )
    out = read(run_view(make_run(outputs=many)).page)
    assert "and 980 more" in out
    assert "00020" not in out


def test_the_document_of_a_run_is_complete_valid_and_stable() -> None:
    run = make_run(series=(MetricPoint(name="loss", step=1, value=float("inf")),))
    document = run_document(run)
    assert document.keys() == (RunRecord.model_fields.keys() - {"series"}) | {"flags_changed"}
    text = json_text(document)
    read = json.loads(text, parse_constant=lambda word: pytest.fail(f"not JSON: {word}"))
    assert read["metrics"] == {"accuracy": 0.98, "loss": "NaN"}
    assert read["started_at"] == "2026-11-23T12:00:13.500000Z"
    assert read["state"] == "succeeded"
    assert read["flags_changed"] == {"benchmark": [False, True]}
    assert "patch" not in read["git"]
    assert list(read) == sorted(read)
    points = jsonable(run_document(run, series=True))["series"]
    assert points == [{"name": "loss", "step": 1, "value": "Infinity"}]


def test_no_list_is_made_into_json_for_a_page() -> None:
    """A run may have 100,000 outputs, of which a page shows 20."""
    run = make_run()
    for view in (run_view(run), shown_run(run, RunAnnotations(), ())):
        assert view.document["outputs"] is run.outputs
        assert view.document["source"] is run.source
    assert rerun_view(run, run, None).document["run"]["outputs"] is run.outputs


def test_a_process_that_was_ended_did_not_say_its_steps(read: Read) -> None:
    cut = TraceFile(
        rank=0, world=1, pid=7, digest=digest_of("trace"), size=1000, steps=0, events=470, complete=False
    )
    whole = cut.model_copy(update={"steps": 5, "complete": True})
    assert "trace       470 events, 1000 B, incomplete\n" in read(run_view(make_run(traces=(cut,))).page)
    both = "trace       5 steps, 940 events, 2.0 KiB in 2 processes, incomplete\n"
    assert both in read(run_view(make_run(traces=(whole, cut))).page)
