"""Signed tree heads: the ledger's size and root, signed by this box's key, kept in the record and elsewhere.

Whoever can write to the database can rewrite the tree heads in it. A copy that they cannot write shows it: a
file on another machine, or a branch that is pushed to a protected repository.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from orchestrator.audit.heads.local_copy import keep_head
from orchestrator.audit.heads.signed_note import SignedHead, parse_head, sign_head, split_notes, whole_notes
from orchestrator.audit.keys import signing_key
from orchestrator.errors import AuditError, StoreError, UsageError
from orchestrator.launch.session import Session
from orchestrator.record.ledger.read_ledger import LedgerHead, Signed
from orchestrator.record.runs.author import author
from orchestrator.spec.source.git import Repository
from orchestrator.spec.source.git_folder import find_repository

BRANCH = "refs/heads/reprise-checkpoints"
_OTHER = "name another file: each ledger has one of its own"
_MEND = "`reprise audit --witness FILE` says which events; the record was cut short, rewritten or restored"


def sign_ledger(session: Session) -> str | None:
    """Sign the ledger as it is now and keep the note; None where it has not grown since the last one.

    AuditError where it has become shorter than the last one says. UsageError for a key that cannot be used.
    """
    record = session.record
    last = record.ledger.latest_signed_head()  # first: another process may add events and sign them meanwhile
    head = record.ledger.head()
    if last is not None and last.size > head.size:
        raise AuditError(f"the ledger has {head.size} events; the last tree head has {last.size}", _MEND)
    if head.size == 0 or (last is not None and last.size == head.size):
        return None
    note = sign_head(head.origin, head.size, head.root, signing_key(session.settings))
    kept = record.ledger.save_signed_head(head.size, note).text
    keep_head(session.settings, record.address, head.origin, kept)
    return kept


def sign_if_due(session: Session) -> None:
    """Sign the ledger at a command's end, where a run has ended or was judged since the last tree head."""
    if session.record.ledger.head_due():
        sign_ledger(session)


def copy_to_file(session: Session, path: Path) -> int:
    """Append the tree heads that a file lacks, in one write: how many.

    AuditError where the file contradicts the ledger, UsageError where it holds something else or cannot be
    written. A note that an earlier write left half done is written again.
    """
    try:
        with path.open("a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            return _append(session, stream, str(path))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", "name a file that you may write"
        ) from error


def _append(session: Session, stream: BinaryIO, name: str) -> int:
    stream.seek(0)
    data = stream.read()
    there = whole_notes(data)
    notes = _missing(session, there.decode("utf-8", "replace"), name)
    added = "".join(notes).encode()
    if not added.startswith(data[len(there) :]):
        raise UsageError(f"{name} ends with something that is not a tree head of this ledger", _OTHER)
    if notes:
        if len(there) < len(data):
            stream.truncate(len(there))
        if os.write(stream.fileno(), added) != len(added):
            stream.truncate(len(there))
            raise StoreError(f"{name} could not be written whole", "make room on its disk")
        os.fsync(stream.fileno())
    return len(notes)


def copy_to_git(session: Session, folder: Path) -> int:
    """Commit the tree heads that BRANCH of a folder's repository lacks: how many.

    The branch has one file per ledger and its own history; index, work tree and HEAD are not touched. Of two
    commands at once, one fails. Errors as of `copy_to_file`.
    """
    there = find_repository(folder)
    if there is None:
        raise UsageError(f"{folder} is not in a git repository", "go to one, or name a file: --to PATH")
    with Repository(folder, there) as repository:
        return _add_to_branch(session, repository)


def _add_to_branch(session: Session, repository: Repository) -> int:
    name = f"{session.record.ledger.head().id}.checkpoints"
    tip = (
        repository.ask("finding the branch", "for-each-ref", "--format=%(objectname)", BRANCH)
        .decode()
        .strip()
    )
    entries = _entries(repository, tip)
    before = ""
    if name in entries:
        before = repository.ask("reading the branch", "cat-file", "blob", entries[name]).decode()
    notes = _missing(session, before, f"{BRANCH} of {repository.folder}")
    if notes:
        content = (before + "".join(notes)).encode()
        words = ("hash-object", "-w", "--stdin")
        entries[name] = repository.ask("writing the notes", *words, given=content).decode().strip()
        _commit(repository, entries, tip, notes[-1])
    return len(notes)


def _entries(repository: Repository, tip: str) -> dict[str, str]:
    """File of the branch -> its blob."""
    if not tip:
        return {}
    listed = repository.ask("listing the branch", "ls-tree", "-z", tip).decode()
    lines = (line.partition("\t") for line in listed.split("\0") if line)
    return {name: about.split(" ")[2] for about, _, name in lines if about.split(" ")[1] == "blob"}


def _commit(repository: Repository, entries: dict[str, str], tip: str, note: str) -> None:
    listing = "".join(f"100644 blob {blob}\t{name}\0" for name, blob in sorted(entries.items()))
    tree = repository.ask("writing a tree", "mktree", "-z", given=listing.encode()).decode().strip()
    user, _, machine = author().partition("@")
    who = ("-c", f"user.name={user}", "-c", f"user.email={user}@{machine}", "-c", "commit.gpgSign=false")
    parent = ("-p", tip) if tip else ()
    read = parse_head(note)
    said = f"Signed tree head of {read.origin}: {read.size} events\n".encode()
    commit = repository.ask("committing", *who, "commit-tree", tree, *parent, given=said).decode().strip()
    # The old tip is named, so that a faster writer's commit is not lost.
    repository.ask("moving the branch", "update-ref", BRANCH, commit, tip or "0" * len(commit))


def _missing(session: Session, there: str, name: str) -> list[str]:
    """The record's tree heads that a copy, with the text `there`, lacks."""
    head, held = session.record.ledger.head(), session.record.ledger.signed_heads()
    last = agreed(there, name, head, held)
    return [one.text for one in held if one.size > last]


def agreed(there: str, name: str, head: LedgerHead, held: Sequence[Signed]) -> int:
    """The largest size in a copy of the tree heads. AuditError where the copy contradicts the record."""
    notes = [parse_head(note) for note in split_notes(there)]
    kept = {read.size: read for read in (parse_head(one.text) for one in held)}
    for note in notes:
        if note.origin != head.origin:
            raise UsageError(
                f"{name} holds tree heads of {note.origin}, and this ledger is {head.origin}",
                _OTHER,
            )
        if _contradicts(note, head, kept.get(note.size)):
            raise AuditError(
                f"{name} holds a tree head over {note.size} events that is not of this ledger's past", _MEND
            )
    return max((note.size for note in notes), default=0)


def _contradicts(note: SignedHead, head: LedgerHead, kept: SignedHead | None) -> bool:
    """Compared with stored roots only: the audit computes them again."""
    if note.size == head.size and note.root != head.root:
        return True
    return note.size > head.size or (kept is not None and kept.root != note.root)
