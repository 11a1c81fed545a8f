"""Stores with one fault each: found, named, and nothing else beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.records import new_run
from support.tampered_world import HERE, World, all_findings, look, said

from orchestrator.audit.run_audit import AuditPart
from orchestrator.digest import Digest
from orchestrator.launch.garbage import collect


def some_blob(world: World, table: str = "output") -> tuple[str, Path]:
    with world.sql() as connection:
        (digest,) = connection.execute(f"SELECT digest FROM {table} ORDER BY digest LIMIT 1").fetchone()
    return digest, world.blob(digest)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def hole(path: Path) -> None:
    """Two tebibytes, which take no disk: to read them takes a quarter of an hour at least."""
    path.unlink()
    path.touch()
    os.truncate(path, 1 << 41)


def leads_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def leads_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def leads_to_zeros(path: Path) -> None:
    """What reads on without an end would read for ever."""
    size = path.stat().st_size
    path.unlink()
    other = path.with_name("other")
    other.write_bytes(bytes(size))
    path.symlink_to(other)


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (Path.unlink, "blob missing"),
    (cut, "blob altered"),
    (lambda path: path.write_bytes(b""), "blob altered"),
    (hole, "blob altered"),
    (folder, "blob altered"),
    (leads_nowhere, "blob missing"),
    (leads_to_itself, "blob missing"),
    (leads_to_zeros, "blob altered"),
    (lambda path: shutil.rmtree(path.parent), "blob missing"),
]


@pytest.mark.parametrize(
    ("table", "fault", "kind"),
    [("output", *one) for one in FAULTS]
    + [(table, *one) for table in ("log", "trace") for one in FAULTS[:2]],
)
def test_a_broken_blob_is_the_one_thing_that_is_named(
    world: World, table: str, fault: Callable[[Path], object], kind: str
) -> None:
    digest, path = some_blob(world, table)
    assert not path.is_symlink()
    fault(path)
    assert said(world.findings(AuditPart.BLOBS)) == {(kind, f"blob {digest}")}
    assert {one.kind.value for one in world.findings()} == {kind}


def test_what_does_not_belong_there_is_a_note(world: World) -> None:
    (world.settings.store / "sha256" / "ab").mkdir(exist_ok=True)
    (world.settings.store / "sha256" / "ab" / "notes.txt").write_text("mine")
    with world.opened() as session:
        unnamed = session.store.put_bytes(b"of a run that was killed")
        found = all_findings(session, AuditPart.BLOBS)
    assert {(one.kind.value, one.wrong) for one in found} == {("blob unnamed", False)}
    assert {one.subject for one in found} == {"store", f"blob {unnamed}"}


def test_a_hole_that_nothing_names_is_told_and_not_read(world: World) -> None:
    place = world.blob(Digest.of(b"of nobody"))
    place.parent.mkdir(exist_ok=True)
    place.touch()
    os.truncate(place, 1 << 41)
    with world.opened() as session:
        (found,) = all_findings(session, AuditPart.BLOBS)
    assert (found.kind.value, found.wrong) == ("blob unnamed", False)


def test_what_gc_removed_has_a_tombstone_and_is_no_fault(world: World) -> None:
    with world.opened() as session:
        gone = session.store.put_bytes(b"of a run that was killed")
        os.utime(world.blob(gone), (1, 1))
        collect(session, timedelta(hours=1), lambda _seen: None)
        assert not session.store.has(gone)
        assert look(session, *HERE) == []


def test_a_blob_that_a_row_names_and_gc_removed_is_told_with_its_event(world: World) -> None:
    """It cannot happen but for a fault of ours, or for a row that was put in later."""
    digest, path = some_blob(world)
    with world.opened() as session:
        index = session.record.ledger.add_event(
            "store.swept", None, {"blobs": {digest: 1}, "policy": "by hand"}
        )
        path.unlink()
        (one,) = [one for one in look(session, AuditPart.BLOBS) if one.kind.value == "blob missing"]
    assert f"event {index} says that gc removed it" in one.detail


def test_a_run_that_nobody_is_at_is_a_note(world: World) -> None:
    with world.opened() as session:
        run, _ = session.record.submit(new_run())
    old = (datetime.now(UTC) - timedelta(days=3)).strftime("%Y-%m-%d %H:%M:%S.%f")
    with world.sql() as connection:
        connection.execute("UPDATE run SET created_at = ? WHERE public_id = ?", (old, run))
    with world.opened() as session:
        found = all_findings(session, AuditPart.RUNS)
    # The world's own open run is at a box that is silent once the world is a few minutes old.
    about = [(one.kind.value, one.subject, one.wrong) for one in found if one.run == run]
    assert about == [("run stuck", f"run {run}", False)]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM ledger", ("tree differs", "the table `ledger`")),
        ("INSERT INTO ledger VALUES ('0123456789abcdef', 0, x'')", ("tree differs", "the table `ledger`")),
        ("DELETE FROM event", ("ledger shorter", "ledger")),
        ("DELETE FROM checkpoint", ("tree head missing", "tree head over 15 events")),
        ("UPDATE ledger SET size = size - 1", ("tree differs", "the table `ledger`")),
        ("DELETE FROM run WHERE id = 1", ("row unaccounted for", "metric")),
        ("DELETE FROM image", ("row missing", "image 1")),
    ],
)
def test_a_broken_record_is_named(world: World, statement: str, found: tuple[str, str]) -> None:
    with world.sql() as connection:
        connection.execute(statement)
    assert found in said(world.findings())
