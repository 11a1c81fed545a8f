"""Runs of another record: written down once, refused where they do not fit, all of them or none."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError
from support.ledger_checks import every_run, wrong
from support.records import new_run

from orchestrator.digest import Digest
from orchestrator.errors import RecordError, UsageError
from orchestrator.record.ledger import row_evidence
from orchestrator.record.record import Record
from orchestrator.record.schema import tables
from orchestrator.record.transfer import import_runs
from orchestrator.record.transfer.import_runs import Brought, Carried
from orchestrator.run.attempt_model import Output, OutputStatus, Result, State
from orchestrator.spec.inputs import InputData, InputFile, folder_digest, read_input
from orchestrator.spec.program import Program
from orchestrator.structural_difference import differences
from orchestrator.value import Value

SOURCE = Digest.of(b"bundle")


class Judgement(Value):
    """As much of a verdict as the record asks for."""

    outcome: str = "different"
    original: str
    rerun: str
    apart: float = float("nan")


@pytest.fixture
def run_there(elsewhere: Record) -> Callable[..., str]:
    def make(**changes: Any) -> str:
        metrics = changes.pop("metrics", {"accuracy": 0.9})
        run, _ = elsewhere.submit(new_run(**changes))
        elsewhere.claim(run, "far box", "boot", "pid 1")
        output = Output(path="model.pt", status=OutputStatus.KEPT, digest=Digest.of(b"model"), size=5)
        elsewhere.finish(run, 1, Result(state=State.SUCCEEDED, metrics=metrics, outputs=(output,)))
        return run

    return make


@pytest.fixture
def pair(elsewhere: Record, run_there: Callable[..., str]) -> list[Carried]:
    """An original and its judged rerun."""
    original = run_there()
    rerun = run_there(rerun_of=original)
    elsewhere.add_verdict(Judgement(original=original, rerun=rerun), "far box", "ada")
    return [elsewhere.transfer.carry(original), elsewhere.transfer.carry(rerun)]


def bring(record: Record, *items: Carried) -> list[Brought]:
    return record.transfer.bring_in(lambda: items, "bob", SOURCE)


def changed(item: Carried, **fields: Any) -> Carried:
    return item.model_copy(update={"run": item.run.model_copy(update=fields)})


def rows(record: Record) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is recorded."""
    with record.reading() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in tables.METADATA.sorted_tables
        }


def test_runs_and_verdicts_come_once(record: Record, pair: list[Carried]) -> None:
    original, rerun = (item.run.id for item in pair)
    assert bring(record, *pair) == [
        Brought(run=original, new=True, verdicts=0),
        Brought(run=rerun, new=True, verdicts=1),
    ]
    for item in pair:
        assert record.run_with_points(item.run.id) == item.run.model_copy(update={"imported": SOURCE})
    assert [line.model_dump_json() for line in record.history.verdicts(rerun)] == [
        line.model_dump_json() for line in pair[1].verdicts
    ]
    first = rows(record)
    assert bring(record, *pair) == [
        Brought(run=original, new=False, verdicts=0),
        Brought(run=rerun, new=False, verdicts=0),
    ]
    assert rows(record) == first
    assert all(f"imported by bob from {SOURCE}" in attempt for attempt in first["attempt"])
    kinds = [(row[3], row[4]) for row in sorted(first["event"])]
    assert [kind for kind in kinds if kind[1] is not None] == [
        ("run.imported", original),
        ("run.imported", rerun),
        ("verdict.imported", rerun),
    ]


def test_the_ledger_tells_of_every_row_that_was_brought_in(record: Record, pair: list[Carried]) -> None:
    bring(record, *pair)
    with record.reading() as connection:
        query = select(tables.event.c.document).order_by(tables.event.c.idx)
        documents = connection.execute(query).scalars().all()
        found = every_run(connection)
    said: dict[str, Any] = {}
    for event in map(json.loads, documents):
        if event["run"] is not None:
            row_evidence.fold(said.setdefault(event["run"], {}), event["data"])
    assert said.keys() == {item.run.id for item in pair}
    assert list(differences(said, found)) == []


def test_a_trial_writes_nothing(record: Record, pair: list[Carried]) -> None:
    before = rows(record)
    record.transfer.try_in(lambda: pair, SOURCE)
    assert rows(record) == before
    with pytest.raises(UsageError, match="is a rerun of"):
        record.transfer.try_in(lambda: pair[1:], SOURCE)
    assert rows(record) == before


def test_a_trial_on_a_full_disk_says_so(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has undone everything by itself then, the savepoint of the trial, too."""

    def full(connection: Connection, *_: object) -> None:
        connection.exec_driver_sql("ROLLBACK")
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(import_runs, "bring_in", full)
    with pytest.raises(
        OperationalError if record.address.startswith("postgres") else RecordError, match="disk is full"
    ):
        record.transfer.try_in(lambda: iter(()), SOURCE)
    assert record.ledger.head().size == 0


def test_a_verdict_that_came_later_is_added(record: Record, elsewhere: Record, pair: list[Carried]) -> None:
    bring(record, *pair)
    original, rerun = (item.run.id for item in pair)
    elsewhere.add_verdict(Judgement(outcome="identical", original=original, rerun=rerun), None, "eve")
    again = bring(record, elsewhere.transfer.carry(original), elsewhere.transfer.carry(rerun))
    assert [one.verdicts for one in again] == [0, 1]
    assert [line.outcome for line in record.history.verdicts(rerun)] == ["different", "identical"]


def test_a_run_of_this_record_gets_no_verdict_from_elsewhere(elsewhere: Record, pair: list[Carried]) -> None:
    """Its evidence is here: a stranger's word would stand in the place of what was judged here."""
    assert not any(one.new or one.verdicts for one in bring(elsewhere, *pair))
    rerun = pair[1]
    line = rerun.verdicts[0]
    document = line.document | {"outcome": "identical"}
    forged = line.model_copy(update={"outcome": "identical", "document": document})
    later = forged.model_copy(update={"created_at": line.created_at + timedelta(hours=1)})
    for verdicts in ((line, forged), (later,)):
        with pytest.raises(UsageError, match="was not given here"):
            bring(elsewhere, pair[0], rerun.model_copy(update={"verdicts": verdicts}))
    assert [one.outcome for one in elsewhere.history.verdicts(rerun.run.id)] == ["different"]


def test_an_imported_run_can_be_found_and_rerun(record: Record, pair: list[Carried]) -> None:
    bring(record, *pair)
    original = pair[0].run
    assert record.history.runs_of_image(original.image)[0] == original.id
    assert record.history.best("digits", "accuracy").line.id == original.id
    assert [made.run for made in record.history.origin([Digest.of(b"model")])] == [
        item.run.id for item in pair
    ]
    record.submit(new_run(rerun_of=original.id))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"metrics": {"accuracy": 0.8}}, "metrics.accuracy 0.9 here, 0.8 in the bundle"),
        ({"outputs": ()}, "outputs 1 entries here, 0 entries in the bundle"),
        ({"submitted_by": "mallory"}, 'submitted_by "ada" here, "mallory" in the bundle'),
        ({"state": State.FAILED}, 'state "succeeded" here, "failed" in the bundle'),
        ({"created_at": datetime(2020, 1, 1, tzinfo=UTC)}, "created_at"),
    ],
    ids=["metric", "outputs", "person", "state", "moment"],
)
def test_a_run_that_is_here_with_other_values_is_refused_and_nothing_changes(
    record: Record, pair: list[Carried], fields: dict[str, Any], said: str
) -> None:
    bring(record, pair[0])
    before = rows(record)
    other = changed(pair[0], **fields)
    with pytest.raises(UsageError) as caught:
        record.transfer.try_in(lambda: [other], SOURCE)
    assert said in caught.value.message
    with pytest.raises(UsageError) as caught:
        bring(record, pair[1], other)
    assert said in caught.value.message
    assert pair[0].run.id in caught.value.message
    assert rows(record) == before, "nor the one before it"


def test_a_rerun_without_its_original_is_refused(record: Record, pair: list[Carried]) -> None:
    before = rows(record)
    with pytest.raises(UsageError, match=f"a rerun of {pair[0].run.id}, which is neither here nor"):
        bring(record, pair[1])
    alone = changed(pair[1], rerun_of=None)
    with pytest.raises(UsageError, match=f"names run {pair[0].run.id}: neither here nor"):
        bring(record, alone)
    assert rows(record) == before


@pytest.mark.parametrize(
    "fields",
    [{"attempt": 1 << 70}, {"exit_code": 1 << 70}, {"message": "a\0b"}],
    ids=["attempt", "exit code", "NUL"],
)
def test_what_the_record_cannot_hold_is_refused(
    record: Record, pair: list[Carried], fields: dict[str, Any]
) -> None:
    before = rows(record)
    with pytest.raises(UsageError, match=pair[0].run.id):
        bring(record, changed(pair[0], **fields))
    assert rows(record) == before


def test_an_open_run_is_not_carried(elsewhere: Record) -> None:
    run, _ = elsewhere.submit(new_run())
    with pytest.raises(UsageError, match="is queued: an open run cannot be carried away"):
        elsewhere.transfer.carry(run)


def test_a_run_that_was_cancelled_before_it_began_is_carried(record: Record, elsewhere: Record) -> None:
    run, _ = elsewhere.submit(new_run())
    elsewhere.finish(run, 0, Result(state=State.CANCELLED), queued=True)
    bring(record, elsewhere.transfer.carry(run))
    assert record.run_with_points(run).model_copy(update={"imported": None}) == elsewhere.run_with_points(run)
    assert record.run_with_points(run).imported == SOURCE


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["run"].update(id="../../etc/passwd"),
        lambda d: d["run"].update(state="running"),
        lambda d: d["run"].update(attempt=-1),
        lambda d: d["run"].update(surprise=1),
        lambda d: d["run"].update(created_at="2020-01-01T00:00:00"),
        lambda d: d["image"].update(digest=Digest.of(b"other")),
        lambda d: d["verdicts"][0].update(outcome="reproduced"),
        lambda d: d["verdicts"][0].update(run="0" * 16),
        lambda d: d["verdicts"][0]["document"].update(outcome="identical"),
        lambda d: d.update(format=2),
        lambda d: d.pop("image"),
    ],
)
def test_a_document_that_no_export_writes_is_refused(pair: list[Carried], change: Callable[..., Any]) -> None:
    document = json.loads(pair[1].to_bytes())
    Carried.from_bytes(json.dumps(document).encode())
    change(document)
    with pytest.raises(ValueError, match=r".+"):
        Carried.from_bytes(json.dumps(document).encode())


def test_what_is_known_of_the_inputs_comes_along(
    record: Record, elsewhere: Record, run_there: Callable[..., str]
) -> None:
    files = (InputFile(path="a.csv", digest=Digest.of(b"a"), size=1),)
    digest = folder_digest([(file.path, file.digest.hex, file.size) for file in files])
    known = InputData(digest=digest, folder=True, count=1, size=1, files=files)
    program = Program(name="digits", command=("python",), inputs={"set": digest})
    item = elsewhere.transfer.carry(run_there(program=program, inputs=(known,)))
    assert item.inputs == (known,)
    bring(record, Carried.from_bytes(item.to_bytes()))
    assert record.transfer.carry(item.run.id) == item
    other = (InputFile(path="b.csv", digest=Digest.of(b"a"), size=1),)
    for lie in ({"files": other}, {"count": 2}, {"folder": False}, {"digest": Digest.of(b"x")}):
        forged = item.model_copy(update={"inputs": (known.model_copy(update=lie),)})
        with pytest.raises(ValueError, match=r"no folder of these files|no input of this digest"):
            Carried.from_bytes(forged.to_bytes())


def test_a_run_of_the_future_is_refused(record: Record, pair: list[Carried]) -> None:
    """It would be `run:JOB@latest` for ever."""
    with pytest.raises(UsageError, match="created in the future"):
        bring(record, changed(pair[0], created_at=datetime(2199, 1, 1, tzinfo=UTC)))


def test_what_a_bundle_says_of_an_input_yields_to_who_has_its_bytes(
    record: Record, run_there: Callable[..., str], elsewhere: Record, tmp_path: Path
) -> None:
    """Nothing proves a size without a list of files; and a lie would hide the files from `origin`."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.csv").write_text("a")
    true = read_input(tmp_path / "set")
    lie = InputData(digest=true.digest, folder=False, count=1, size=7)
    program = Program(name="digits", command=("python",), inputs={"set": true.digest})
    item = elsewhere.transfer.carry(run_there(program=program, inputs=(lie,)))
    bring(record, item)
    assert record.data_sets.known_input(true.digest) == lie
    version, _ = record.data_sets.add("mnist", true, "ada")
    assert (version.folder, version.files, version.size) == (True, 1, 1)
    assert record.data_sets.known_input(true.digest) == true
    assert [one.path for one in record.data_sets.mentions([Digest.of(b"a")])] == ["a.csv"]
    events = record.ledger.head().size
    record.data_sets.add("again", true, "ada")
    assert record.ledger.head().size == events + 1
    bring(record, elsewhere.transfer.carry(run_there(program=program, inputs=(lie,))))
    assert record.data_sets.known_input(true.digest) == true
    assert wrong(record) == []


@pytest.mark.parametrize("data", [b"", b"[" * 100_000, b"\xff", b"null", b'{"run": {}}'])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Carried.from_bytes(data)
