"""gc: what a run names stays, what is young stays, what goes is told."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.digest import Digest
from orchestrator.image.model import BaseRef, Layer, LayerKind
from orchestrator.launch.garbage import collect
from orchestrator.launch.session import Session
from orchestrator.record import tables
from orchestrator.record.blobs import BlobStore
from orchestrator.record.everything import BLOBS
from orchestrator.record.ledger import EventFilter
from orchestrator.record.model import ImageFacts, NewRun
from orchestrator.run.model import Log, Output, OutputStatus, Result, State, TraceFile
from orchestrator.settings import load
from orchestrator.spec.model import Resources, Tolerances
from orchestrator.spec.program import Program
from orchestrator.spec.tree import GitState

DAY = timedelta(days=1)

# Columns with a digest that is no blob of the store. A new one is to be put here, or into BLOBS.
NO_BLOBS = {
    "image.digest",
    "image.config_digest",
    "image.base_digest",
    "image.base_config_digest",
    "image_layer.digest",
    "box.bit_digest",
    "fingerprint.bit_digest",
    "source_file.sha256",
    "run_input.digest",
    "input_data.digest",
    "input_file.digest",
}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(load({"REPRISE_HOME": str(tmp_path)}))


def age(session: Session, *digests: Digest) -> None:
    assert isinstance(session.store, BlobStore)
    moment = (datetime.now(UTC) - 2 * DAY).timestamp()
    for digest in digests:
        os.utime(session.store.path(digest), (moment, moment))


def recorded(session: Session, text: str) -> list[Digest]:
    """A finished run that names one blob of each kind."""
    names = ("output", "log", "trace", "patch")
    blobs = {name: session.store.put_bytes(f"{name} of {text}".encode()) for name in names}
    digest = Digest.of(text.encode())
    base = BaseRef(name="cpu", digest=digest, config_digest=digest)
    layer = Layer(kind=LayerKind.SOURCE, digest=digest, diff_id=digest, size=1)
    git = GitState(commit="0" * 40, branch="main", dirty=True, patch_digest=blobs["patch"])
    run, _ = session.record.submit(
        NewRun(
            id=digest.hex[:16],
            key=text,
            image=ImageFacts(digest=digest, config_digest=digest, base=base, layers=(layer,)),
            program=Program(name="job", command=("x",), params={}, seed=0),
            resources=Resources(),
            tolerance=Tolerances(),
            submitted_by="ada",
            reference="reprise:1",
            git=git,
        )
    )
    attempt = session.record.claim(run, "box", "boot", "pid 1")
    output = Output(path="a", status=OutputStatus.KEPT, digest=blobs["output"], size=1)
    log = Log(digest=blobs["log"], size=1, truncated=False)
    trace = TraceFile(rank=0, world=1, pid=1, digest=blobs["trace"], size=1, steps=1, events=1, complete=True)
    session.record.finish(
        run, attempt, Result(state=State.SUCCEEDED, outputs=(output,), log=log, traces=(trace,))
    )
    return list(blobs.values())


def test_every_column_with_a_digest_is_known_to_be_a_blob_or_none() -> None:
    found = {
        f"{table.name}.{column.name}"
        for table in tables.Row.metadata.tables.values()
        for column in table.columns
        if "digest" in column.name or "sha256" in column.name
    }
    assert found == NO_BLOBS | {f"{column.table.name}.{column.name}" for column in BLOBS}


def test_what_a_run_names_stays_and_the_rest_goes_and_is_told(session: Session) -> None:
    kept = recorded(session, "one")
    old, young = session.store.put_bytes(b"old"), session.store.put_bytes(b"young")
    age(session, *kept, old)
    planned = collect(session, DAY, lambda _: None, dry_run=True)
    assert (planned.seen, planned.removed, planned.bytes, planned.young) == (6, 1, 3, 1)
    assert session.store.has(old)
    assert session.record.events(EventFilter(kinds=("store.swept",))) == []
    done = collect(session, DAY, lambda _: None)
    assert (done.removed, done.bytes) == (1, 3)
    assert not session.store.has(old)
    assert session.store.has(young)
    for digest in kept:
        session.store.verify(digest)
    (event,) = session.record.events(EventFilter(kinds=("store.swept",)))
    assert event.data["blobs"] == {old: 3}
    assert collect(session, DAY, lambda _: None).removed == 0


def test_a_file_that_is_no_blob_is_left_alone(session: Session) -> None:
    assert isinstance(session.store, BlobStore)
    stray = session.store.folder / "sha256" / "ab" / "notes.txt"
    stray.parent.mkdir(parents=True)
    stray.write_text("mine")
    os.utime(stray, (0, 0))
    done = collect(session, DAY, lambda _: None)
    assert (done.removed, done.foreign) == (0, (str(stray),))
    assert stray.read_text() == "mine"


def test_runs_that_are_recorded_while_it_works_lose_nothing(session: Session, tmp_path: Path) -> None:
    """All blobs are old and unnamed at first; a run meets each again, and then names it."""
    for number in range(30):
        for name in ("output", "log", "trace", "patch"):
            age(session, session.store.put_bytes(f"{name} of {number}".encode()))
    over = threading.Event()

    def sweep() -> None:
        with Session(load({"REPRISE_HOME": str(tmp_path)})) as mine:
            while not over.is_set():
                collect(mine, DAY, lambda _: None)

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        named = [digest for number in range(30) for digest in recorded(session, str(number))]
    finally:
        over.set()
        thread.join()
    for digest in named:
        session.store.verify(digest)
