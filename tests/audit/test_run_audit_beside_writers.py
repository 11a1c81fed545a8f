"""An audit while others write: nothing is wrong, so nothing is found."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.records import new_run
from support.tampered_world import HERE, image, look, result

from orchestrator.audit.heads.signed_heads import sign_ledger
from orchestrator.audit.run_audit import AuditPart
from orchestrator.launch.session import Session
from orchestrator.record.ledger.fold_events import LedgerEvent
from orchestrator.record.ledger.snapshot import Snapshot
from orchestrator.record.store.blob_store import Stored
from orchestrator.record.store.folder_store import BlobStore
from orchestrator.settings import Settings, load

fork = multiprocessing.get_context("fork")
WRITERS, RUNS = 16, 3


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    variables = {"REPRISE_HOME": str(tmp_path / "home")}
    if request.param == "postgres":
        variables["REPRISE_DATABASE_URL"] = request.getfixturevalue("postgres").new_record()
    return load(variables)


def submit_and_finish(begun: Any, number: int, settings: Settings) -> None:
    """Runs whose images, inputs and bytes are new, or those of others."""
    begun.wait()
    with Session(settings) as session:
        for turn in range(RUNS):
            new = new_run(image=image(f"i{turn}" if number % 2 else f"i{number} {turn}"))
            session.record.submit(new)
            attempt = session.record.claim(new.id, f"box {number}", "boot", "pid 1")
            session.record.finish(new.id, attempt, result(session.store, f"{number % 4} {turn}"))
            session.record.annotations.tag(new.id, ["odd"], "ada")
            if turn % 2:
                sign_ledger(session)


@pytest.mark.slow
def test_an_audit_while_16_writers_submit_and_finish_finds_nothing_wrong(settings: Settings) -> None:
    with Session(settings) as session:
        session.record.ledger.head()
    begun = fork.Barrier(WRITERS + 1)
    writers = [
        fork.Process(target=submit_and_finish, args=(begun, number, settings)) for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    during, sizes = 0, set()
    try:
        begun.wait()
        while any(writer.is_alive() for writer in writers):
            with Session(settings) as session:
                before = session.record.ledger.head().size
                assert look(session, *HERE) == []
                after = session.record.ledger.head().size
            during += before != after
            sizes.add(before)
    finally:
        for writer in writers:
            writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    assert during >= 1, "no audit ran while something was written"
    with Session(settings) as session:
        assert look(session, *HERE) == []
        assert session.record.everything.count_runs() == WRITERS * RUNS


def record_one(settings: Settings, name: str) -> None:
    """A run with an image, an input of the ledger, and bytes that nobody had."""
    with Session(settings) as session:
        new = new_run(image=image(name))
        session.record.submit(new)
        session.record.claim(new.id, "box", "boot", "pid 1")
        session.record.finish(new.id, 1, result(session.store, name))


def test_a_run_that_is_recorded_after_the_store_was_listed_lacks_nothing(settings: Settings) -> None:
    record_one(settings, "before")

    class Late(BlobStore):
        def blobs(self) -> Iterator[Stored]:
            yield from super().blobs()
            record_one(settings, "meanwhile")

    with Session(settings) as session:
        session.__dict__["store"] = Late(settings.store)
        assert look(session, AuditPart.BLOBS) == []


def test_an_image_that_is_recorded_while_events_are_read_is_accounted_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_one(settings, "before")
    told = Snapshot.shared_events

    def late(snapshot: Snapshot) -> Iterator[LedgerEvent]:
        yield from told(snapshot)
        record_one(settings, "meanwhile")

    monkeypatch.setattr(Snapshot, "shared_events", late)
    with Session(settings) as session:
        assert look(session, AuditPart.ROWS) == []
        monkeypatch.undo()
        assert look(session, AuditPart.ROWS, AuditPart.LEDGER) == []


def test_what_is_written_and_signed_while_the_ledger_is_read_is_no_contradiction(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_one(settings, "before")
    with Session(settings) as session:
        sign_ledger(session)
        everything = session.record.everything
        events = everything.ledger_events

        def late() -> Iterator[LedgerEvent]:
            record_one(settings, "meanwhile")
            sign_ledger(session)
            yield from events()
            record_one(settings, "at the end")
            sign_ledger(session)

        monkeypatch.setattr(everything, "ledger_events", late)
        assert look(session, AuditPart.LEDGER) == []
