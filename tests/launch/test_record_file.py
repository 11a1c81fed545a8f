"""A whole record as one file: written whole, read to its last line or not at all, brought in once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support.ledger_checks import wrong
from support.records import finish_run, new_run, result
from support.tampered_world import all_findings

from orchestrator.audit.run_audit import AuditPart
from orchestrator.errors import RecordError, StoreError, UsageError
from orchestrator.launch.bundles.bundle_archive import open_archive
from orchestrator.launch.bundles.record_file import HEADER, export_record, import_record, is_record_file
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.record.run_record import HistoryFilter
from orchestrator.settings import Settings, load
from orchestrator.spec.inputs import InputData, read_input
from orchestrator.verdict.verdict_model import Outcome, Verdict
from orchestrator.view.bundle_view import imported_record_view
from orchestrator.view.forms.page import Fields

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
def team(home: Settings, request: pytest.FixtureRequest) -> Iterator[Session]:
    """Another record: SQLite's, or Postgres's where a test asks for it."""
    folder = home.home.parent / "team"
    variables = {"REPRISE_HOME": str(folder)}
    if getattr(request, "param", "sqlite") == "postgres":
        variables["REPRISE_DATABASE_URL"] = request.getfixturevalue("postgres").new_record()
    with Session(replace(load(variables), home=folder)) as session:
        yield session


def data_of(path: Path, *words: str) -> InputData:
    """A folder of so many files."""
    path.mkdir(parents=True)
    for number, word in enumerate(words):
        (path / f"{number}.txt").write_text(word)
    return read_input(path)


def end_of_b(session: Session) -> None:
    record = session.record
    attempt = record.claim(B, "other box", "boot", "pid 2")
    record.finish(B, attempt, result())
    record.add_verdict(Verdict(outcome=Outcome.IDENTICAL, original=A, rerun=B, summary=""), "box", "ada")


@pytest.mark.parametrize(
    "team", ["sqlite", pytest.param("postgres", marks=pytest.mark.server)], indirect=True
)
def test_everything_comes_in_once_and_is_what_it_was(mine: Session, team: Session, tmp_path: Path) -> None:
    end_of_b(mine)
    sets = [data_of(tmp_path / name, "1", name) for name in ("one", "two")]
    for data in sets:
        mine.record.data_sets.add("mnist", data, "ada")
    (tmp_path / "file").write_text("weights")
    mine.record.data_sets.add("weights", read_input(tmp_path / "file"), "böb")
    path = tmp_path / "record"
    told = export_record(mine, path, False, Silent())
    assert (told.runs, told.remarks, told.data, told.open) == (3, 7, 3, 1)
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
    assert (done.data, done.data_kept) == (("mnist@1", "mnist@2", "weights@1"), ())
    assert team.record.data_sets.versions() == mine.record.data_sets.versions()
    assert [team.record.data_sets.known_input(data.digest) for data in sets] == sets
    assert all_findings(team, AuditPart.ROWS) == [] and wrong(team.record) == []
    size = team.record.ledger.head().size
    again = import_record(team, path, Silent())
    assert (any(item.new for item in again.runs), again.remarks, again.data) == (False, 0, ())
    assert team.record.ledger.head().size == size
    assert len(team.record.history.lines(HistoryFilter())) == 3


def test_an_alias_of_the_team_stays_where_it_is(mine: Session, team: Session, tmp_path: Path) -> None:
    finish_run(team.record, new_run(id="eeee000000000005"))
    team.record.annotations.name("best", "eeee000000000005", "cyd")
    export_record(mine, tmp_path / "record", False, Silent())
    done = import_record(team, tmp_path / "record", Silent())
    assert (done.kept, team.record.find("best")) == (("best",), "eeee000000000005")


def test_what_was_decided_here_later_stays(mine: Session, team: Session, tmp_path: Path) -> None:
    """Of runs that both have, too: an import is no way to move an alias, take a tag or hide a run."""
    first, second = tmp_path / "first", tmp_path / "second"
    export_record(mine, first, False, Silent())
    import_record(team, first, Silent())
    here = team.record.annotations
    here.name("best", A, "cyd")
    here.tag(A, ["keep"], "cyd", remove=True)
    here.archive([C], "cyd", restore=True)
    there = mine.record.annotations
    there.name("best", A, "ada")
    there.name("best", C, "ada")
    there.tag(A, ["keep"], "ada", remove=True)
    there.tag(A, ["keep", "new"], "ada")
    there.archive([C], "ada", restore=True)
    there.archive([C], "ada")
    there.note(A, "later", "ada")
    export_record(mine, second, False, Silent())
    before = here.marks(A), here.marks(C), team.record.find("best")
    done = import_record(team, second, Silent())
    assert (done.kept, done.marks_kept) == (("best",), (f"{A} tag keep", f"{C} archive"))
    marks = here.marks(A)
    assert (marks.tags, [one.text for one in marks.notes][-1]) == (("new",), "later")
    assert (marks.names, here.marks(C), team.record.find("best")) == (before[0].names, *before[1:])
    assert wrong(team.record) == []


def test_what_the_other_record_decided_later_comes_in(mine: Session, team: Session, tmp_path: Path) -> None:
    export_record(mine, tmp_path / "first", False, Silent())
    import_record(team, tmp_path / "first", Silent())
    there = mine.record.annotations
    there.name("best", A, "ada")
    there.tag(A, ["keep"], "ada", remove=True)
    there.archive([C], "ada", restore=True)
    export_record(mine, tmp_path / "second", False, Silent())
    done = import_record(team, tmp_path / "second", Silent())
    assert (done.kept, done.marks_kept, done.remarks) == ((), (), 3)
    assert team.record.find("best") == A
    for run in (A, C):
        assert team.record.annotations.marks(run) == there.marks(run)


def test_a_name_of_data_never_changes_its_meaning(mine: Session, team: Session, tmp_path: Path) -> None:
    one, two, three = (data_of(tmp_path / name, name) for name in ("one", "two", "three"))
    for name, here, there in (
        ("longer", [one, two, three], [one, two]),
        ("shorter", [one], [one, two]),
        ("other", [one, two], [one, three]),
        ("swapped", [two, one], [one, two]),
        ("twice", [one, two], [one, three, two]),
    ):
        for session, sets in ((mine, here), (team, there)):
            for data in sets:
                session.record.data_sets.add(name, data, "ada" if session is mine else "cyd")
    before = team.record.data_sets.versions()
    export_record(mine, tmp_path / "record", False, Silent())
    done = import_record(team, tmp_path / "record", Silent())
    assert (done.data, done.data_kept) == (("longer@3",), ("other", "swapped", "twice"))
    after = team.record.data_sets.versions()
    assert [item for item in after if item in before] == before
    assert [(item.reference, item.digest, item.by) for item in after if item not in before] == [
        ("longer@3", three.digest, "ada")
    ]
    assert wrong(team.record) == []
    page = imported_record_view(done)
    assert page.document["data_kept"] == ["other", "swapped", "twice"]
    (fields, *_) = page.page
    assert isinstance(fields, Fields)
    printed = "\n".join(f"{name} {words}" for name, words in fields.pairs)
    assert "longer@3 new" in printed and "other, swapped, twice: other bytes" in printed


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


def lines_of(path: Path, kind: str) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.startswith(kind.encode())]


def written(kind: str, document: dict[str, Any]) -> bytes:
    """A line of the file."""
    return f"{kind} {json.dumps(document)}\n".encode()


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
    runs = lines_of(path, "run")
    whole = {"run": A, "word": "", "text": "", "by": "eve", "at": "2026-01-01T00:00:00Z"} | remark
    resealed(path, [*runs, written("said", whole)])
    with pytest.raises((StoreError, UsageError)):
        import_record(team, path, Silent())
    assert team.record.history.lines(HistoryFilter()) == []
    resealed(path, [*runs, b"odd {}\n"])
    with pytest.raises(StoreError, match="another kind"):
        import_record(team, path, Silent())
    assert is_record_file(path) and not is_record_file(tmp_path / "none")


def test_a_file_says_nothing_of_runs_that_it_does_not_hold(
    mine: Session, team: Session, tmp_path: Path
) -> None:
    path, ours = tmp_path / "record", "eeee000000000005"
    finish_run(team.record, new_run(id=ours))
    export_record(mine, path, False, Silent())
    runs = lines_of(path, "run")
    for kind, words in (("archive", ""), ("note", "it is wrong")):
        remark = {"run": ours, "kind": kind, "word": "", "text": words, "by": "cyd"}
        remark |= {"at": "2026-01-01T00:00:00Z"}
        resealed(path, [*runs, written("said", remark)])
        with pytest.raises(UsageError, match="does not hold that run"):
            import_record(team, path, Silent())
    assert team.record.annotations.remarks(ours) == []


def test_nothing_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not is_record_file(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a plain file"), open_archive(tmp_path / "pipe"):
        pass


FORGED: list[tuple[dict[str, Any], str]] = [
    ({"name": "../up"}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"version": 0}, "version"),
    ({"version": 2}, "mnist@2 does not follow"),
    ({"version": 1 << 31}, "version"),
    ({"version": "x"}, "version"),
    ({"by": ""}, "by"),
    ({"by": "x" * 5000}, "more than 4096 bytes"),
    ({"at": "1900-01-01T00:00:00Z"}, "years 1970 to 2200"),
    ({"at": "2026-01-01T00:00:00"}, "without a time zone"),
    ({"more": 1}, "more"),
    ({"data": {"size": 3}}, "no folder of these files"),
    ({"data": {"size": -1, "files": []}}, "size that no data have"),
    ({"data": {"count": 1 << 63, "files": []}}, "size that no data have"),
    ({"data": {"folder": False}}, "no folder of these files"),
    ({"data": {"digest": f"sha256:{'0' * 64}"}}, "no folder of these files"),
    ({"data": {"digest": "sha256:0"}}, "digest"),
]


def test_forged_named_data_bring_nothing(mine: Session, team: Session, tmp_path: Path) -> None:
    path, data = tmp_path / "record", data_of(tmp_path / "set", "1", "2")
    mine.record.data_sets.add("mnist", data, "ada")
    export_record(mine, path, False, Silent())
    team.record.data_sets.add("here", data, "cyd")
    runs, [named] = lines_of(path, "run"), lines_of(path, "data")
    whole = json.loads(named[5:])
    before = team.record.ledger.head().size
    for forged, said in FORGED:
        document = whole | forged | {"data": whole["data"] | forged.get("data", {})}
        resealed(path, [*runs, written("data", document)])
        with pytest.raises((StoreError, UsageError), match=said):
            import_record(team, path, Silent())
        assert team.record.history.lines(HistoryFilter()) == [] and team.record.ledger.head().size == before


def test_what_proves_itself_puts_right_what_a_file_without_a_list_says(
    mine: Session, team: Session, tmp_path: Path
) -> None:
    path, data = tmp_path / "record", data_of(tmp_path / "set", "1", "2")
    mine.record.data_sets.add("mnist", data, "ada")
    export_record(mine, path, False, Silent())
    lines = path.read_bytes().splitlines(keepends=True)[1:-1]
    whole = json.loads(lines_of(path, "data")[0][5:])
    lie = written("data", whole | {"name": "lie", "data": whole["data"] | {"size": 9, "files": []}})
    for lines_of_file, size in (([lie], 9), (lines, data.size), ([lie], data.size)):
        resealed(path, lines_of_file)
        import_record(team, path, Silent())
        known = team.record.data_sets.known_input(data.digest)
        assert known is not None and known.size == size
    assert known == data and wrong(team.record) == []


def test_the_same_bytes_twice_under_a_name_bring_nothing(
    mine: Session, team: Session, tmp_path: Path
) -> None:
    path = tmp_path / "record"
    mine.record.data_sets.add("mnist", data_of(tmp_path / "set", "1"), "ada")
    export_record(mine, path, False, Silent())
    [line] = lines_of(path, "data")
    resealed(path, [line, line.replace(b'"version":1', b'"version":2')])
    with pytest.raises(UsageError, match="mnist@2 does not follow"):
        import_record(team, path, Silent())
    assert team.record.data_sets.versions() == []


def test_a_record_whose_names_were_altered_is_not_exported(mine: Session, tmp_path: Path) -> None:
    for name in ("one", "two"):
        mine.record.data_sets.add("mnist", data_of(tmp_path / name, name), "ada")
    with mine.record._database.writing() as connection:
        connection.execute(text("UPDATE data_version SET version = 3 WHERE version = 1"))
    with pytest.raises(
        RecordError, match="data mnist@2 cannot be read: ValueError: a version before it is missing"
    ):
        export_record(mine, tmp_path / "record", False, Silent())
    assert not (tmp_path / "record").exists()
