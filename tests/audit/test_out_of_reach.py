"""What a reader of pages or of lines could pass over: keys below zero, names of several lines."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support.tampered_world import HERE, World, a_life, all_findings, make_world, said, witness

from orchestrator.audit.findings import Kind
from orchestrator.audit.heads.signed_heads import sign_ledger
from orchestrator.audit.heads.signed_note import sign_head
from orchestrator.audit.keys import signing_key
from orchestrator.audit.run_audit import AuditPart
from orchestrator.cli.main import run
from orchestrator.errors import ExitCode, RecordError
from orchestrator.launch.session import Session
from orchestrator.record.store import folder_store
from orchestrator.settings import load


@pytest.mark.parametrize("key", [0, -7, -(1 << 63)])
def test_a_run_with_a_key_of_its_own_choice_is_looked_at(world: World, key: int) -> None:
    with world.sql() as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(run)") if row[1] != "id"]
        other = {"public_id": "'feedfeedfeedfeed'", "key": "'forged'"}
        forged = ", ".join(other.get(name, name) for name in names)
        (first,) = connection.execute("SELECT min(id) FROM run").fetchone()
        connection.execute(
            f"INSERT INTO run (id, {', '.join(names)}) SELECT ?, {forged} FROM run WHERE id = ?", (key, first)
        )
    assert ("row unaccounted for", "run feedfeedfeedfeed") in said(world.findings(AuditPart.ROWS))


def test_a_run_that_was_moved_below_zero_is_still_compared(world: World) -> None:
    with world.sql() as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        (key, name) = connection.execute("SELECT id, public_id FROM run ORDER BY id LIMIT 1").fetchone()
        connection.execute("UPDATE run SET id = -2, seed = seed + 1 WHERE id = ?", (key,))
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if any(row[1] == "run_id" for row in connection.execute(f'PRAGMA table_info("{table}")')):
                connection.execute(f'UPDATE "{table}" SET run_id = -2 WHERE run_id = ?', (key,))
    assert ("row altered", f"run {name}") in said(world.findings(AuditPart.ROWS))


@pytest.mark.parametrize("table", ["run", "verdict"])
def test_what_is_nested_too_deeply_is_no_outage(world: World, table: str) -> None:
    """Or whoever writes such a row would have audits say that they looked at nothing."""
    column = {"run": "program", "verdict": "document"}[table]
    with world.sql() as connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", ("[" * 3000,))
    found = world.findings(AuditPart.VERDICTS)
    assert ("cannot be read", f"verdict on run {world.rerun}") in said(found)


def test_an_event_before_the_first_is_out_of_order(world: World) -> None:
    with world.sql() as connection:
        connection.execute(
            "INSERT INTO event (idx, at, made_by, kind, run, document) "
            "SELECT -1, at, made_by, kind, run, document FROM event WHERE idx = 0"
        )
    found = said(world.findings(AuditPart.LEDGER))
    assert ("event out of order", "event -1") in found
    assert "tree differs" in {kind for kind, _ in found}


@pytest.mark.parametrize("name", ["0f\n7\nAAAA", "0123456789ABCDEF", "", "reprise 0f"])
def test_no_other_name_of_a_ledger_is_ever_signed(world: World, name: str) -> None:
    with world.sql() as connection:
        connection.execute("UPDATE ledger SET id = ?", (name,))
    with world.opened() as session:
        with pytest.raises(RecordError, match="ledger is damaged"):
            sign_ledger(session)
        if not name.isalnum():
            with pytest.raises(ValueError, match="not a name of a ledger"):
                sign_head(f"reprise/{name}" if name else "", 1, bytes(32), signing_key(session.settings))


def test_what_ends_one_part_is_told_and_the_others_go_on(world: World) -> None:
    with world.sql() as connection:
        connection.execute("DROP TABLE note")
        connection.execute("UPDATE run SET seed = seed + 1 WHERE id = (SELECT min(id) FROM run)")
    found = said(world.findings(*HERE))
    assert ("cannot be read", "the part rows") in found or any(kind == "row altered" for kind, _ in found)


def test_a_witness_that_holds_nothing_for_this_ledger_is_wrong(world: World, tmp_path: Path) -> None:
    other = make_world(load({"REPRISE_HOME": str(tmp_path / "other")}))
    kept = witness(other)
    assert ("tree head not signed", str(kept)) in said(world.findings(AuditPart.LEDGER, witnesses=(kept,)))


def test_a_registry_that_does_not_answer_is_not_called_altered(tmp_path: Path) -> None:
    settings = load({"REPRISE_HOME": str(tmp_path / "home"), "REPRISE_REGISTRY": "localhost:1/nobody"})
    with Session(settings) as session:
        a_life(session)
        found = all_findings(session, AuditPart.REGISTRY)
    assert [one.kind for one in found] == [Kind.OUT_OF_REACH]
    assert "localhost:1" in found[0].detail


AWAY = {
    "database": ({"REPRISE_DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}, ("ledger", "rows", "runs")),
    "store": (
        {"REPRISE_STORE": "s3://bkt/x", "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "r"},
        ("blobs", "verdicts"),
    ),
    "folder": ({"REPRISE_STORE": "/nowhere/at/all"}, ("blobs", "verdicts")),
    "registry": ({"REPRISE_REGISTRY": "localhost:1/nobody"}, ("registry",)),
}


@pytest.mark.parametrize("part", [(name, part) for name, (_, parts) in AWAY.items() for part in parts])
def test_an_outage_is_no_tampering(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: tuple[str, str]
) -> None:
    """Code 5, as of every verb, and not 6: nobody knows whether anything was altered."""
    name, only = part
    monkeypatch.setattr("orchestrator.record.database.postgres.PATIENCE", 0.2)
    monkeypatch.setattr("orchestrator.record.store.bucket_store.PATIENCE", timedelta(seconds=0.2))
    monkeypatch.setenv("REPRISE_HOME", str(world.settings.home))
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "unimportant")
    for key, value in AWAY[name][0].items():
        monkeypatch.setenv(key, value)
    assert run(["audit", "--only", only, "--json"]) == ExitCode.INFRASTRUCTURE
    told = json.loads(capsys.readouterr().out)
    assert {one["kind"] for one in told["findings"]} == {"could not be looked at"}
    assert (told["wrong"], told["unknown"]) == (0, 1)
    run(["audit", "--only", only])
    assert "by hand" not in capsys.readouterr().out


def test_one_file_that_the_disk_does_not_give_is_not_called_altered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.sql() as connection:
        (digest,) = connection.execute("SELECT digest FROM output LIMIT 1").fetchone()
    real = folder_store.open_file

    def fails(path: Path, raw: Callable[[int], io.FileIO]) -> object:
        if path.name == digest.removeprefix("sha256:"):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, raw)

    monkeypatch.setattr(folder_store, "open_file", fails)
    with world.opened() as session:
        found = all_findings(session, AuditPart.BLOBS)
    assert [(one.kind, one.subject) for one in found] == [(Kind.OUT_OF_REACH, f"blob {digest}")]


def test_something_altered_weighs_more_than_something_away(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with world.sql() as connection:
        connection.execute("UPDATE run SET seed = seed + 1 WHERE id = (SELECT min(id) FROM run)")
    monkeypatch.setenv("REPRISE_HOME", str(world.settings.home))
    monkeypatch.setenv("REPRISE_REGISTRY", "localhost:1/nobody")
    assert run(["audit", "--only", "rows", "--only", "registry"]) == ExitCode.AUDIT
    assert "1 could not be looked at" in capsys.readouterr().out
