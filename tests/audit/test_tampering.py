"""Whatever is changed behind Reprise's back is found, and named; and what cannot be found is not claimed."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.altered import flipped
from support.records import new_run
from support.services import PostgresServer
from support.tampered_world import (
    EVENTS,
    HERE,
    LEDGER_AND_ROWS,
    SIGNED,
    World,
    all_findings,
    another,
    change_the_seed,
    columns,
    documents,
    everything_kept,
    forget,
    image,
    look,
    make_world,
    names_event,
    result,
    rewrite,
    said,
    sign_all,
    witness,
)

from orchestrator.audit.findings import Finding
from orchestrator.audit.heads.signed_heads import sign_ledger
from orchestrator.audit.keys import key_path, signing_key
from orchestrator.audit.run_audit import AuditPart
from orchestrator.launch.session import Session
from orchestrator.record.ledger.row_evidence import NOT_COVERED
from orchestrator.record.schema import tables
from orchestrator.settings import load

CHECKED_OTHERWISE = ("event", "ledger", "checkpoint")


@pytest.fixture(scope="module")
def watched(made: World) -> Iterator[Session]:
    """One session over the shared world, for tests that put back what they change."""
    with made.opened() as session:
        assert look(session, *HERE) == []
        yield session
        assert look(session, *HERE) == []


def uncovered(table: str, column: str) -> bool:
    return table in NOT_COVERED or f"{table}.{column}" in NOT_COVERED


# Columns


def owner_of(world: World, table: str, row: dict[str, Any]) -> str:
    """What a finding about this row is called."""
    with world.sql() as connection:

        def one(query: str, key: Any) -> Any:
            return connection.execute(query, (key,)).fetchone()[0]

        if table == "run":
            return f"run {row['public_id']}"
        if "run_id" in row:
            return f"run {one('SELECT public_id FROM run WHERE id = ?', row['run_id'])}"
        if table in ("job", "box"):
            return f"{table} {row['name']}"
        if table == "image":
            return f"image {row['digest']}"
        if table == "image_layer":
            return f"image {one('SELECT digest FROM image WHERE id = ?', row['image_id'])}"
        if table == "input_data":
            return f"input_data {row['digest']}"
        if table == "input_file":
            return f"input_data {row['folder']}"
        if table == "data_version":
            return f"data_version {row['name']}"
        if table == "event":
            return f"event {row['idx']}"
        return {"ledger": "the table `ledger`", "checkpoint": f"tree head over {row.get('size')} events"}[
            table
        ]


@pytest.mark.parametrize(("table", "column"), columns())
def test_a_changed_column_is_found_and_named(made: World, watched: Session, table: str, column: str) -> None:
    covered = table in CHECKED_OTHERWISE or not uncovered(table, column)
    with made.sql() as connection:
        connection.row_factory = lambda cursor, row: dict(
            zip([name for name, *_ in cursor.description], row, strict=True)
        )
        row = connection.execute(f'SELECT rowid AS "_row", * FROM "{table}" LIMIT 1').fetchone()
        before, rowid = row[column], row.pop("_row")
        owner = owner_of(made, table, row)
        changed = f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?'
        after = another(table, column, before)
        assert connection.execute(changed, (after, rowid)).rowcount == 1
        keys = [key.name for key in tables.METADATA.tables[table].primary_key]
        moved = keys == [column] and isinstance(before, int)  # then it is the row number itself
        try:
            findings = look(watched, *LEDGER_AND_ROWS)
        finally:
            assert connection.execute(changed, (before, after if moved else rowid)).rowcount == 1
    if not covered or f"{table}.{column}" == "checkpoint.at":
        assert findings == [] or column == "run_id"  # that one is found: no such run
        return
    assert findings, f"{table}.{column}: {before!r} -> {after!r}"
    if table == "ledger":
        assert any(word in {one.kind for one in findings} for word in ("tree differs", "another ledger"))
        return
    about = [one for one in findings if one.subject.startswith(owner)]
    assert about, f"{owner}: {findings}"
    if column not in keys:
        words = {"made_by": "by", "document": "document"}.get(column, column)
        named = [one for one in about if f"{table}" in one.detail or words in one.detail]
        assert named or column in ("public_id", "text"), about


def test_what_is_not_covered_is_known() -> None:
    """Beside these, a change of any column of any table is found: the test above."""
    rest = [f"{table}.{column}" for table, column in columns() if uncovered(table, column)]
    rest = [name for name in rest if name.partition(".")[0] not in CHECKED_OTHERWISE]
    assert {*rest, "checkpoint.at"} == {
        *("box.state", "box.seen_at", "box.trouble"),
        *("log_chunk.run_id", "log_chunk.number", "log_chunk.start", "log_chunk.data"),
        *("live_state.run_id", "live_state.number", "live_state.document", "live_state.at"),
        "checkpoint.at",
    }
    text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    for name in ("box.state", "box.seen_at", "box.trouble", "log_chunk", "live_state", "checkpoint.at"):
        assert f"`{name}`" in text


NO_VALUES = [
    ("run", "state", "sleeping"),
    ("run", "created_at", "yesterday"),
    ("run", "seconds", "long"),
    ("run", "seed", "x"),
    ("run", "program", "no JSON"),
    ("attempt", "claimed_at", 12),
    ("metric", "num", "much"),
    ("output", "status", "lost"),
    ("output", "digest", "no digest"),
    ("image_layer", "kind", "icing"),
    ("image", "digest", "no digest"),
    ("verdict", "document", "{"),
    ("verdict", "outcome", "fine"),
    ("event", "at", "yesterday"),
    ("event", "kind", b"\xff\xfe"),
    ("event", "document", "text"),
    ("event", "document", b"[" * 100_000),
    ("ledger", "size", "many"),
    ("ledger", "frontier", b""),
    ("checkpoint", "text", "signed, me"),
]


@pytest.mark.parametrize(("table", "column", "value"), NO_VALUES)
def test_what_is_no_value_of_its_column_stops_no_audit(
    world: World, table: str, column: str, value: Any
) -> None:
    """SQLite takes anything anywhere, once its checks are switched off."""
    with world.sql() as connection:
        connection.execute(
            f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = (SELECT min(rowid) FROM {table})', (value,)
        )
    findings = world.findings()
    assert findings
    # Open runs are asked for all at once; what stops that is named by the rows.
    assert {one.subject for one in findings if one.subject.startswith("the part")} <= {"the part runs"}
    if table == "run":
        assert any(one.run == world.original for one in findings)


def test_text_that_is_no_text_is_told(world: World) -> None:
    with world.sql() as connection:
        connection.execute("UPDATE run SET message = CAST(x'fffe' AS TEXT) WHERE id = 1")
        connection.execute("UPDATE event SET made_by = CAST(x'fffe' AS TEXT) WHERE idx = 5")
    found = said(world.findings(*LEDGER_AND_ROWS))
    assert ("cannot be read", f"run {world.original}") in found
    assert ("event altered", "event 5") in found


# Rows


def tables_with_events() -> list[str]:
    return sorted({table for table, _ in columns()} - NOT_COVERED.keys())


@pytest.mark.parametrize("table", tables_with_events())
def test_a_row_that_is_gone_or_put_in_is_found_and_named(world: World, table: str) -> None:
    with world.sql() as connection:
        names = [column.name for column in tables.METADATA.tables[table].columns]
        row = dict(
            zip(names, connection.execute(f'SELECT {_quoted(names)} FROM "{table}"').fetchone(), strict=True)
        )
        owner = owner_of(world, table, row)
        # Into another table first: so that the same rows can be put back elsewhere.
        connection.execute(f"DELETE FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})")
    gone = world.findings(*LEDGER_AND_ROWS)
    key = owner if not table.startswith(("job", "image", "box", "data_")) or table == "image_layer" else table
    assert any(one.subject.startswith(key) for one in gone), gone
    assert {one.kind.value for one in gone} & {"row missing", "row altered"}

    with world.sql() as connection:
        marks = ", ".join("?" * len(names))
        connection.execute(f'INSERT INTO "{table}" ({_quoted(names)}) VALUES ({marks})', tuple(row.values()))
        assert world.findings(*LEDGER_AND_ROWS) == []
        twice = {name: _other_key(table, name, value) for name, value in row.items()}
        if tuple(twice.values()) == tuple(row.values()):
            return  # one row per run at most
        connection.execute(
            f'INSERT INTO "{table}" ({_quoted(names)}) VALUES ({marks})', tuple(twice.values())
        )
    put_in = world.findings(*LEDGER_AND_ROWS)
    assert {one.kind.value for one in put_in} & {"row unaccounted for", "row altered"}, put_in


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _other_key(table: str, name: str, value: Any) -> Any:
    column = tables.METADATA.tables[table].c[name]
    unique = [("run", "key"), ("run", "public_id"), ("job", "name"), ("image", "digest")]
    unique += [("data_version", "version")]
    if not (column.primary_key or (table, name) in unique) or name in ("run_id", "image_id", "folder"):
        return value
    return value + 1000 if isinstance(value, int) else f"{value}x"


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("output", ("path", "digest", "size")),
        ("metric_point", ("step", "text", "num")),
        ("flag", ("pid", "end")),
        ("trace", ("rank", "pid")),
        ("note", ("text",)),
        ("image_layer", ("position",)),
        ("input_file", ("path",)),
        ("package", ("version",)),
        ("source_file", ("sha256",)),
        ("attempt", ("claimed_at", "executor")),
        ("annotation", ("kind", "word", "text")),
    ],
)
def test_rows_in_another_order_are_found(world: World, table: str, columns: tuple[str, ...]) -> None:
    with world.sql() as connection:
        rows = connection.execute(
            f"SELECT rowid, {_quoted(list(columns))} FROM {table} ORDER BY rowid LIMIT 2"
        )
        (one, *first), (two, *second) = rows.fetchall()
        changed = f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in columns)} WHERE rowid = ?"
        if columns == ("position",):
            connection.execute(changed, (99, one))
        connection.execute(changed, (*first, two))
        connection.execute(changed, (*second, one))
        same = first == second or columns == ("position",)
    findings = world.findings(AuditPart.ROWS)
    if columns == ("position",):  # both rows are equal but for it: exchanged, they are the same list
        assert findings == []
        return
    assert not same
    assert {one.kind.value for one in findings} == {"row altered"}
    assert all(one.detail.startswith(table) for one in findings)


def test_a_run_whose_moment_was_moved_back_is_looked_at_all_the_same(world: World) -> None:
    """Where only what is new is asked for, too: else its row says how far an audit goes."""
    since = datetime.now(UTC) - timedelta(days=1)
    assert world.findings(*HERE, since=since) == []
    with world.sql() as connection:
        connection.execute("UPDATE run SET seed = 1, created_at = '2001-01-01 00:00:00.000000' WHERE id = 1")
    found = said(world.findings(AuditPart.ROWS, since=since))
    assert found == {("row altered", f"run {world.original}")}
    found = said(world.findings(AuditPart.ROWS, since=datetime.now(UTC) + timedelta(days=1)))
    assert found == set()


# Events


@pytest.mark.parametrize("index", range(EVENTS))
def test_a_flipped_byte_in_any_region_of_an_event_is_found_and_named(
    made: World, watched: Session, index: int
) -> None:
    whole = documents(made)[index]
    steps = max(1, len(whole) // 12)
    changed = "UPDATE event SET document = ? WHERE idx = ?"
    with made.sql() as connection:
        for at in sorted({0, len(whole) - 1, *range(0, len(whole), steps)}):
            connection.execute(changed, (flipped(whole, at), index))
            findings = look(watched, AuditPart.LEDGER)
            connection.execute(changed, (whole, index))
            assert names_event(findings, index), f"byte {at}: {findings}"
            if index < SIGNED[-1]:
                assert "tree head differs" in {one.kind.value for one in findings}


def test_events_taken_out_put_in_exchanged_and_renumbered_are_named(world: World, made: World) -> None:
    def broken(*statements: str) -> list[Finding]:
        # By SQLite itself: a file that is copied over another meets the log that is left of it.
        with made.sql() as unbroken, world.sql() as connection:
            unbroken.backup(connection)
            for statement in statements:
                connection.execute(statement)
        return world.findings(AuditPart.LEDGER)

    for index in range(EVENTS):
        findings = broken(f"DELETE FROM event WHERE idx = {index}")
        last = index == EVENTS - 1
        where = ("tree differs", "ledger") if last else ("event missing", f"event {index}")
        assert where in said(findings)
    copy = "INSERT INTO event SELECT {0}, at, made_by, kind, run, document FROM event WHERE idx = 7"
    findings = broken(copy.format(EVENTS))
    assert ("event out of order", f"event {EVENTS}") in said(findings)
    assert names_event(findings, EVENTS)
    up = [
        "UPDATE event SET idx = idx + 1000 WHERE idx > 9",
        "UPDATE event SET idx = idx - 999 WHERE idx > 999",
    ]
    findings = broken(*up, copy.format(10))
    assert {("event out of order", f"event {index}") for index in range(10, EVENTS + 1)} <= said(findings)
    down = ["DELETE FROM event WHERE idx = 9", "UPDATE event SET idx = idx - 1 WHERE idx > 9"]
    assert ("event out of order", "event 9") in said(broken(*down))
    swap = [f"UPDATE event SET idx = {b} WHERE idx = {a}" for a, b in ((3, 99), (12, 3), (99, 12))]
    found = said(broken(*swap))
    assert {("event out of order", "event 3"), ("event out of order", "event 12")} <= found
    assert ("event missing", "event 25") in said(broken("UPDATE event SET idx = 900 WHERE idx = 25"))
    found = said(broken("UPDATE event SET idx = 900000000000 WHERE idx = 25"))
    assert ("event missing", "event 25") in found


# The ledger, rewritten by somebody who knows how it is made


def test_a_past_that_was_rewritten_whole_is_found(world: World) -> None:
    change_the_seed(world)
    found = said(world.findings(*LEDGER_AND_ROWS))
    assert found == {("tree head differs", "events 0 to 14")}


def test_a_past_that_was_rewritten_and_signed_by_another_key_is_found(world: World, tmp_path: Path) -> None:
    change_the_seed(world)
    sign_all(world, tmp_path / "mallory")
    found = said(world.findings(*LEDGER_AND_ROWS))
    assert {("tree head differs", f"tree head over {size} events") for size in SIGNED} <= found
    assert ("tree head differs", "events 0 to 14") in found


def test_a_past_that_was_rewritten_without_tree_heads_is_found(world: World) -> None:
    change_the_seed(world)
    with world.sql() as connection:
        connection.execute("DELETE FROM checkpoint")
    found = said(world.findings(*LEDGER_AND_ROWS))
    assert ("tree head missing", "tree head over 15 events") in found
    assert ("tree head differs", "events 0 to 14") in found


def test_another_ledger_in_its_place_is_found(world: World) -> None:
    """With a name of its own, so that no tree head is about it."""
    with world.opened() as session:
        before = session.record.ledger.head().origin
    change_the_seed(world)
    with world.sql() as connection:
        connection.execute("DELETE FROM checkpoint")
        connection.execute("UPDATE ledger SET id = ?", (secrets.token_hex(8),))
    assert ("another ledger", f"ledger {before}") in said(world.findings(AuditPart.LEDGER))


def test_what_a_witness_holds_is_found_on_any_box(world: World, tmp_path: Path) -> None:
    kept = witness(world)
    with world.opened() as session:
        key = signing_key(session.settings).public
    change_the_seed(world)
    sign_all(world, tmp_path / "mallory")
    forget(world)
    key_path(world.settings).unlink()  # an auditor's box, with a key of its own
    assert world.findings(*LEDGER_AND_ROWS) == []
    found = said(world.findings(*LEDGER_AND_ROWS, witnesses=(kept,), keys=(key,)))
    assert found == {("tree head differs", "events 0 to 14")}


@pytest.mark.parametrize("keep", [0, 5, 15, 20, 23])
def test_a_ledger_that_was_cut_is_found_by_what_was_signed(world: World, keep: int) -> None:
    kept = witness(world)
    rewrite(world, everything_kept, keep)
    found = said(world.findings(AuditPart.LEDGER))
    assert ("ledger shorter", "ledger") in found
    with world.sql() as connection:
        connection.execute("DELETE FROM checkpoint WHERE size > ?", (keep,))
    assert ("ledger shorter", "ledger") in said(world.findings(AuditPart.LEDGER))
    forget(world)
    assert ("ledger shorter", "ledger") in said(world.findings(AuditPart.LEDGER, witnesses=(kept,)))


def test_rows_of_what_was_cut_off_are_unaccounted_for(world: World) -> None:
    rewrite(world, everything_kept, 15)
    found = said(world.findings(AuditPart.ROWS))
    assert ("row unaccounted for", f"run {world.rerun}") in found


# What cannot be found, as docs/audit.md says


def test_not_found_the_end_after_the_last_tree_head(world: World) -> None:
    """Events 24 to 26, and their run and named data with them: nothing was signed after it."""
    rewrite(world, everything_kept, SIGNED[-1])
    with world.sql() as connection:
        for table in ("attempt", "wanted", "log_chunk", "live_state"):
            connection.execute(f"DELETE FROM {table} WHERE run_id = 3")
        connection.execute("DELETE FROM run WHERE id = 3")
        connection.execute("DELETE FROM data_version")
    assert world.findings() == []


def test_not_found_what_was_cut_where_no_copy_is_left(world: World) -> None:
    rewrite(world, everything_kept, SIGNED[0])
    with world.sql() as connection:
        connection.execute("DELETE FROM checkpoint WHERE size > ?", (SIGNED[0],))
        for table in ("verdict", "annotation", "log_chunk", "live_state", "run"):
            key = "id" if table == "run" else "run_id"
            connection.execute(f"DELETE FROM {table} WHERE {key} > 1")
        connection.execute("DELETE FROM annotation")
        connection.execute("DELETE FROM data_version")
        for table in tables.METADATA.tables.values():
            if "run_id" in table.columns:
                connection.execute(f"DELETE FROM {table.name} WHERE run_id > 1")
    assert world.findings(*LEDGER_AND_ROWS) != []  # this box remembers
    forget(world)
    assert world.findings(*LEDGER_AND_ROWS) == []


def test_not_found_a_past_rewritten_where_no_copy_is_left(world: World) -> None:
    change_the_seed(world)
    with world.sql() as connection:
        connection.execute("DELETE FROM checkpoint")
    forget(world)
    assert world.findings(*LEDGER_AND_ROWS) == []
    with world.opened() as session:
        found = all_findings(session, AuditPart.LEDGER)
    assert [one.kind.value for one in found] == ["no tree head"]


def test_not_found_a_lie_at_the_time_of_writing(world: World) -> None:
    """A run that never was, written by the ledger's own rules, and signed by the box."""
    with world.opened() as session:
        new = new_run(image=image("image"))
        session.record.submit(new)
        session.record.claim(new.id, "b0", "boot", "pid 9")
        session.record.finish(new.id, 1, result(session.store, metrics={"accuracy": 1.0}))
        sign_ledger(session)
    assert world.findings() == []


# Signed tree heads


def test_a_change_of_any_letter_of_a_tree_head_is_found(made: World, watched: Session) -> None:
    changed = "UPDATE checkpoint SET text = ? WHERE size = ?"
    with made.sql() as connection:
        text = connection.execute("SELECT text FROM checkpoint WHERE size = ?", (SIGNED[0],)).fetchone()[0]
        for at, letter in enumerate(text):
            other = "B" if letter != "B" else "C"
            connection.execute(changed, (text[:at] + other + text[at + 1 :], SIGNED[0]))
            findings = look(watched, AuditPart.LEDGER)
            assert any("15 events" in one.subject for one in findings), (at, letter, findings)
        for other in ("", text[:-1], text + text, text.partition("\n\n")[0] + "\n\n"):
            connection.execute(changed, (other, SIGNED[0]))
            assert look(watched, AuditPart.LEDGER), other
        connection.execute(changed, (text, SIGNED[0]))


def test_a_signature_of_the_boxs_key_over_something_else_is_no_proof(world: World) -> None:
    """Body and signature exchanged between two tree heads, and a root that nobody had."""
    with world.sql() as connection:
        notes = dict(connection.execute("SELECT size, text FROM checkpoint").fetchall())
        bodies = {size: note.partition("\n\n")[0] for size, note in notes.items()}
        signed = {size: note.partition("\n\n")[2] for size, note in notes.items()}
        mixed = f"{bodies[15]}\n\n{signed[24]}"
        connection.execute("UPDATE checkpoint SET text = ? WHERE size = 15", (mixed,))
        lines = bodies[24].split("\n")
        lines[2] = base64.b64encode(os.urandom(32)).decode()
        connection.execute(
            "UPDATE checkpoint SET text = ? WHERE size = 24", ("\n".join(lines) + f"\n\n{signed[24]}",)
        )
    found = said(world.findings(AuditPart.LEDGER))
    assert {("tree head not signed", f"tree head over {size} events") for size in SIGNED} <= found


# Blobs


def test_any_byte_of_any_blob_is_found_and_named(world: World) -> None:
    paths = sorted((world.settings.store / "sha256").glob("*/*"))
    assert len(paths) >= 9
    for path in paths:
        whole = path.read_bytes()
        for at in sorted({0, 1, len(whole) // 2, len(whole) - 1}):
            path.write_bytes(flipped(whole, at, 0x80))
            assert said(world.findings(AuditPart.BLOBS)) == {("blob altered", f"blob sha256:{path.name}")}
        path.write_bytes(whole)
    assert world.findings(AuditPart.BLOBS) == []


def test_blobs_that_are_gone_exchanged_cut_or_longer_are_named(world: World) -> None:
    paths = sorted((world.settings.store / "sha256").glob("*/*"))
    data = {path: path.read_bytes() for path in paths}
    gone, one, two, cut, longer, empty = paths[:6]
    gone.unlink()
    one.write_bytes(data[two])
    two.write_bytes(data[one])
    cut.write_bytes(data[cut][:-1])
    longer.write_bytes(data[longer] + b"\0")
    empty.write_bytes(b"")
    altered = {("blob altered", f"blob sha256:{path.name}") for path in (one, two, cut, longer, empty)}
    assert said(world.findings(AuditPart.BLOBS)) == {*altered, ("blob missing", f"blob sha256:{gone.name}")}


def test_a_verdict_that_the_evidence_does_not_bear_out_is_named(world: World) -> None:
    """Even where whoever changed it could rewrite the ledger with it."""
    with world.sql() as connection:
        connection.execute(
            "UPDATE verdict SET outcome = 'identical', document = replace(document, 'different', 'identical')"
        )
    findings = world.findings(AuditPart.VERDICTS)
    assert said(findings) == {("verdict differs", f"verdict on run {world.rerun}")}


# Postgres


def in_postgres(home: Path, postgres: PostgresServer) -> tuple[World, str]:
    """The same in Postgres, and the address for whoever owns the server."""
    url = postgres.new_record()
    return make_world(load({"REPRISE_HOME": str(home), "REPRISE_DATABASE_URL": url})), url


@pytest.fixture(scope="module")
def team(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> Iterator[tuple[Session, psycopg.Connection]]:
    """A session, and its owner's connection, whom no constraint stops; what a test changes it puts back."""
    world, url = in_postgres(tmp_path_factory.mktemp("team") / "home", postgres)
    with world.opened() as session, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # no foreign key
        checks = connection.execute(
            "SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0"
        )
        for table, name in checks.fetchall():
            connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        assert look(session, *HERE) == []
        yield session, connection
        assert look(session, *HERE) == []


def one_of_each_type() -> list[Any]:
    """Of each table a column of each type, as drivers convert types; in the long shows every column."""
    met: set[tuple[str, str]] = set()
    found = []
    for table, column in columns():
        kind = tables.METADATA.tables[table].c[column].type
        key = (table, f"{type(kind).__name__} {kind}")
        found.append(pytest.param(table, column, marks=[pytest.mark.acceptance] if key in met else []))
        met.add(key)
    return found


@pytest.mark.server
@pytest.mark.parametrize(("table", "column"), one_of_each_type())
def test_on_postgres_a_changed_column_is_found(
    team: tuple[Session, psycopg.Connection], table: str, column: str
) -> None:
    """How it is named: the same test on SQLite."""
    session, connection = team
    first = connection.execute(f'SELECT ctid, "{column}" FROM "{table}" ORDER BY ctid LIMIT 1').fetchone()
    assert first is not None
    row, before = first
    changed = f'UPDATE "{table}" SET "{column}" = %s WHERE ctid = %s RETURNING ctid'
    ((row,),) = connection.execute(changed, (another(table, column, before), row)).fetchall()
    try:
        findings = look(session, *LEDGER_AND_ROWS)
    finally:
        connection.execute(changed, (before, row))
    if (
        uncovered(table, column) and table not in CHECKED_OTHERWISE
    ) or f"{table}.{column}" == "checkpoint.at":
        assert findings == [] or column == "run_id"
    else:
        assert findings


@pytest.mark.server
def test_on_postgres_rows_and_events_that_are_gone_are_named(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    world, url = in_postgres(tmp_path / "home", postgres)
    with world.opened() as session, psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM metric")
        connection.execute("DELETE FROM event WHERE idx = 9")
        connection.execute("DELETE FROM checkpoint WHERE size = 24")
        connection.commit()
        found = said(look(session, *LEDGER_AND_ROWS))
    assert ("event missing", "event 9") in found
    assert ("tree head missing", "tree head over 24 events") in found
    assert {("row missing", f"run {run}") for run in (world.original, world.rerun)} <= found
