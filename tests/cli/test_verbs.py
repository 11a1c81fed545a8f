"""Verbs that look, over a real record and a real store; no engine is needed for any of them."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.records import finish_run, new_run, no_points_are_read, stored_output

from orchestrator.digest import Digest
from orchestrator.errors import ExitCode
from orchestrator.launch.session import Session
from orchestrator.record.run_record import RunRecord, Wanted, pass_description
from orchestrator.record.runs import read_run
from orchestrator.run.attempt_model import Failure, Log, MetricPoint, Output, OutputStatus, Result, State
from orchestrator.verdict.verdict_model import Outcome, Verdict

LOG = b"epoch 1\n\r 50%\r100%\n\x1b]0;title\x07done \x1b[31mred\x1b[0m\xff\n"
MODEL = b"weights" * 100

Call = Callable[..., Any]


@pytest.fixture
def recorded(session: Session) -> Callable[..., RunRecord]:
    """Record a finished run, as an executor would; returns it as read back."""

    def record(run: str, *, params: dict[str, Any] | None = None, **result: Any) -> RunRecord:
        params = params or {"lr": 0.1}
        facts: dict[str, Any] = {
            "seconds": 2.5,
            "metrics": {"accuracy": 0.9},
            "outputs": (
                stored_output(session.store, "model.pt", MODEL),
                Output(path="link", status=OutputStatus.REJECTED, reason="symlink"),
            ),
            "log": Log(digest=session.store.put_bytes(LOG), size=len(LOG), truncated=False),
        }
        new = new_run(id=run, params=params, seed=7, image=f"image of {params}")
        finish_run(session.record, new, **(facts | result))
        return session.record.run(run)

    return record


A, B, C = "aaaa000000000001", "bbbb000000000002", "cccc000000000003"


@pytest.fixture
def three(recorded: Callable[..., RunRecord]) -> None:
    recorded(A)
    recorded(B, params={"lr": 0.5}, metrics={"accuracy": 0.95})
    recorded(
        C, params={"lr": 2.0}, state=State.FAILED, failure=Failure.JOB, message="exit code 7", exit_code=7
    )


def test_history(reprise: Call, three: None) -> None:
    """What is the same in all runs takes no room; the table fits into 80 columns."""
    code, out, err = reprise("history")
    header, *lines = out.splitlines()
    assert header.split() == ["RUN", "STATE", "CREATED", "LR", "ACCURACY", "REASON"]
    assert [line.split()[0] for line in lines] == [C, B, A]
    assert "failed (job)" in lines[0] and "exit code 7" in lines[0]
    assert lines[1].split()[-2:] == ["0.5", "0.95"]
    assert max(map(len, out.splitlines())) <= 80
    assert code == 0 and err.startswith("the same in all: job digits, user ada, box box, ")
    document = reprise.json("history")
    assert (document["runs"][0]["message"], document["runs"][0]["seed"]) == ("exit code 7", 7)


def test_history_as_columns_and_csv(reprise: Call, three: None, tmp_path: Path) -> None:
    out = reprise("history", "--columns", "run,params.lr,metrics.accuracy.max,seed,reason").out
    assert out.splitlines()[0].split() == ["RUN", "LR", "ACCURACY.MAX", "SEED", "REASON"]
    assert out.splitlines()[1].split() == [C, "2.0", "0.9", "7", "exit", "code", "7"]
    ran = reprise("history", "--columns", "run,reasn")
    assert (ran.code, ran.out) == (ExitCode.USAGE, "") and "did you mean reason?" in ran.err
    out = reprise("history", "--csv", "--columns", "run,params,metrics", "--sort", "params.lr").out
    assert out.splitlines() == [
        "run,params.lr,metrics.accuracy",
        f"{A},0.1,0.9",
        f"{B},0.5,0.95",
        f"{C},2.0,0.9",
    ]
    whole = reprise("history", "--csv").out.splitlines()
    assert whole[0].startswith(
        "run,job,alias,tags,state,failure,imported,created,user,box,seconds,seed,params.lr,metrics."
    )
    assert len(whole) == 1 + 3
    assert reprise("history", "--csv", "--json").code == ExitCode.USAGE
    target = tmp_path / "runs.parquet"
    ran = reprise("history", "--parquet", str(target))
    if importlib.util.find_spec("pyarrow") is None:
        assert ran.code == ExitCode.USAGE and "pip install pyarrow" in ran.err and not target.exists()
    else:
        assert ran.code == 0 and target.read_bytes()[:4] == b"PAR1"


def test_the_latest_run_and_those_that_repeat_none(reprise: Call, session: Session, three: None) -> None:
    assert C in reprise("show", "latest").out
    assert reprise("archive", "latest").out == f"{C} archived\n"
    assert B in reprise("show", "latest").out
    ran = reprise("alias", "latest", A)
    assert ran.code == ExitCode.USAGE and "cannot be an alias" in ran.err
    again = new_run(id="dddd000000000004", rerun_of=A, wanted=Wanted(executor="worker"))
    session.record.submit(again)
    found = [reprise.json("history", *more)["runs"] for more in ((), ("--no-reruns",))]
    assert [[run["id"] for run in runs] for runs in found] == [[again.id, B, A], [B, A]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--status", "failed"], [C]),
        (["--status", "failed", "--status", "succeeded", "--limit", "2"], [C, B]),
        (["--where", "params.lr < 1 and metrics.accuracy > 0.92"], [B]),
        (["--sort", "-metrics.accuracy", "--status", "succeeded"], [B, A]),
        (["--sort", "metrics.accuracy", "--status", "succeeded"], [A, B]),
        (["--since", "1h", "--job", "digits"], [C, B, A]),
        (["--since", "2999-01-01"], []),
        (["--job", "other"], []),
    ],
)
def test_history_filters(reprise: Call, three: None, options: list[str], expected: list[str]) -> None:
    code, out, _ = reprise("history", "--json", *options)
    assert code == 0
    assert [run["id"] for run in json.loads(out)["runs"]] == expected


def test_history_says_where_it_stops_and_what_no_run_has(
    reprise: Call, three: None, recorded: Callable[..., str]
) -> None:
    assert [len(reprise("history", "--limit", n).out.splitlines()) for n in ("2", "3")] == [1 + 2, 1 + 3]
    assert ["--limit" in reprise("history", "--limit", n).err for n in ("2", "3")] == [True, False]
    for limit, more in ((2, True), (3, False), (20, False)):
        code, out, err = reprise("history", "--limit", str(limit), "--json")
        document = json.loads(out)
        assert (code, len(document["runs"]), document["limit"]) == (0, min(limit, 3), limit)
        assert (document["more"], "there are more than these" in err) == (more, more)
        assert len(document["notes"]) == more
    cut = reprise("history", "--limit", "1").err
    assert "there are more than this run;" in cut
    cursor = cut.partition("--after ")[2].split()[0]
    pages = (reprise("history", "--limit", "1", *on).out for on in ((), ("--after", cursor)))
    assert [page.splitlines()[1].split()[0] for page in pages] == [C, B]
    recorded("dddd000000000004", metrics={"odd": 1.0}, state=State.FAILED, failure=Failure.JOB, exit_code=1)
    said = {"metrics.odd": True, "metrics.odd.max": True, "params.lr": False, "seconds": False}
    options = ("--status", "succeeded", "--sort")
    assert {field: "none of" in reprise("history", *options, field).err for field in said} == said
    for field in ("-metrics.nope", "params.nope"):
        ran = reprise("history", "--sort", field)
        assert (ran.code, f"{field.partition('.')[2]}: {field}" in ran.err) == (ExitCode.USAGE, True)


def test_a_history_that_is_empty_says_what_no_run_has(reprise: Call, session: Session, three: None) -> None:
    cases = {
        ("--job", "digit"): "no job digit is recorded (did you mean digits?)",
        ("--by", "aada"): "no run was submitted by aada (did you mean ada?)",
        ("--box", "other"): "no run was executed by a box other",
        ("--tag", "keep"): "no run ever had the tag keep",
        ("--where", "params.lr > 100"): "",
    }
    for options, said in cases.items():
        code, out, err = reprise("history", *options)
        assert (code, out, err.strip()) == (0, "no runs\n", said)
        notes = reprise.json("history", *options)["notes"]
        assert notes == ([said] if said else [])
    session.record.annotations.archive([A, B, C], "ada")
    assert "--archived lists them" in reprise("history").err
    assert "--archived" not in reprise("history", "--archived").err


def test_history_shows_what_it_sorts_by(reprise: Call, recorded: Callable[..., str]) -> None:
    series = [MetricPoint(name="loss", step=step, value=value) for step, value in ((10, 0.5), (20, 0.25))]
    late = MetricPoint(name="loss", step=1200, value=4.0)
    recorded(A, metrics={"loss": 4.0}, series=(*series, late))
    recorded(B, metrics={"loss": 0.375})
    code, out, _ = reprise("history", "--sort", "metrics.loss.min")
    header, *lines = out.splitlines()
    assert (code, header.split()[1]) == (0, "METRICS.LOSS.MIN")
    assert [line.split()[0] for line in lines] == [A, B]
    assert "0.25 at step 20" in lines[0]
    assert " 0.375" in lines[1]
    assert "  4 at step 1,200" in reprise("history", "--sort", "-metrics.loss").out.splitlines()[1]
    (run,) = reprise.json("history", "--where", "metrics.loss.min < 0.3")["runs"]
    assert run["reached"]["loss"] == {
        "last_step": 1200,
        "min": 0.25,
        "min_step": 20,
        "max": 4.0,
        "max_step": 1200,
    }


def test_best_is_the_best_point(reprise: Call, recorded: Callable[..., str]) -> None:
    """With early stopping the last point is not the best: neither of a run, nor among runs."""
    for run, values in ((A, (0.5, 0.9, 0.6)), (B, (0.5, 0.7, 0.8))):
        points = [MetricPoint(name="acc", step=10 * step, value=value) for step, value in enumerate(values)]
        recorded(run, metrics={"acc": values[-1]}, series=tuple(points))
    code, out, _ = reprise("best", "digits", "--metric", "acc")
    assert code == 0
    assert out.startswith("best: greatest acc 0.9 at step 10; its last is 0.6 at step 20\n")
    assert f"run        {A}" in out
    document = reprise.json("best", "digits", "--metric", "acc")
    assert document["id"] == A
    assert document["best"] == {
        "metric": "acc",
        "part": "max",
        "value": 0.9,
        "step": 10,
        "incomplete": 0,
    }
    last = reprise("best", "digits", "--metric", "acc", "--last")
    assert last.out.startswith("best: last acc 0.8 at step 20\n")
    assert f"run        {B}" in last.out
    least = reprise.json("best", "digits", "--metric", "acc.min")["best"]
    assert (least["part"], least["value"], least["step"]) == ("min", 0.5, 0)
    assert reprise("best", "digits", "--metric", "acc.min", "--last").code == ExitCode.USAGE


def test_best_says_what_mattered_or_that_it_cannot_be_told(session: Session, reprise: Call) -> None:
    for number in range(24):
        new = new_run(params={"lr": number / 10, "note": "\x1b[31m<b>"})
        finish_run(session.record, new, metrics={"loss": 3.0 - number / 10})
    code, out, _ = reprise("best", "digits", "--metric", "loss", "--minimize", "--importance")
    assert code == 0
    assert "\nwhat mattered for the least loss\n" in out
    assert re.search(r"\nlr +100% +-1\.00\n", out)
    assert "24 runs were weighed" in out
    assert "the same in all these runs: note" in out
    finish_run(session.record, new_run(), metrics={"other": 1.0})
    told = reprise.json("best", "digits", "--metric", "other", "--importance")
    assert told["importance"]["told"] is False
    assert told["importance"]["why_not"] == "20 runs with this metric are needed, and 1 has it"
    assert told["importance"]["without"] == 24


def test_a_run_becomes_a_page_and_the_page_is_audited(
    session: Session, reprise: Call, tmp_path: Path
) -> None:
    run = finish_run(session.record, new_run(), metrics={"loss": 0.5})
    page, (_, key, told) = tmp_path / "run.html", reprise("ledger", "key")
    key, fingerprint = key.strip(), told.split()[-1]
    done = reprise.json("export", run, str(page), "--format", "html")
    assert (done["path"], done["run"], done["events"]) == (str(page), run, 3)
    assert done["badge"] == str(tmp_path / "run.svg")
    assert reprise("export", run, str(page), "--format", "html").code == ExitCode.USAGE, "it is there already"
    assert reprise("export", run, str(tmp_path / "x.txt"), "--format", "html").code == ExitCode.USAGE
    for known in (key, fingerprint):
        assert reprise("audit", "--offline", str(page), "--key", known).code == 0
    assert reprise("audit", "--key", fingerprint).code == ExitCode.USAGE, "no keys come with the record"
    page.write_text(page.read_text().replace("loss 0.5", "loss 0.4"))
    code, out, _ = reprise("audit", "--offline", str(page), "--key", key)
    assert code == ExitCode.AUDIT
    assert "what the page shows is not what was signed" in out


def test_incomplete_metrics_are_marked_wherever_they_are_ranked(
    reprise: Call, recorded: Callable[..., str]
) -> None:
    """Of a file with a broken line the other lines count; what they say is not the whole."""
    recorded(A, metrics={"acc": 0.9})
    recorded(B, metrics={"acc": 0.8}, metrics_incomplete="metrics.jsonl:3 is not JSON")
    ranked = (("best", "digits", "--metric", "acc"), ("history", "--sort", "-metrics.acc"), ("history",))
    for words in ranked:
        ran = reprise(*words)
        assert ran.code == 0
        assert "have metrics that" in ran.err or "has metrics that could not all be read" in ran.err, words
    assert reprise(*ranked[0]).out.startswith("best: greatest acc 0.9\n")
    assert reprise.json(*ranked[0])["best"]["incomplete"] == 1
    document = reprise.json("history")
    assert [bool(run["metrics_incomplete"]) for run in document["runs"]] == [True, False]
    assert len(document["notes"]) == 1
    assert ["INCOMPLETE" in line for line in reprise("history").out.splitlines()[1:]] == [True, False]
    assert "the metrics are incomplete: metrics.jsonl:3 is not JSON" in reprise("show", B).out
    assert "(incomplete)\n  + metrics.jsonl:3 is not JSON" in reprise("diff", A, B).out
    compared = reprise("compare", A, B)
    assert "the metrics of the rerun are incomplete: metrics.jsonl:3 is not JSON" in compared.out
    assert reprise("best", "digits", "--metric", "acc", "--last").code == 0


def test_an_empty_history(reprise: Call) -> None:
    assert reprise("history") == (0, "no runs\n", "")
    document = reprise.json("history")
    assert document == {"runs": [], "limit": 20, "more": False, "next": None, "notes": []}


def test_pages_of_a_history_follow_each_other(reprise: Call, three: None) -> None:
    seen, after = [], []
    for _ in range(3):
        page = reprise.json("history", "--limit", "1", *after)
        seen += [run["id"] for run in page["runs"]]
        after = ["--after", page["next"]]
    assert (seen, page["next"], page["more"]) == ([C, B, A], None, False)
    ran = reprise("history", "--after", "nonsense")
    assert (ran.code, ran.out, "hint" in ran.err) == (ExitCode.USAGE, "", True)


@pytest.mark.parametrize("options", [["--where", "params.lr <"], ["--since", "yesterday"], ["--limit", "0"]])
def test_a_bad_filter_is_a_usage_error(reprise: Call, options: list[str]) -> None:
    code, out, err = reprise("history", *options)
    assert (code, out) == (ExitCode.USAGE, "")
    assert err.startswith("reprise: ")


def test_show_takes_a_short_id(reprise: Call, three: None) -> None:
    code, out, _ = reprise("show", "cccc")
    assert code == 0
    assert f"run        {C}" in out
    assert "failed (job): exit code 7" in out


def test_show_as_json(reprise: Call, session: Session, three: None) -> None:
    verdict = Verdict(outcome=Outcome.DIFFERENT, original=A, rerun=B, summary="different")
    session.record.add_verdict(verdict, "box", "ada")
    document = reprise.json("show", A)
    assert document["id"] == A
    assert document["outputs"][0]["size"] == len(MODEL)
    assert "series" not in document
    assert [(item["outcome"], item["run"]) for item in document["verdicts"]] == [("different", B)]
    assert "series" in reprise.json("show", A, "--series")
    assert "original of" in reprise("show", A).out
    assert "rerun of" in reprise("show", B).out


def test_a_pass_over_operations_is_shown_as_what_it_is(reprise: Call, session: Session, three: None) -> None:
    made = "dddd000000000004"
    place = Wanted(executor="worker")  # not of this box, which would finish it
    session.record.submit(new_run(id=made, rerun_of=A, description=pass_description(3), wanted=place))
    first, second = reprise("history", "--limit", "2").out.splitlines()[1:]
    assert (made in first, "operations of step 3" in first, "operations" in second) == (True, True, False)
    shown = reprise.json("history")["runs"]
    assert [run["operations_of_step"] for run in shown] == [3, None, None, None]


def test_a_run_beside_itself_has_nothing_more_to_show(reprise: Call, three: None) -> None:
    assert ["reprise diff" in reprise("compare", A, other).out for other in (A, B)] == [False, True]


@pytest.mark.parametrize("verb", ["show", "logs", "outputs", "cancel", "rerun", "image"])
def test_an_unknown_run(reprise: Call, verb: str) -> None:
    code, out, err = reprise(verb, "dddd")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "dddd" in err
    assert "hint:" in err


def test_best(reprise: Call, three: None) -> None:
    assert reprise.json("best", "digits", "--metric", "accuracy")["id"] == B
    code, out, _ = reprise("best", "digits", "--metric", "accuracy", "--minimize")
    assert code == 0
    assert f"run        {A}" in out
    code, _, err = reprise("best", "digits", "--metric", "acuracy")
    assert code == ExitCode.USAGE
    assert "accuracy" in err


def test_logs_are_clean(reprise: Call, three: None) -> None:
    assert reprise("logs", "aaaa") == (0, "epoch 1\n100%\ndone red\N{REPLACEMENT CHARACTER}\n", "")
    assert reprise("logs", "aaaa", "--tail", "1").out == "done red\N{REPLACEMENT CHARACTER}\n"
    assert reprise("logs", "aaaa", "--tail", "0").out == ""
    assert reprise("logs", "aaaa", "-f", "--tail", "2").out.startswith("100%\n")
    assert reprise.json("logs", "aaaa") == {
        "run": A,
        "state": "succeeded",
        "truncated": False,
        "lines": ["epoch 1", "100%", "done red\N{REPLACEMENT CHARACTER}"],
    }


def test_logs_that_show_nothing_say_why(reprise: Call, session: Session, three: None) -> None:
    queued, dropped = "dddd000000000004", "eeee000000000005"
    for run in (queued, dropped):
        session.record.submit(new_run(id=run, wanted=Wanted(executor="worker")))
    never = Result(state=State.FAILED, failure=Failure.INFRASTRUCTURE, message="no engine answers")
    session.record.finish(dropped, session.record.claim(dropped, "box", "boot", "pid 1"), never)
    assert reprise("logs", "dddd") == (0, "", f"run {queued} is queued: it has not begun\n")
    assert reprise("logs", "eeee").err == f"run {dropped} has no log: it never began: no engine answers\n"
    assert reprise("logs", "aaaa", "--tail", "0").err == ""


def test_raw_logs(three: None) -> None:
    command = [sys.executable, "-m", "orchestrator.cli", "logs", "aaaa", "--raw"]
    assert subprocess.run(command, capture_output=True, check=True, timeout=180).stdout == LOG


@pytest.mark.parametrize("options", [["-f", "--json"], ["--raw", "--json"], ["--raw", "--tail", "1"]])
def test_logs_options_that_contradict_each_other(reprise: Call, options: list[str]) -> None:
    assert reprise("logs", "aaaa", *options)[0] == ExitCode.USAGE


def test_outputs(reprise: Call, three: None, tmp_path: Path) -> None:
    code, out, _ = reprise("outputs", "aaaa")
    assert code == 0
    assert "model.pt" in out
    assert "rejected: symlink" in out
    target = tmp_path / "out"
    code, out, _ = reprise("outputs", "aaaa", "--to", str(target))
    assert code == 0
    assert out == f"1 file, 700 B, verified, in {target}\nnot brought back: link: symlink\n"
    assert [path.name for path in target.iterdir()] == ["model.pt"]
    assert (target / "model.pt").read_bytes() == MODEL
    code, _, err = reprise("outputs", "aaaa", "--to", str(target))
    assert code == ExitCode.USAGE
    assert "--force" in err
    assert reprise("outputs", "aaaa", "--to", str(target), "--force").code == 0
    document = reprise.json("outputs", "aaaa", "--path", "*.pt")
    assert [item["path"] for item in document["outputs"]] == ["model.pt"]
    assert document["copied_to"] is None


def test_what_matches_nothing_or_changes_nothing_is_refused(
    reprise: Call, three: None, tmp_path: Path
) -> None:
    """Nobody shall believe that an option did something."""
    for words, said in (
        (("outputs", A, "--path", "nope*"), "matches 'nope*'"),
        (("rerun", A, "--input", "nope=x"), "no input nope"),
        (("rerun", A, "--gpu", "H100"), "asks for no GPU"),
        (("rerun", "--predict", A, "--gpu", "H100"), "asks for no GPU"),
        (("export", "--format", "ro-crate", A, str(tmp_path / "x.tar.gz")), "a folder or FILE.zip"),
        (("show", f"sha256:{'a' * 64}"), "is a digest, not a run"),
    ):
        ran = reprise(*words)
        assert (ran.code, said in ran.err) == (2, True), (words, ran.err)
    assert list(tmp_path.glob("x*")) == []


def test_a_damaged_store_is_noticed(reprise: Call, session: Session, three: None, tmp_path: Path) -> None:
    path = session.store.path(Digest.of(MODEL))
    path.chmod(0o644)
    path.write_bytes(MODEL[:-1] + b"!")
    code, _, err = reprise("outputs", "aaaa", "--to", str(tmp_path / "out"))
    assert code == ExitCode.INFRASTRUCTURE
    assert "model.pt" in err
    assert list((tmp_path / "out").iterdir()) == []


def test_diff(reprise: Call, three: None) -> None:
    code, out, _ = reprise("diff", "aaaa", "bbbb")
    assert code == 0
    assert "\nparams\n  lr\n  - 0.1\n  + 0.5\n" in out
    assert "model.pt" not in out
    document = reprise.json("diff", "aaaa", "bbbb")
    sections = {section["name"]: section for section in document["sections"]}
    assert sections["params"]["differing"] == [{"name": "lr", "a": 0.1, "b": 0.5, "delta": None}]
    assert "equal" not in sections["params"]
    everything = reprise.json("diff", "aaaa", "bbbb", "--all")
    assert any(section["equal"] for section in everything["sections"])


def test_cancel_of_a_run_that_is_over(reprise: Call, three: None) -> None:
    code, out, err = reprise("cancel", "aaaa")
    assert (code, out) == (0, f"run {A}: succeeded\n")
    assert "over already" in err
    assert reprise.json("cancel", "aaaa") == {"run": A, "state": "succeeded"}


def test_schema(reprise: Call) -> None:
    code, out, _ = reprise("schema")
    assert code == 0
    assert json.loads(out)["$schema"].startswith("https://json-schema.org/")


def test_a_missing_spec_is_a_usage_error(reprise: Call, tmp_path: Path) -> None:
    for verb in ("submit", "build"):
        code, out, err = reprise(verb, str(tmp_path / "job.yaml"))
        assert (code, out) == (ExitCode.USAGE, "")
        assert "job.yaml" in err


@pytest.mark.parametrize(
    "options", [["-p", "lr"], ["-p", "=1"], ["-p", "a=1", "-p", "a=2"], ["--seed", "-1"]]
)
def test_bad_options_of_submit(reprise: Call, options: list[str]) -> None:
    assert reprise("submit", "job.yaml", *options)[0] == ExitCode.USAGE


@pytest.mark.parametrize(
    "options", [["--memory", "much"], ["--timeout", "soon"], ["--input", "x"], ["--cpus", "0"]]
)
def test_bad_options_of_rerun(reprise: Call, options: list[str]) -> None:
    assert reprise("rerun", "aaaa", *options)[0] == ExitCode.USAGE


def test_origin_finds_the_run_by_content(
    recorded: Callable[..., RunRecord], reprise: Call, tmp_path: Path
) -> None:
    first = recorded(A, params={"lr": 0.1})
    recorded(B, params={"lr": 0.2})
    folder = tmp_path / "found"
    folder.mkdir()
    (folder / "who-knows.bin").write_bytes(MODEL)
    (folder / "mine.txt").write_text("nobody made this")
    (folder / "link").symlink_to("who-knows.bin")
    found = reprise.json("origin", str(folder))["files"]
    assert [Path(item["file"]).name for item in found] == ["mine.txt", "who-knows.bin"]
    assert found[0]["made_by"] == []
    assert [item["run"] for item in found[1]["made_by"]] == [A, B]
    made = found[1]["made_by"][0]
    assert made["params"] == {"lr": 0.1}
    assert made["image"] == first.image
    assert made["path"] == "model.pt"
    code, out, _ = reprise("origin", str(folder))
    assert code == 0
    assert A in out
    assert "no run made this" in out


def test_origin_of_what_nobody_made_has_an_exit_code_of_its_own(
    home: Path, reprise: Call, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("x")
    code, out, _ = reprise("origin", str(tmp_path / "mine"))
    assert code == 4
    assert "no run made this" in out
    code, _, err = reprise("origin", str(tmp_path / "gone"))
    assert code == 2
    assert "neither a file nor a folder" in err


def test_many_runs_make_one_table_of_what_differs(reprise: Call, three: None) -> None:
    out = reprise("diff", A, B, C).out
    assert out.splitlines()[0].split() == ["FIELD", *(run[:8].upper() for run in (A, B, C))]
    assert ["params.lr", "0.1", "0.5", "2"] in [line.split() for line in out.splitlines()]
    assert max(map(len, out.splitlines())) <= 80 and "equal fields are hidden" in out
    document = reprise.json("diff", A, B, C)
    assert (document["runs"], document["fields"]["params.lr"]) == ([A, B, C], [0.1, 0.5, 2.0])
    assert "metrics.accuracy" in document["fields"] and "job.job" not in document["fields"]
    names, *lines = reprise("diff", A, B, "latest", "--csv").out.splitlines()
    assert names.startswith("run,params.lr,metrics.accuracy,") and [line[:16] for line in lines] == [A, B, C]
    ran = reprise("compare", A, A, B, C)
    assert ran.code == ExitCode.NOT_COMPARABLE, "the worst"
    assert [line.split()[:1] for line in ran.out.splitlines()[3:5]] == [[B], [C]]
    for wrong in (("diff", A), ("compare", A), ("diff", A, B, C, "--code"), ("compare", A, B, C, "--record")):
        assert reprise(*wrong).code == ExitCode.USAGE
    assert "100 at most" in reprise("diff", *[A] * 101).err


def test_a_curve_and_its_points(reprise: Call, recorded: Callable[..., str]) -> None:
    points = [MetricPoint(name="loss", step=step, value=1.0 / step) for step in (1, 2, 4)]
    recorded(A, metrics={"loss": 0.25}, series=tuple(points))
    out = reprise("show", A, "--metric", "loss").out
    assert "3 points, last 0.25 at step 4" in out and out.count("*") == 3
    assert reprise("show", A, "--metric", "loss", "--csv").out.splitlines()[1:] == [
        "loss,1,1.0",
        "loss,2,0.5",
        "loss,4,0.25",
    ]
    assert reprise("show", A, "--series", "--csv").out.startswith("metric,step,value\nloss,1,1.0\n")
    assert reprise.json("show", A, "--metric", "loss")["points"][2] == {
        "step": 4,
        "value": 0.25,
    }
    assert "did you mean loss" in reprise("show", A, "--metric", "los").err
    assert reprise("show", A, "--csv").code == ExitCode.USAGE
    shown = reprise("best", "digits", "--metric", "loss.min").out
    assert "command    " in shown and "settings   strict, 1 thread, portable CPU instructions" in shown


def test_the_points_of_the_first_of_many_runs_are_read_once(
    reprise: Call, recorded: Callable[..., RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = (MetricPoint(name="loss", step=1, value=0.5),)
    for run in (A, B, C):
        recorded(run, series=points)
    reads: list[object] = []
    whole = read_run.RESULTS[read_run.POINTS]
    counting = whole._replace(field=lambda rows: reads.append(rows) or whole.field(rows))
    monkeypatch.setitem(read_run.RESULTS, read_run.POINTS, counting)
    assert reprise("compare", A, B, C).err == ""
    assert len(reads) == 3


def test_points_are_read_only_where_they_are_shown(
    reprise: Call, recorded: Callable[..., RunRecord], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A million of them take seconds."""
    points = (MetricPoint(name="loss", step=1, value=0.5), MetricPoint(name="loss", step=2, value=0.25))
    recorded(A, series=points)
    recorded(B, series=points, params={"lr": 0.5})
    no_points_are_read(monkeypatch)
    for words in (
        *(("show", A), ("show", A, "--json"), ("show", A, "--packages"), ("logs", A), ("outputs", A)),
        *(("diff", A, B), ("diff", A, B, "--json"), ("best", "digits", "--metric", "accuracy"), ("history",)),
        *(
            ("lineage", A),
            ("note", A, "a word"),
            ("export", A, "--format", "html", str(tmp_path / "page.html")),
        ),
    ):
        ran = reprise(*words)
        assert ran.code == 0, (words, ran.err)
    for words in (("--metric", "loss"), ("--metric", "loss", "--csv"), ("--metric", "accuracy", "--json")):
        ran = reprise("show", A, *words)
        assert ran.code == 0, ran.err
    assert "did you mean loss" in reprise("show", A, "--metric", "los").err
    assert "the points of a run are read" in reprise("show", A, "--series").err
