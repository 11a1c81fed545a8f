"""The record in Python: over a real record and a real store, without an engine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.records import finish_run, new_run, no_points_are_read, stored_output

from orchestrator import api
from orchestrator.api.launch_runs import _param_text
from orchestrator.errors import RecordError, StoreError, UsageError
from orchestrator.launch.session import Session
from orchestrator.run.attempt_model import Failure, Log, MetricPoint, Output, OutputStatus, State
from orchestrator.spec.jobfile.input_reference import input_place

A, B = "aaaa000000000001", "bbbb000000000002"
MODEL = b"\x00weights" * 1000
LOG = b"epoch 1\n\x1b[31m<b>red</b>\x1b[0m\n"
MARKS = "<script>alert(1)</script>\"'&"
EVIL = f"{MARKS}\x1b]0;x\x07\u202e"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REPRISE_DATABASE_URL", "REPRISE_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REPRISE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def session(home: Path) -> Iterator[Session]:
    with Session.open() as session:
        yield session


@pytest.fixture
def two(session: Session) -> None:
    log = session.store.put_bytes(LOG)
    failed = {"state": State.FAILED, "failure": Failure.JOB, "message": EVIL}
    for run, rate, end in ((A, 0.1, {}), (B, 0.5, failed)):
        finish_run(
            session.record,
            new_run(id=run, image=run, params={"lr": rate}, seed=7),
            metrics={"loss": rate, MARKS: 1.0},
            series=[MetricPoint(name="loss", step=step, value=1.0 / step) for step in (1, 2)],
            outputs=(
                stored_output(session.store, "model.pt", MODEL),
                Output(path="shadow", status=OutputStatus.REJECTED, reason="symlink"),
            ),
            log=Log(digest=log, size=len(LOG), truncated=False),
            **end,
        )


def test_runs_are_a_sequence_asked_for_as_on_the_command_line(two: None) -> None:
    runs = api.runs()
    assert ([run.id for run in runs], len(runs), runs.more) == ([B, A], 2, False)
    assert [run.id for run in api.runs(where="params.lr < 0.2")] == [A]
    assert [run.id for run in api.runs(sort="-metrics.loss", limit=1)] == [B]
    assert api.runs(limit=1).more and runs[-1] == runs[1:][0] == api.run(A)
    assert [run.id for run in api.runs(status="failed", by="ada", job="digits")] == [B]
    assert len(api.runs(since=datetime.now(UTC) - timedelta(hours=1), reruns=False)) == 2
    first = runs[1]
    assert (first.params, first.metrics["loss"], first.seed, first.state) == (
        {"lr": 0.1},
        0.1,
        7,
        "succeeded",
    )
    assert (runs[0].failure, runs[0].job, runs[0].submitted_by) == ("job", "digits", "ada")


@pytest.mark.parametrize(
    "asked", [{"where": "params.lr <"}, {"status": "done"}, {"limit": 0}, {"since": datetime(2026, 1, 1)}]
)
def test_a_bad_question_is_a_usage_error(two: None, asked: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        api.runs(**asked)  # type: ignore[arg-type]


def test_a_run_has_its_series_outputs_and_log(two: None, monkeypatch: pytest.MonkeyPatch) -> None:
    run = api.run("latest")
    with monkeypatch.context() as patched:
        no_points_are_read(patched)  # all of them, of every metric
        assert (run.id, run.series("loss")) == (B, api.Curve([1, 2], [1.0, 0.5]))
        assert run.series(MARKS) == api.Curve([None], [1.0]), "a metric of one value"
        with pytest.raises(UsageError) as caught:
            run.series("los")
    assert "did you mean loss" in (caught.value.hint or "")
    assert [item.path for item in run.outputs] == ["model.pt", "shadow"]
    with run.open("model.pt") as stream:
        assert stream.read() == MODEL
    for path in ("model", "shadow", "../model.pt"):
        with pytest.raises(UsageError):
            run.open(path)
    assert run.log == "epoch 1\n<b>red</b>\n"
    assert api.run(A[:4]).record.program.params == {"lr": 0.1}


def test_outputs_are_gone_through_once_however_many_are_opened(
    two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may have 100,000; who opens all of them goes through them once, not 100,000 times."""
    asked: list[int] = []
    outputs = api.run(A).outputs
    monkeypatch.setattr(api.Run, "outputs", property(lambda self: asked.append(1) or outputs))
    run = api.run(A)
    for _ in range(3):
        with run.open("model.pt") as stream:
            assert stream.read() == MODEL
    assert len(asked) == 1


def test_altered_bytes_are_never_given(two: None, session: Session) -> None:
    run = api.run(A)
    digest = run.outputs[0].digest
    assert digest is not None
    with session.store.file(digest) as path:
        path.chmod(0o600)
        path.write_bytes(MODEL[:-1] + b"x")
    with pytest.raises(StoreError):
        run.open("model.pt")


def test_looking_makes_and_changes_nothing(home: Path, two: None, session: Session) -> None:
    session.close()
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    api.runs()[0]._repr_html_()
    assert api.run(A).log and api.run(A).verdicts == []
    after = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert after == before


def test_no_record_is_made_and_an_older_one_is_left(home: Path, two: None, session: Session) -> None:
    with session.record._database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(RecordError, match="schema 0001"):
        api.runs()
    for path in home.glob("reprise.db*"):
        path.unlink()
    with pytest.raises(RecordError) as caught:
        api.runs()
    assert "reprise submit" in (caught.value.hint or "") and not list(home.glob("reprise.db*"))


def test_a_notebook_shows_a_table_whose_texts_are_only_text(two: None) -> None:
    class Tags(HTMLParser):
        seen: set[str] = set()

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen |= {tag, *(name for name, _ in attrs)}

    for shown in (api.runs()._repr_html_(), api.run(B)._repr_html_()):
        parser = Tags()
        parser.feed(shown)
        known = {"table", "tbody", "td", "th", "thead", "tr", "div", "p", "small", "style"}
        assert parser.seen <= known and "&lt;script&gt;" in shown
        assert not re.search("[\x00-\x08\x1b\u202e]", shown)
    assert repr(api.runs()) == "Runs(2 runs)"


def test_a_table_as_columns(two: None) -> None:
    runs = api.runs(sort="params.lr")
    assert runs.columns("run,params.lr") == {"run": [A, B], "params.lr": [0.1, 0.5]}
    assert runs.columns(["seed"]) == {"seed": [7, 7]}
    for package, method in (("pandas", runs.to_pandas), ("polars", runs.to_polars)):
        try:
            frame = method("run,params.lr")
        except UsageError as error:
            assert f"{package} is not installed" in error.message
        else:
            assert list(frame["params.lr"]) == [0.1, 0.5]


def test_what_needs_another_place_says_so(home: Path) -> None:
    with pytest.raises(UsageError, match="detach"):
        api.submit("job.yaml", detach=True)
    with pytest.raises(UsageError, match="detach"):
        api.rerun(A, detach=True)
    with pytest.raises(api.RepriseError):
        api.submit(home / "none.yaml", params={"lr": 0.1})


def test_inputs_of_a_rerun_are_given_as_paths_or_references(home: Path) -> None:
    with pytest.raises(UsageError, match="no run 0123 is recorded"):
        api.rerun("0123", inputs={"set": home, "more": "~/set", "named": "data:mnist@2"})
    assert input_place("data:mnist@2") == "data:mnist@2"
    assert input_place("set") == str(Path.cwd() / "set")


def test_numbers_of_numpy_are_parameters_and_lists_are_not() -> None:
    numpy = pytest.importorskip("numpy")
    found = [_param_text("lr", value) for value in (numpy.float64(0.1), numpy.int64(3), numpy.bool_(True))]
    assert found == ["0.1", "3", "true"]
    for value in ([1, 2], None, numpy.zeros(2)):
        with pytest.raises(UsageError, match="params: lr"):
            _param_text("lr", value)  # type: ignore[arg-type]
