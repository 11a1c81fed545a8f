"""Signed tree heads: what is signed, when, and the copies that outlive the record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import git
from support.records import finish_run, new_run
from support.tampered_world import look

from orchestrator.audit.heads.local_copy import local_path
from orchestrator.audit.heads.signed_heads import BRANCH, copy_to_file, copy_to_git, sign_if_due, sign_ledger
from orchestrator.audit.heads.signed_note import parse_head, split_notes, verify_head
from orchestrator.audit.keys import key_path, signing_key
from orchestrator.audit.run_audit import AuditPart
from orchestrator.errors import AuditError, UsageError
from orchestrator.launch.session import Session
from orchestrator.record.ledger.merkle import Frontier, MerkleTree, leaf_hash
from orchestrator.record.ledger.snapshot import events_after
from orchestrator.record.record import Ledger
from orchestrator.settings import load


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(load({"REPRISE_HOME": str(tmp_path / "home")})) as session:
        yield session


def end_a_run(session: Session) -> None:
    finish_run(session.record, new_run())


def sign_a_run(session: Session) -> str:
    """End a run, and sign: the signed tree head."""
    end_a_run(session)
    note = sign_ledger(session)
    assert note is not None
    return note


def rewind(session: Session, *, to: int) -> None:
    """What whoever can write to the database can do: a shorter, sound ledger without later tree heads."""
    with session.record.reading() as connection:
        lines = events_after(connection, None)[:to]
    frontier = Frontier()
    for line in lines:
        frontier.append(leaf_hash(line.document))
    with session.record._database.writing() as connection:
        for statement in ("event WHERE idx >= ?", "checkpoint WHERE size > ?"):
            connection.exec_driver_sql(f"DELETE FROM {statement}", (to,))
        connection.exec_driver_sql("UPDATE ledger SET size = ?, frontier = ?", (to, frontier.to_bytes()))


@pytest.mark.parametrize("question", ["head", "latest_signed_head"])
def test_who_signs_between_two_questions_is_no_contradiction(
    session: Session, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    sign_a_run(session)
    ask = getattr(Ledger, question)

    def answer_late(ledger: Ledger) -> object:
        found = ask(ledger)
        monkeypatch.undo()
        with Session(session.settings) as other:
            sign_a_run(other)
        return found

    monkeypatch.setattr(Ledger, question, answer_late)
    sign_ledger(session)  # AuditError, were the ledger's size older than the signed one
    assert sign_ledger(session) is None


def test_it_is_the_ledgers_size_and_root_signed(session: Session) -> None:
    assert sign_ledger(session) is None  # nothing is recorded
    note = sign_a_run(session)
    read = parse_head(note)
    head = session.record.ledger.head()
    with session.record.reading() as connection:
        root = MerkleTree(leaf_hash(line.document) for line in events_after(connection, None)).root
    assert (read.origin, read.size, read.root) == (f"reprise/{head.id}", head.size, root)
    key = signing_key(session.settings).public
    assert list(verify_head(read, [key])) == [key]
    assert sign_ledger(session) is None  # it has not grown
    assert [one.text for one in session.record.ledger.signed_heads()] == [note]


def test_two_boxes_sign_one_ledger_each_with_its_own_key(session: Session, tmp_path: Path) -> None:
    url = session.settings.database_url
    with Session(load({"REPRISE_HOME": str(tmp_path / "b"), "REPRISE_DATABASE_URL": url})) as other:
        notes, keys = [], []
        for one in (session, other):
            notes.append(sign_a_run(one))
            keys.append(signing_key(one.settings).public)
    assert keys[0] != keys[1]
    for note, key in zip(notes, keys, strict=True):
        assert list(verify_head(parse_head(note), keys)) == [key]


def test_a_tree_head_is_signed_at_the_end_of_runs_only(session: Session) -> None:
    session.record.submit(new_run())
    sign_if_due(session)
    assert session.record.ledger.latest_signed_head() is None
    assert not key_path(session.settings).exists()
    end_a_run(session)
    sign_if_due(session)
    first = session.record.ledger.latest_signed_head()
    assert first is not None
    assert first.size == session.record.ledger.head().size
    sign_if_due(session)
    session.record.submit(new_run())
    sign_if_due(session)
    assert session.record.ledger.latest_signed_head() == first


def test_a_ledger_that_has_become_shorter_is_not_signed(session: Session) -> None:
    sign_a_run(session)
    size = session.record.ledger.head().size
    with session.record._database.writing() as connection:
        connection.exec_driver_sql("UPDATE ledger SET size = 0, frontier = x''")
    with pytest.raises(AuditError, match=f"0 events; the last tree head has {size}"):
        sign_ledger(session)


def test_a_file_gets_the_whole_history(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "witness"
    notes = [sign_a_run(session) for _ in range(3)]
    assert copy_to_file(session, path) == 3
    assert copy_to_file(session, path) == 0
    notes.append(sign_a_run(session))
    assert copy_to_file(session, path) == 1
    assert path.read_text() == "".join(notes)
    assert split_notes(path.read_text()) == notes


@pytest.mark.parametrize("kept", [1, 30, -1, -40])
def test_a_note_that_was_cut_off_is_written_again(session: Session, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "witness"
    for _ in range(2):
        sign_a_run(session)
    copy_to_file(session, path)
    whole = path.read_bytes()
    first = len(split_notes(whole.decode())[0].encode())
    path.write_bytes(whole[: first + kept] if kept > 0 else whole[:kept])
    assert copy_to_file(session, path) == 1
    assert path.read_bytes() == whole


def test_a_copy_contradicts_a_ledger_that_was_cut_or_rewritten(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "witness"
    sign_a_run(session)
    size = session.record.ledger.head().size
    sign_a_run(session)
    copy_to_file(session, path)
    before = path.read_bytes()
    rewind(session, to=size)
    with pytest.raises(AuditError, match="not of this ledger's past"):
        copy_to_file(session, path)
    for _ in range(2):
        sign_a_run(session)
    rewind(session, to=session.record.ledger.head().size)
    with pytest.raises(AuditError, match="not of this ledger's past"):  # another run at the same place
        copy_to_file(session, path)
    assert path.read_bytes() == before


def test_what_is_no_witness_of_this_ledger_is_left_alone(session: Session, tmp_path: Path) -> None:
    sign_a_run(session)
    path = tmp_path / "notes"
    for text in ("my notes", "my notes\n", "reprise/other\n1\n" + "A" * 43 + "=\n\n— ada AAAAAAA=\n"):
        path.write_text(text)
        with pytest.raises(UsageError):
            copy_to_file(session, path)
        assert path.read_text() == text
    with pytest.raises(UsageError, match="cannot be written"):
        copy_to_file(session, tmp_path)


def test_git_gets_a_branch_of_its_own(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "a").write_text("a")
    git(folder, "add", "a")
    git(folder, "commit", "-q", "-m", "first")
    (folder / "a").write_text("changed")
    (folder / "b").write_text("staged")
    git(folder, "add", "b")
    state = git(folder, "status", "--porcelain", "--branch"), git(folder, "rev-parse", "HEAD")
    notes = []
    for count in (1, 2):
        notes.append(sign_a_run(session))
        assert copy_to_git(session, folder) == 1
        assert git(folder, "rev-list", "--count", BRANCH) == str(count)
    assert copy_to_git(session, folder) == 0
    name = f"{session.record.ledger.head().id}.checkpoints"
    assert git(folder, "ls-tree", "--name-only", BRANCH) == name
    assert git(folder, "show", f"{BRANCH}:{name}") == "".join(notes).strip()
    assert (git(folder, "status", "--porcelain", "--branch"), git(folder, "rev-parse", "HEAD")) == state
    assert git(folder, "fsck", "--strict") == ""
    with Session(load({"REPRISE_HOME": str(tmp_path / "other")})) as other:  # another team, the same branch
        sign_a_run(other)
        assert copy_to_git(other, folder) == 1
    assert len(git(folder, "ls-tree", "--name-only", BRANCH).split()) == 2
    rewind(session, to=1)
    with pytest.raises(AuditError):
        copy_to_git(session, folder)
    with pytest.raises(UsageError, match="not in a git repository"):
        copy_to_git(session, tmp_path)


@pytest.mark.parametrize("left", [1, 40, 100, -1])
def test_a_copy_that_a_full_disk_cut_off_accuses_nobody(session: Session, left: int) -> None:
    """The box's own copy of what it signed: whatever is left of a note goes before the next one comes."""
    first, second = sign_a_run(session), sign_a_run(session)
    path = local_path(session.settings, session.record.ledger.head().origin)
    whole = path.read_bytes()
    assert whole == (first + second).encode()
    path.write_bytes(whole[: len(first.encode())] + second.encode()[:left])
    third = sign_a_run(session)
    assert path.read_bytes() == (first + third).encode()
    path.write_bytes((first + third).encode() + bytes(100))  # as a file system that lost power has it
    fourth = sign_a_run(session)
    assert path.read_bytes() == (first + third + fourth).encode()
    assert look(session, AuditPart.LEDGER) == []
