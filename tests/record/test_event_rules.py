"""Who can write to the database can append events, too: what these change of the past is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tampered_world import EVENTS, LEDGER_AND_ROWS, World, append, look, make_world, said

from orchestrator.audit.exports.export_ledger import export
from orchestrator.audit.exports.offline_audit import audit_offline
from orchestrator.audit.heads.signed_heads import sign_ledger
from orchestrator.audit.keys import KnownKeys
from orchestrator.record.ledger.append_events import KINDS
from orchestrator.record.ledger.event_rules import RULES, against_rules, changes_shared
from orchestrator.record.ledger.fold_events import KEYED, LIST_NAMES, OWNED, SHARED, fold
from orchestrator.record.ledger.read_ledger import EventFilter
from orchestrator.record.runs.field_tables import RESULTS, SUBMITTED
from orchestrator.record.schema import tables
from orchestrator.settings import load

HIGH = [
    {"name": "accuracy", "num": "0.999", "text": "0.999"},
    {"name": "loss", "num": "0.25", "text": "0.25"},
]
OTHER = "sha256:" + "0" * 64
# Kind, whether it is about the first run, what it says, and how rows are made to agree with it.
APPENDED: list[tuple[str, bool, dict[str, Any], str]] = [
    ("run.finished", True, {"metric": HIGH}, "UPDATE metric SET text = '0.999', num = 0.999, low = 0.999, "
     "high = 0.999 WHERE run_id = 1 AND name = 'accuracy'"),
    ("run.finished", True, {"run": {"message": "fine"}}, "UPDATE run SET message = 'fine' WHERE id = 1"),
    ("run.submitted", True, {"run": {"seed": 1}}, "UPDATE run SET seed = 1 WHERE id = 1"),
    ("run.adopted", True, {"run": {"seed": 1}}, "UPDATE run SET seed = 1 WHERE id = 1"),
    ("run.noted", True, {"run": {"seed": 1}}, "UPDATE run SET seed = 1 WHERE id = 1"),
    ("run.moved", True, {"run": {"state": "running"}}, "UPDATE run SET state = 'running' WHERE id = 1"),
    ("run.placed", True, {"launch": {"1": {"launched_by": "bob"}}}, "UPDATE launch SET launched_by = 'bob'"),
    ("run.noted", True, {"annotation": {"1": {"made_by": "bob"}}},
     "UPDATE annotation SET made_by = 'bob' WHERE id = 1"),
    ("run.noted", True, {"annotation": {"1": {"text": "all is well"}}},
     "UPDATE annotation SET text = 'all is well' WHERE id = 1"),
    ("store.swept", True, {"run": {"seed": 1}}, "UPDATE run SET seed = 1 WHERE id = 1"),
    ("run.mended", True, {"run": {"seed": 1}}, "UPDATE run SET seed = 1 WHERE id = 1"),
    ("data.named", False, {"data_version": {"1": {"digest": OTHER}}},
     f"UPDATE data_version SET digest = '{OTHER}'"),
    ("job.recorded", False, {"job": {"1": {"created_at": "2020-01-01T00:00:00.000000Z"}}},
     "UPDATE job SET created_at = '2020-01-01 00:00:00.000000' WHERE id = 1"),
    ("image.recorded", False, {"image": {"1": {"base_name": "gpu"}}},
     "UPDATE image SET base_name = 'gpu' WHERE id = 1"),
    ("box.introduced", False, {"image": {"1": {"base_name": "gpu"}}},
     "UPDATE image SET base_name = 'gpu' WHERE id = 1"),
]  # fmt: skip


def columns_of(table: str) -> list[str]:
    return [column.name for column in tables.METADATA.tables[table].columns]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(load({"REPRISE_HOME": str(tmp_path_factory.mktemp("made") / "home")}))


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    return made.copy(tmp_path / "home")


@pytest.mark.parametrize(("kind", "of_run", "data", "agree"), APPENDED)
def test_an_event_that_changes_the_past_is_found(
    world: World, kind: str, of_run: bool, data: dict[str, Any], agree: str
) -> None:
    """Event and row agree, the tree has the event, and this box signs it: nothing but the rules speaks."""
    append(world, kind, world.original if of_run else None, data)
    with world.sql() as connection:
        connection.execute(agree)
    with world.opened() as session:
        sign_ledger(session)
        (found,) = look(session, *LEDGER_AND_ROWS)
    assert (found.kind.value, found.subject) == ("event against the rules", f"event {EVENTS}")
    assert kind in found.detail


def test_who_has_an_export_finds_it_too(world: World, tmp_path: Path) -> None:
    append(world, "run.finished", world.original, {"metric": HIGH})
    append(world, "data.named", None, {"data_version": {"1": {"digest": OTHER}}})
    with world.sql() as connection:
        connection.execute(APPENDED[0][3])
        connection.execute(f"UPDATE data_version SET digest = '{OTHER}'")
    with world.opened() as session:
        sign_ledger(session)
        export(session, tmp_path / "export", lambda _done, _total: None)
    found = audit_offline(tmp_path / "export", KnownKeys(), (), lambda _: lambda _done, _total: None)
    assert said([one for one in found if one.wrong]) == {
        ("event against the rules", f"event {index}") for index in (EVENTS, EVENTS + 1)
    }


def test_nothing_of_a_run_that_is_over_can_be_changed(made: World) -> None:
    """By no kind of event: every column of every row that is there."""
    with made.opened() as session:
        events = session.record.ledger.events(EventFilter(run=made.original))
    before: dict[str, Any] = {}
    for line in events:
        assert against_rules(line.kind, line.data, before) is None
        fold(before, line.data)
    let_through = set()
    for kind in RULES:
        for table in ("run", *KEYED):
            for column in columns_of(table):
                row = {column: "x"}
                data = (
                    {table: row if table == "run" else dict.fromkeys(before[table], row)}
                    if table in before
                    else {}
                )
                if data and against_rules(kind, data, before) is None:
                    let_through.add((kind, table, column))
        for table in LIST_NAMES:
            if against_rules(kind, {table: []}, before) is None:
                let_through.add((kind, table, ""))
        for table in SHARED:
            for column in columns_of(table):
                if changes_shared(kind, table, {column: "x"}, new=False) is None:
                    let_through.add((kind, table, column))
    # A launcher that is late; data whose facts a bundle had told wrong; a box that changes.
    may = {("run.placed", "launch", "ref")}
    may |= {("input.recorded", "input_data", name) for name in ("folder", "files", "size")}
    may |= {("box.introduced", "box", name) for name in columns_of("box") if name != "seen_at"}
    assert let_through == may


def test_each_kind_has_its_rule() -> None:
    assert RULES.keys() == KINDS.keys()
    asked = {"param", "run_input", *(held.table.name for held in SUBMITTED.values())}
    assert set(RULES["run.submitted"].adds) == {"run", *asked}
    assert set(RULES["run.finished"].adds) == {held.table.name for held in RESULTS.values()}
    known = {"run", *KEYED, *SHARED, *OWNED, *LIST_NAMES}
    for rule in RULES.values():
        assert known >= {*rule.adds, *rule.changes}
