"""gc: what a run names stays, what is young stays, what goes is told."""

from __future__ import annotations

import io
import os
import secrets
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.records import new_run
from support.services import S3Server

from orchestrator.digest import Digest
from orchestrator.errors import AuditError, StoreError, UsageError
from orchestrator.launch.garbage import collect
from orchestrator.launch.inputs.upload_input import put_input
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.record.ledger.audit_pages import BLOBS
from orchestrator.record.ledger.read_ledger import EventFilter
from orchestrator.record.ledger.snapshot import INPUTS
from orchestrator.record.schema import tables
from orchestrator.record.store.folder_store import BlobStore
from orchestrator.run.attempt_model import Log, Output, OutputStatus, Result, State, TraceFile
from orchestrator.settings import load
from orchestrator.spec.inputs import InputData
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState

DAY = timedelta(days=1)

# Columns with a digest that is no blob of the store. A new one is to be put here, or into BLOBS or INPUTS.
NO_BLOBS = {
    "image.digest",
    "image.config_digest",
    "image.base_digest",
    "image.base_config_digest",
    "image_layer.digest",
    "box.bit_digest",
    "fingerprint.bit_digest",
    "source_file.sha256",
    "input_data.digest",  # of a run_input
}


def age(session: Session, *digests: Digest) -> None:
    assert isinstance(session.store, BlobStore)
    moment = (datetime.now(UTC) - 2 * DAY).timestamp()
    for digest in digests:
        os.utime(session.store.path(digest), (moment, moment))


@pytest.fixture
def far(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Session:
    """With a store on S3."""
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    address = s3.address(f"team/{secrets.token_hex(6)}")
    return Session(load({"REPRISE_HOME": str(tmp_path / "home"), "REPRISE_STORE": address}))


def recorded(session: Session, text: str) -> list[Digest]:
    """A finished run that names one blob of each kind."""
    names = ("output", "log", "trace", "patch")
    blobs = {name: session.store.put_bytes(f"{name} of {text}".encode()) for name in names}
    git = GitState(commit="0" * 40, branch="main", dirty=True, patch_digest=blobs["patch"])
    run, _ = session.record.submit(
        new_run(id=Digest.of(text.encode()).hex[:16], key=text, image=text, git=git)
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
        for table in tables.METADATA.tables.values()
        for column in table.columns
        if "digest" in column.name or "sha256" in column.name
    }
    assert found == NO_BLOBS | {f"{column.table.name}.{column.name}" for column in (*BLOBS, *INPUTS)}


def test_what_a_run_names_stays_and_the_rest_goes_and_is_told(session: Session) -> None:
    kept = recorded(session, "one")
    old, young = session.store.put_bytes(b"old"), session.store.put_bytes(b"young")
    age(session, *kept, old)
    planned = collect(session, DAY, lambda _: None, dry_run=True)
    assert (planned.seen, planned.removed, planned.bytes, planned.young) == (6, 1, 3, 1)
    assert session.store.has(old)
    assert session.record.ledger.events(EventFilter(kinds=("store.swept",))) == []
    done = collect(session, DAY, lambda _: None)
    assert (done.removed, done.bytes) == (1, 3)
    assert not session.store.has(old)
    assert session.store.has(young)
    for digest in kept:
        session.store.verify(digest)
    (event,) = session.record.ledger.events(EventFilter(kinds=("store.swept",)))
    assert event.data["blobs"] == {old: 3}
    assert collect(session, DAY, lambda _: None).removed == 0


GONE = {
    "the row of its log": "DELETE FROM log",
    "the row of its patch": "DELETE FROM git_state",
    "the digest in its output": "UPDATE output SET digest = NULL",
    "another digest in its output": f"UPDATE output SET digest = 'sha256:{'0' * 64}'",
    "no value in its output": "UPDATE output SET path = x'ff', digest = NULL",
}


def altered(session: Session, *statements: str) -> None:
    """As whoever owns the file: nothing is checked, and no event tells of it."""
    path = session.settings.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("statement", GONE.values(), ids=GONE)
def test_what_only_the_ledger_names_stays(session: Session, statement: str) -> None:
    kept = recorded(session, "one")
    old = session.store.put_bytes(b"old")
    age(session, *kept, old)
    altered(session, statement)
    done = collect(session, DAY, lambda _: None)
    assert (done.removed, done.only_in_ledger) == (1, 1)
    assert not session.store.has(old)
    for digest in kept:
        session.store.verify(digest)


@pytest.mark.parametrize("statement", ["DELETE FROM trace", f"UPDATE trace SET digest = 'sha256:{'0' * 64}'"])
def test_nothing_goes_where_the_ledger_does_not_say_which_blobs_a_lost_row_named(
    session: Session, statement: str
) -> None:
    """Of some lists an event has one digest alone."""
    kept = recorded(session, "one")
    old = session.store.put_bytes(b"old")
    age(session, *kept, old)
    altered(session, statement)
    with pytest.raises(AuditError, match=r"trace of run [0-9a-f]+ .* nothing was removed"):
        collect(session, DAY, lambda _: None)
    assert all(session.store.has(digest) for digest in (*kept, old))


def test_a_run_of_which_nothing_but_its_events_is_left_keeps_its_blobs(session: Session) -> None:
    """It has no traces: of these the ledger has one digest alone."""
    log, output = session.store.put_bytes(b"log"), session.store.put_bytes(b"output")
    run, _ = session.record.submit(new_run(id="a" * 16, key="one", image="one"))
    attempt = session.record.claim(run, "box", "boot", "pid 1")
    session.record.finish(
        run,
        attempt,
        Result(
            state=State.SUCCEEDED,
            outputs=(Output(path="a", status=OutputStatus.KEPT, digest=output, size=6),),
            log=Log(digest=log, size=3, truncated=False),
        ),
    )
    age(session, log, output)
    altered(session, "DELETE FROM run")
    altered(session, "DELETE FROM log", "DELETE FROM output")
    done = collect(session, DAY, lambda _: None)
    assert (done.removed, done.only_in_ledger) == (0, 2)


def test_a_file_that_is_no_blob_is_left_alone(session: Session) -> None:
    assert isinstance(session.store, BlobStore)
    stray = session.store.folder / "sha256" / "ab" / "notes.txt"
    stray.parent.mkdir(parents=True)
    stray.write_text("mine")
    os.utime(stray, (0, 0))
    done = collect(session, DAY, lambda _: None)
    assert (done.removed, done.foreign) == (0, (str(stray),))
    assert stray.read_text() == "mine"


def test_runs_that_are_recorded_while_it_works_lose_nothing(session: Session) -> None:
    """All blobs are old and unnamed at first; a run meets each again, and then names it."""
    for number in range(30):
        for name in ("output", "log", "trace", "patch"):
            age(session, session.store.put_bytes(f"{name} of {number}".encode()))
    over = threading.Event()

    def remove_old() -> None:
        with Session(session.settings) as mine:
            while not over.is_set():
                collect(mine, DAY, lambda _: None)

    thread = threading.Thread(target=remove_old)
    thread.start()
    try:
        named = [digest for number in range(30) for digest in recorded(session, str(number))]
    finally:
        over.set()
        thread.join()
    for digest in named:
        session.store.verify(digest)


@pytest.mark.parametrize("moment", ["before it is young", "after it is young"])
def test_a_blob_that_goes_while_a_batch_reads_it_is_written_again(
    session: Session, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The batch has it open: it is the same file for it, with a name or without."""
    blob = session.store.put_bytes(b"met")
    age(session, blob)
    really, removed = os.utime, []

    def utime(fd: int) -> None:
        if moment == "after it is young":
            really(fd)
        removed.append(session.store.remove(blob, datetime.now(UTC) - DAY))
        if moment == "before it is young":
            really(fd)

    monkeypatch.setattr("orchestrator.record.store.folder_batch.os.utime", utime)
    assert session.store.put_bytes(b"met") == blob
    assert removed == [moment == "before it is young"]
    session.store.verify(blob)


@pytest.mark.parametrize("met", [True, False])
def test_a_blob_that_a_killed_collection_put_aside_comes_back(session: Session, met: bool) -> None:
    """A run may have met it just before, and names it now."""
    assert isinstance(session.store, BlobStore)
    blob = session.store.put_bytes(b"between")
    if not met:
        age(session, blob)
    session.store.path(blob).replace(session.store.folder / "tmp" / f"gone-{secrets.token_hex(8)}")
    assert collect(session, DAY, lambda _: None).removed == (0 if met else 1)
    assert session.store.has(blob) == met
    assert list((session.store.folder / "tmp").iterdir()) == []


def test_what_a_killed_batch_left_goes_and_is_counted(session: Session) -> None:
    assert isinstance(session.store, BlobStore)
    left = session.store.folder / "tmp" / "0123456789abcdef"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"x" * 1000)
    with session.store.batch():
        assert not left.exists(), "a batch removes it, too"
    left.mkdir()
    (left / "half").write_bytes(b"x" * 1000)
    planned = collect(session, DAY, lambda _: None, dry_run=True)
    assert (planned.bytes, left.exists()) == (0, True)
    assert collect(session, DAY, lambda _: None).bytes == 1000
    assert not left.exists()


def test_a_file_by_which_a_killed_command_asked_for_the_time_goes(session: Session) -> None:
    assert isinstance(session.store, BlobStore)
    session.store.put_bytes(b"x")
    temporaries = session.store.folder / "tmp"
    for name in ("0123456789abcdef", "fedcba9876543210"):
        (temporaries / name).touch()
    os.utime(temporaries / "0123456789abcdef", (0, 0))
    collect(session, DAY, lambda _: None)
    assert [path.name for path in temporaries.iterdir()] == ["fedcba9876543210"], "that one asks just now"


def test_the_share_that_was_looked_at_grows(session: Session) -> None:
    with session.store.batch() as batch:
        for number in range(1200):
            batch.add(io.BytesIO(str(number).encode()), 10)
    shares: list[float] = []
    assert collect(session, DAY, shares.append).seen == 1200
    assert len(shares) == 3
    assert shares == sorted(shares)
    assert 0.3 < shares[0] < 0.5 < shares[1] < 0.95 < shares[2] <= 1


def test_runs_that_are_recorded_on_s3_while_it_works_lose_nothing(
    far: Session, s3: S3Server, tmp_path: Path
) -> None:
    """As above, over blobs that are two days old on the server, beside some that nobody meets."""
    names = [f"{name} of {number}" for number in range(8) for name in ("output", "log", "trace", "patch")]
    with far.store.batch() as batch:
        for name in (*names, *(f"garbage {number}" for number in range(40))):
            batch.add(io.BytesIO(name.encode()), 100)
    moment = (datetime.now(UTC) - 2 * DAY).timestamp()
    for path in s3.folder.rglob("sha256/*/*"):
        os.utime(path, (moment, moment))
    # rclone removes a folder with its last object, and loses what another request puts there meanwhile.
    for blobs in s3.folder.rglob("sha256"):
        (blobs.parent / "clock").mkdir(exist_ok=True)
        (blobs.parent / "clock" / "kept").touch()
    s3.touched()
    over, gone = threading.Event(), []

    def remove_old() -> None:
        with Session(far.settings) as mine:
            while not over.is_set():
                gone.append(collect(mine, DAY, lambda _: None).removed)

    thread = threading.Thread(target=remove_old)
    thread.start()
    try:
        named = [digest for number in range(8) for digest in recorded(far, str(number))]
    finally:
        over.set()
        thread.join()
    for digest in named:
        far.store.verify(digest)
    assert sum(gone) >= 40
    assert {one.digest for one in far.store.blobs()} == set(named)


def test_on_s3_a_blob_must_be_old_enough_to_have_been_put_again(far: Session) -> None:
    for span in (timedelta(0), timedelta(minutes=119)):
        with pytest.raises(UsageError, match="at least") as caught:
            collect(far, span, lambda _: None)
        assert "7200s" in str(caught.value.hint)
    assert collect(far, timedelta(hours=2), lambda _: None).seen == 0


def test_the_blobs_of_another_record_are_not_taken(session: Session, tmp_path: Path) -> None:
    """Two records, one store: what either of them takes could be the other's."""
    other = Session(load({"REPRISE_HOME": str(tmp_path / "b"), "REPRISE_STORE": str(session.settings.store)}))
    kept = recorded(session, "one")
    age(session, *kept)
    with pytest.raises(UsageError, match=r"never stored anything|other records"):
        collect(other, DAY, lambda _: None)
    recorded(other, "two")
    for mine, theirs in ((session, other), (other, session)):
        with pytest.raises(UsageError, match="other records") as caught:
            collect(mine, DAY, lambda _: None, dry_run=True)
        assert theirs.record.ledger.head().id in caught.value.message
    for digest in kept:
        session.store.verify(digest)
    assert isinstance(session.store, BlobStore)
    (session.store.folder / "ledgers" / other.record.ledger.head().id).unlink()
    assert collect(session, DAY, lambda _: None).removed == 0


def test_the_blobs_of_another_record_on_s3_are_not_taken(far: Session, tmp_path: Path) -> None:
    address = far.settings.store_address
    other = Session(load({"REPRISE_HOME": str(tmp_path / "b"), "REPRISE_STORE": address}))
    far.store.put_bytes(b"mine")
    with pytest.raises(UsageError, match="other records"):
        collect(other, DAY, lambda _: None)
    assert collect(far, DAY, lambda _: None).seen == 1


def test_what_an_open_run_may_name_stays_whatever_its_age(session: Session) -> None:
    """It began three days ago; its outputs have lain there for two, and its row does not name them yet."""
    session.store.put_bytes(b"begin")
    run, _ = session.record.submit(new_run(image="open"))
    attempt = session.record.claim(run, "box", "boot", "pid 1")
    with session.record._database.writing() as connection:
        early = tables.attempt.update().values(claimed_at=datetime.now(UTC) - 3 * DAY)
        connection.execute(early)
    output = session.store.put_bytes(b"what it made")
    age(session, output)
    assert collect(session, DAY, lambda _: None).removed == 0
    assert session.store.has(output)
    session.record.finish(run, attempt, Result(state=State.LOST))
    assert collect(session, DAY, lambda _: None).removed == 1


def test_the_age_of_a_blob_is_by_the_clock_of_the_store(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = session.store.put_bytes(b"young")
    ahead = (datetime.now(UTC) + timedelta(hours=25)).timestamp()
    monkeypatch.setattr("time.time", lambda: ahead)
    monkeypatch.setattr(
        "orchestrator.record.database.database_clock.now", lambda _: datetime.fromtimestamp(ahead, UTC)
    )
    assert collect(session, DAY, lambda _: None).removed == 0
    assert session.store.has(blob)


def test_what_is_mended_is_told_in_the_ledger(session: Session) -> None:
    blob = session.store.put_bytes(b"good bytes")
    assert isinstance(session.store, BlobStore)
    session.store.path(blob).chmod(0o644)
    session.store.path(blob).write_bytes(b"XXXX bytes")
    session.store.put_bytes(b"good bytes")
    session.store.verify(blob)
    (event,) = session.record.ledger.events(EventFilter(kinds=("store.mended",)))
    assert event.data["blobs"] == [blob]


def filled_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(name)
    return folder


def folder_of_input(session: Session, tmp_path: Path) -> InputData:
    """A folder in the store whose list is too long for rows, so that only the list names its files."""
    folder = filled_folder(tmp_path)
    data = put_input(session, folder, Silent()).model_copy(update={"files": ()})
    program = Program(name="job", command=("python",), inputs={"data": data.digest})
    session.record.submit(new_run(inputs=(data,), program=program))
    return data


def test_the_files_of_an_input_stay_because_its_list_names_them(session: Session, tmp_path: Path) -> None:
    data = folder_of_input(session, tmp_path)
    useless = session.store.put_bytes(b"useless")
    files = [Digest.of(name.encode()) for name in ("a", "b", "c")]
    age(session, data.digest, useless, *files)
    assert collect(session, DAY, lambda _: None).removed == 1
    assert not session.store.has(useless)
    assert [session.store.is_whole(digest) for digest in (data.digest, *files)] == [True] * 4


@pytest.mark.parametrize("named", ["by a run", "by a name"])
def test_the_files_of_an_input_stay_where_only_the_ledger_names_it(
    session: Session, tmp_path: Path, named: str
) -> None:
    if named == "by a run":
        data = folder_of_input(session, tmp_path)
    else:
        folder = filled_folder(tmp_path)
        data = put_input(session, folder, Silent()).model_copy(update={"files": ()})
        session.record.data_sets.add("letters", data, "me")
    useless = session.store.put_bytes(b"useless")
    files = [Digest.of(name.encode()) for name in ("a", "b", "c")]
    age(session, data.digest, useless, *files)
    altered(session, *(f"DELETE FROM {table}" for table in ("run_input", "data_version", "input_file")))
    done = collect(session, DAY, lambda _: None)
    assert (done.removed, done.only_in_ledger) == (1, 1)
    assert [session.store.is_whole(digest) for digest in (data.digest, *files)] == [True] * 4


def test_a_damaged_list_stops_it_because_nothing_says_what_it_names(session: Session, tmp_path: Path) -> None:
    data = folder_of_input(session, tmp_path)
    assert isinstance(session.store, BlobStore)
    listed = session.store.path(data.digest)
    content = listed.read_bytes().replace(b'"a"', b'"A"')
    listed.unlink()
    listed.write_bytes(content)
    useless = session.store.put_bytes(b"useless")
    age(session, data.digest, useless)
    with pytest.raises(StoreError, match=f"{data.digest} has other bytes"):
        collect(session, DAY, lambda _: None)
    assert session.store.has(useless)
