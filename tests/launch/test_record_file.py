"""A whole record as one file: written whole, read to its last line or not at all, brought in once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import finish_run, new_run, result

from orchestrator.errors import StoreError, UsageError
from orchestrator.launch.bundles.record_file import HEADER, export_record, import_record, is_record_file
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.record.run_record import HistoryFilter
from orchestrator.settings import Settings, load
from orchestrator.verdict.verdict_model import Outcome, Verdict

A, B, C = "aaaa000000000001", "bbbb000000000002", "cccc000000000003"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return load({"REPRISE_HOME": str(tmp_path / "home")})


@pytest.fixture
def mine(home: Settings) -> Iterator[Session]:
    """A record with a judged rerun of two attempts, an open run, and all that people can say."""
    with Session(home) as session:
        record = session.record
        finish_run(record, new_run(id=A, params={"lr": 0.1}), metrics={"loss": float("nan")})
        record.submit(new_run(id=B, rerun_of=A))
        record.claim(B, "box", "boot", "pid 1")
        record.requeue(B, 1, "the box went away")
        finish_run(record, new_run(id=C))
        record.submit(new_run(id="dddd000000000004"))
        said = record.annotations
        said.note(A, "first\nsecond", "ada")
        said.tag(A, ["keep", "gone"], "ada")
        said.tag(A, ["gone"], "bob", remove=True)
        said.name("best", A, "ada")
        said.name("best", C, "bob")
        said.archive([C], "ada")
        yield session


@pytest.fixture
def team(home: Settings) -> Iterator[Session]:
    folder = home.home.parent / "team"
    with Session(replace(load({"REPRISE_HOME": str(folder)}), home=folder)) as session:
        yield session


def end_of_b(session: Session) -> None:
    record = session.record
    attempt = record.claim(B, "other box", "boot", "pid 2")
    record.finish(B, attempt, result())
    record.add_verdict(Verdict(outcome=Outcome.IDENTICAL, original=A, rerun=B, summary=""), "box", "ada")


def test_everything_comes_in_once_and_is_what_it_was(mine: Session, team: Session, tmp_path: Path) -> None:
    end_of_b(mine)
    path = tmp_path / "record"
    told = export_record(mine, path, False, Silent())
    assert (told.runs, told.remarks, told.open) == (3, 7, 1)
    with pytest.raises(UsageError, match="there already"):
        export_record(mine, path, False, Silent())
    done = import_record(team, path, Silent())
    assert all(item.new for item in done.runs)
    assert {item.run for item in done.runs} == {A, B, C} and done.record == told.record
    for run in (A, B, C):
        here, there = (session.record.annotations.remarks(run) for session in (mine, team))
        assert here == there and mine.record.annotations.marks(run) == team.record.annotations.marks(run)
        assert team.record.run(run).imported == told.record
        one, two = (session.record.transfer.carry(run, attempts=True) for session in (mine, team))
        assert one.to_bytes() == two.to_bytes()
    assert team.record.find("best") == C
    assert [line.outcome for line in team.record.history.verdicts(B)] == ["identical"]
    (first,) = team.record.transfer.carry(B, attempts=True).attempts
    assert (first.number, first.box) == (1, "box")
    again = import_record(team, path, Silent())
    assert (any(item.new for item in again.runs), again.remarks) == (False, 0)
    assert len(team.record.history.lines(HistoryFilter())) == 3


def test_an_alias_of_the_team_stays_where_it_is(mine: Session, team: Session, tmp_path: Path) -> None:
    finish_run(team.record, new_run(id="eeee000000000005"))
    team.record.annotations.name("best", "eeee000000000005", "cyd")
    export_record(mine, tmp_path / "record", False, Silent())
    done = import_record(team, tmp_path / "record", Silent())
    assert (done.kept, team.record.find("best")) == (("best",), "eeee000000000005")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-1], "cut off"),
        (lambda data: data[:-40] + b"\n", "its end"),
        (lambda data: data.replace(b'"lr":0.1', b'"lr":0.9'), "its end"),
        (lambda data: data.rpartition(b"end ")[0], "its end"),
        (lambda data: HEADER, "its end"),
    ],
)
def test_a_file_that_was_altered_brings_nothing(
    mine: Session, team: Session, tmp_path: Path, change: Callable[[bytes], bytes], said: str
) -> None:
    path = tmp_path / "record"
    export_record(mine, path, False, Silent())
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(StoreError, match=said):
        import_record(team, path, Silent())
    assert team.record.history.lines(HistoryFilter()) == []


def resealed(path: Path, lines: list[bytes]) -> None:
    """As somebody else's program would write it."""
    body = HEADER + b"".join(lines)
    path.write_bytes(body + f"end {len(lines)} sha256:{hashlib.sha256(body).hexdigest()}\n".encode())


@pytest.mark.parametrize(
    "remark",
    [
        {"kind": "name", "word": "latest"},
        {"kind": "name", "word": "deadbeef"},
        {"kind": "tag", "word": "a b"},
        {"kind": "note", "text": ""},
        {"kind": "note", "text": "x" * 20_000},
        {"kind": "forged", "word": "x"},
        {"kind": "archive", "word": "x"},
        {"kind": "note", "text": "x", "by": ""},
        {"kind": "note", "text": "x", "at": "1900-01-01T00:00:00Z"},
        {"kind": "note", "text": "x", "run": "ffff000000000000"},
        {"kind": "note", "text": "x", "more": 1},
    ],
)
def test_a_forged_remark_brings_nothing(
    mine: Session, team: Session, tmp_path: Path, remark: dict[str, object]
) -> None:
    path = tmp_path / "record"
    export_record(mine, path, False, Silent())
    runs = [line for line in path.read_bytes().splitlines(keepends=True) if line.startswith(b"run ")]
    whole = {"run": A, "word": "", "text": "", "by": "eve", "at": "2026-01-01T00:00:00Z"} | remark
    resealed(path, [*runs, b"said " + json.dumps(whole).encode() + b"\n"])
    with pytest.raises((StoreError, UsageError)):
        import_record(team, path, Silent())
    assert team.record.history.lines(HistoryFilter()) == []
    resealed(path, [*runs, b"odd {}\n"])
    with pytest.raises(StoreError, match="another kind"):
        import_record(team, path, Silent())
    assert is_record_file(path) and not is_record_file(tmp_path / "none")
