"""predict, compare and verify over a real record and a real store; no engine answers here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.records import digest_of, finish_run, new_run, stored_output

from orchestrator.errors import ExitCode
from orchestrator.launch.judge.judge_rerun import judge
from orchestrator.launch.session import Session
from orchestrator.launch.watch import KeptNotes, Silent
from orchestrator.record.history import queries
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Failure, Fingerprint, State
from orchestrator.run.hardware import box_id, host_bits
from orchestrator.spec.jobfile.job_spec import Determinism, Resources, Trace, TracedTensors
from orchestrator.spec.program import Program
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.verdict_model import Outcome, Phase, TraceDifference, Verdict

Call = Callable[..., Any]
A, B, C = "aaaa000000000001", "bbbb000000000002", "cccc000000000003"


@pytest.fixture
def session(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with Session.open() as session:
        yield session


def fingerprint(**bits: Any) -> Fingerprint:
    """This machine's, but for these bits."""
    bit_class = host_bits(()) | {"effective": {}, **bits}
    return Fingerprint(bit_class=bit_class, perf_class={}, identity={}, bit_digest=digest_of("bits"))


@pytest.fixture
def recorded(session: Session) -> Callable[..., RunRecord]:
    """`recorded(A, b"bytes")`: a finished run of one program whose output has these bytes."""

    def record(run: str, data: bytes, rerun_of: str | None = None, gpus: int = 0, **result: Any) -> RunRecord:
        trace = Determinism(trace=Trace(tensors=TracedTensors.OFF))
        program = Program(name="digits", command=("python", "train.py"), determinism=trace, gpus=gpus)
        new = new_run(id=run, program=program, resources=Resources(gpus=gpus), rerun_of=rerun_of)
        facts = {"outputs": (stored_output(session.store, "w.bin", data),), "fingerprint": fingerprint()}
        finish_run(session.record, new, box_id(session.settings), **(facts | result))
        return session.record.run_with_points(run)

    return record


def damage(session: Session, run: str, data: bytes) -> Path:
    """Other bytes in the place of the run's output."""
    digest = session.record.run(run).outputs[0].digest
    assert digest is not None
    path = session.store.path(digest)
    path.chmod(0o644)
    path.write_bytes(data)
    return path


@pytest.fixture
def judged(session: Session, recorded: Call) -> None:
    """A; B, a rerun that is identical; C, one that is not; both judged."""
    first = recorded(A, b"0123456789")
    for again in (recorded(B, b"0123456789", A), recorded(C, b"0123x56789", A)):
        session.record.add_verdict(compare(first, again, session.store.open), "0123456789abcdef", "ada")


def test_predict_on_the_same_box(reprise: Call, judged: None) -> None:
    code, out, err = reprise("rerun", "--predict", "aaaa")
    assert (code, err) == (0, "")
    assert out.startswith("EQUAL BITS EXPECTED\n")
    assert "earlier reruns of it: 1 different, 1 identical" in out
    assert reprise("rerun", "--predict", "aaaa", "--quiet") == (0, "bitwise\n", "")
    document = reprise.json("rerun", "aaaa", "--predict")
    assert document["original"] == A
    assert (document["same"], document["same_box"], document["fields"]) == (True, True, {})


def test_predict_reads_no_verdict(reprise: Call, judged: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may hold thousands of files that differ; only its outcome is said."""

    def fail(_row: Any) -> None:
        raise AssertionError("a whole verdict is read")

    monkeypatch.setattr(queries, "_verdict_line", fail)
    assert "earlier reruns of it: 1 different, 1 identical" in reprise("rerun", "--predict", "aaaa").out


def test_predict_by_digest_takes_the_run_that_a_rerun_would_take(
    reprise: Call, session: Session, judged: None
) -> None:
    digest = session.record.run(A).image
    assert reprise.json("rerun", "--predict", digest)["original"] == A
    assert reprise.json("rerun", "--predict", digest[:20], "--against", "cccc")["original"] == C


def test_predict_of_another_class_names_the_fields(reprise: Call, recorded: Call) -> None:
    recorded(A, b"x", fingerprint=fingerprint(cpu_vendor="Acme"))
    code, out, _ = reprise("rerun", "--predict", "aaaa")
    assert code == ExitCode.NOT_COMPARABLE
    assert "EQUAL BITS NOT PROMISED" in out
    assert any(line.split()[:2] == ["cpu_vendor", "Acme"] for line in out.splitlines())
    assert reprise("rerun", "--predict", "aaaa", "-q").out == "not promised\n"


def test_predict_on_a_box_without_the_gpus(reprise: Call, recorded: Call) -> None:
    recorded(A, b"x", gpus=64)
    code, out, _ = reprise("rerun", "--predict", "aaaa", "--json")
    assert code == ExitCode.NOT_COMPARABLE
    document = json.loads(out)
    assert "this box cannot run it" in document["summary"]
    assert list(document["fields"]) == ["gpus"]


def test_predict_of_a_run_without_hardware(reprise: Call, recorded: Call) -> None:
    recorded(A, b"x", fingerprint=None)
    assert reprise("rerun", "--predict", "aaaa", "-q") == (ExitCode.NOT_COMPARABLE, "unknown\n", "")


def test_predict_runs_and_writes_nothing(reprise: Call, session: Session, judged: None) -> None:
    reprise("rerun", "--predict", "aaaa")
    assert len(reprise.json("history")["runs"]) == 3


@pytest.mark.parametrize(
    "line",
    [
        ["rerun", "--predict"],
        ["rerun", "--predict", "dddd"],
        ["rerun", "--predict", "sha256:12"],
        ["rerun", "--predict", "sha256:1234567890"],
        ["rerun", "--predict", "aaaa", "--against", "dddd"],
        ["rerun", "aaaa", "--predict", "--replay"],
        ["submit", "job.yaml", "--twice", "--dry-run"],
        ["compare", "aaaa"],
        ["compare", "aaaa", "dddd"],
        ["compare", "aaaa", "aaaa", "--record"],
        ["audit", "bbbb"],
        ["audit", "bbbb", "--only", "verdicts", "--only", "rows"],
        ["audit", "bbbb", "--offline", "."],
        ["audit", "--only", "verdicts", "dddd"],
        ["audit", "--only", "verdicts", "aaaa"],
        ["audit", "--only", "verdicts", "bbbb", "--job", "digits"],
        ["compare", "aaaa", "bbbb", "--operations", "--record"],
        ["compare", "aaaa", "bbbb", "--step", "1"],
        ["audit", "--only", "verdicts", "--job", "digts"],
    ],
)
def test_mistakes(reprise: Call, judged: None, line: list[str]) -> None:
    code, out, err = reprise(*line)
    assert (code, out) == (ExitCode.USAGE, "")
    assert err.startswith("reprise: ")
    assert "hint: " in err


def test_verify_of_an_original_names_its_reruns(reprise: Call, judged: None) -> None:
    assert f"reprise audit --only verdicts {B} {C}" in reprise("audit", "--only", "verdicts", "aaaa").err


def test_compare(reprise: Call, session: Session, recorded: Call) -> None:
    recorded(A, b"same")
    recorded(B, b"same")
    recorded(C, b"some")
    assert reprise("compare", "aaaa", "bbbb", "-q") == (0, "identical\n", "")
    code, out, _ = reprise("compare", "aaaa", "cccc")
    assert code == ExitCode.DIFFERENT
    assert "DIFFERENT" in out
    assert "w.bin" in out
    assert session.record.history.verdicts(A) == [], "nothing is written without being asked for"
    document = reprise.json("compare", "aaaa", "cccc", "--record")
    assert document["recorded"] is True
    assert document["verdict"]["files"][0]["first_byte"] == 1
    [line] = session.record.history.verdicts(C)
    assert (line.outcome, line.original, line.run, line.box) == (
        "different",
        A,
        C,
        box_id(session.settings),
    )
    assert reprise("compare", "aaaa", "aaaa").code == ExitCode.NOT_COMPARABLE


def test_compare_of_a_failed_run_is_failed(reprise: Call, recorded: Call) -> None:
    recorded(A, b"x")
    recorded(B, b"x", state=State.FAILED, failure=Failure.JOB, exit_code=7, message="exit code 7")
    assert reprise("compare", "aaaa", "bbbb", "-q") == (ExitCode.JOB_FAILED, "failed\n", "")


def test_show_says_where_a_verdict_was_given_and_what_differed_first(
    reprise: Call, session: Session, judged: None
) -> None:
    traced = Verdict(
        outcome=Outcome.DIFFERENT,
        original=A,
        rerun=B,
        summary="different",
        first=TraceDifference(phase=Phase.BACKWARD, step=3, tensor="fc.weight"),
    )
    session.record.add_verdict(traced, None, "grace")
    lines = [" ".join(line.split()) for line in reprise("show", "aaaa").out.splitlines()]
    assert any(line.startswith(f"different original of {C} w.bin at byte 4 ") for line in lines)
    assert any(line.startswith(f"different original of {B} backward, step 3, fc.weight ") for line in lines)
    assert sum(line.endswith("ada 01234567") for line in lines) == 2
    assert sum(line.endswith("grace -") for line in lines) == 1


VERIFY = ("audit", "--only", "verdicts")


def test_verdicts_that_agree(reprise: Call, judged: None) -> None:
    code, out, err = reprise(*VERIFY, "bbbb", "cccc", "aaaa")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "0 wrong, 1 to note; looked at: verdicts on 2 runs"
    assert f"run {A}: no verdict on it as a rerun is recorded" in out
    for options in ([], ["--job", "digits"], ["cccc", "cccc"]):
        document = reprise.json(*VERIFY, *options)
        assert document == {"findings": [], "wrong": 0, "unknown": 0, "notes": 0}


def found_by(reprise: Call, run: str) -> list[tuple[str, str]]:
    code, out, _ = reprise(*VERIFY, run, "--json")
    assert code == ExitCode.AUDIT
    findings = json.loads(out)["findings"]
    assert {finding["run"] for finding in findings} == {run}
    return [(finding["kind"], finding["detail"]) for finding in findings]


def test_evidence_that_is_changed_or_missing(reprise: Call, session: Session, judged: None) -> None:
    path = damage(session, C, b"0123456789")
    assert found_by(reprise, C) == [("blob altered", f"{C}: w.bin")]
    path.unlink()
    assert found_by(reprise, C) == [("blob missing", f"{C}: w.bin")]


def test_the_bytes_of_equal_outputs_are_read_too(reprise: Call, session: Session, judged: None) -> None:
    damage(session, B, b"012345678!")
    assert found_by(reprise, B) == [("blob altered", f"{A}: w.bin"), ("blob altered", f"{B}: w.bin")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outcome": Outcome.IDENTICAL, "files": ()}, "outcome: stored identical, recomputed different"),
        ({"files": ()}, "files: stored nothing"),
        ("first_byte", 'files: path "w.bin": first_byte stored 7, recomputed 4'),
        ({"first": TraceDifference(phase=Phase.INIT, step=0)}, "first: stored rank 0, recomputed nothing"),
    ],
)
def test_a_forged_verdict_is_found(
    reprise: Call, session: Session, recorded: Call, change: Any, words: str
) -> None:
    first, again = recorded(A, b"0123456789"), recorded(C, b"0123x56789", A)
    honest = compare(first, again, session.store.open)
    if change == "first_byte":
        change = {"files": (honest.files[0].model_copy(update={"first_byte": 7}),)}
    session.record.add_verdict(honest.model_copy(update=change), None, "mallory")
    [(kind, detail)] = found_by(reprise, C)
    assert kind == "verdict differs"
    assert words in detail
    before = session.record.history.verdicts(C)
    reprise(*VERIFY, C)
    assert session.record.history.verdicts(C) == before, "an audit writes nothing"


NO_VERDICT: list[dict[str, Any]] = [
    {"state": State.CANCELLED, "message": "cancelled"},
    {"state": State.LOST, "message": "the machine was restarted"},
    {"state": State.FAILED, "failure": Failure.INFRASTRUCTURE, "message": "the image cannot be pulled"},
]


@pytest.mark.parametrize("ended", NO_VERDICT, ids=["cancelled", "lost", "not begun"])
def test_a_rerun_that_did_not_run_to_its_end_is_no_verdict(
    reprise: Call, session: Session, recorded: Call, ended: dict[str, Any]
) -> None:
    recorded(A, b"x")
    notes = KeptNotes()
    assert judge(session, recorded(B, b"x", A, exit_code=None, **ended), notes) is None
    assert session.record.history.verdicts(A) == session.record.history.verdicts(B) == []
    (said,) = notes.notes
    assert said.startswith("no verdict: the rerun ")
    ran = reprise("compare", A, B, "--record")
    assert (ran.code, "says nothing of its bits" in ran.err) == (ExitCode.USAGE, True)
    assert [run["verdict"] for run in reprise.json("history")["runs"]] == [None, None]


@pytest.mark.parametrize("failure", [Failure.JOB, Failure.MEMORY, Failure.TIMEOUT, Failure.POLICY])
def test_a_rerun_whose_job_failed_is_one(session: Session, recorded: Call, failure: Failure) -> None:
    recorded(A, b"x")
    failed = recorded(B, b"x", A, state=State.FAILED, failure=failure, exit_code=3, message="why")
    verdict = judge(session, failed, Silent())
    assert verdict is not None
    assert (
        [line.outcome for line in session.record.history.verdicts(A)] == [verdict.outcome.value] == ["failed"]
    )
