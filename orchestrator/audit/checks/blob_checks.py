"""Every blob against its hash, and the record's names against the store.

Runs may be recorded and blobs collected meanwhile, so what looks wrong is checked again.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice

from orchestrator.audit.findings import Finding, Kind, Progress
from orchestrator.audit.reachability import is_away
from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.launch.inputs.kept_files import KeptFiles, kept_files
from orchestrator.launch.session import Session
from orchestrator.record.ledger.read_ledger import EventFilter
from orchestrator.record.ledger.snapshot import BlobLine
from orchestrator.record.store.blob_store import AbsentBlobError, DamagedBlobError, Stored

AT_ONCE = 4  # blobs hashed side by side; hashing leaves Python's lock
PAGE = 500
LARGE = 1 << 36  # bytes; a larger blob that no row names is reported, and not read


def blob_findings(session: Session, since: datetime | None, progress: Progress) -> Iterator[Finding]:
    """Named blobs that are gone, blobs with other bytes, and blobs that nothing names.

    With `since`, only the blobs that runs from then on name are read.
    """
    there: dict[Digest, Stored] = {}
    for one in session.store.blobs():
        if one.digest is not None:
            there[one.digest] = one
        else:
            detail = f"{one.name} is not a blob"
            yield Finding(kind=Kind.BLOB_UNNAMED, subject="store", detail=detail)
    collected: dict[str, int] | None = None
    checked: set[Digest] = set()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        lines = session.record.everything.blobs(since)
        while page := list(islice(lines, PAGE)):
            wanted = {line.digest: line for line in page if line.digest not in checked}
            troubles = pool.map(lambda one: _trouble(session, one.digest, one.size), wanted.values())
            for (digest, line), trouble in zip(wanted.items(), troubles, strict=True):
                if trouble is None:
                    continue
                if not isinstance(trouble, AbsentBlobError):
                    yield _finding(_kind(trouble), line, trouble.message)
                    continue
                session.store.check_there()
                collected = _collected(session) if collected is None else collected
                gone = f"; event {collected[digest]} says that gc removed it" if digest in collected else ""
                yield _finding(Kind.BLOB_MISSING, line, f"it is not in the store{gone}")
            checked.update(wanted)
            progress(len(checked), max(len(there), len(checked)))
        if since is None:
            rest = iter([there[digest] for digest in there.keys() - checked])
            with kept_files(session, damaged=True) as kept:
                while some := list(islice(rest, PAGE)):
                    yield from _unnamed(session, some, kept, pool)
    progress(len(there), len(there))


def _finding(kind: Kind, line: BlobLine, detail: str) -> Finding:
    return Finding(
        kind=kind,
        subject=f"blob {line.digest}",
        detail=f"{line.what} of run {line.run}: {detail}",
        run=line.run,
    )


def _unnamed(
    session: Session, rest: list[Stored], kept: KeptFiles, pool: ThreadPoolExecutor
) -> Iterator[Finding]:
    """Blobs of input data, and those that no row named when rows were read. A newer run may name them."""
    digests = [one.digest for one in rest if one.digest is not None]
    sizes = [one.size for one in rest if one.digest is not None]
    troubles = list(
        pool.map(
            lambda digest, size: _trouble(session, digest, size) if size <= LARGE else None, digests, sizes
        )
    )
    named = session.record.everything.named(digests) | kept.among(digests)
    for one, digest, trouble in zip(rest, digests, troubles, strict=True):
        if trouble is None and digest not in named:
            detail = f"{one.size} bytes, stored {one.modified.isoformat(timespec='seconds')}"
            yield Finding(kind=Kind.BLOB_UNNAMED, subject=f"blob {digest}", detail=detail)
        elif trouble is not None and not isinstance(trouble, AbsentBlobError):  # else it was collected
            yield Finding(kind=_kind(trouble), subject=f"blob {digest}", detail=trouble.message)


def _trouble(session: Session, digest: Digest, size: int | None) -> StoreError | None:
    """What is wrong with one blob. StoreError where the store is away."""
    try:
        if size is None:
            session.store.read(digest)
        else:
            session.store.verify(digest, size)
    except StoreError as error:
        if is_away(error) and not isinstance(error, AbsentBlobError) and not _only_this_blob(error):
            raise
        return error
    return None


def _only_this_blob(error: StoreError) -> bool:
    """Whether the disk or a file's owner refuses this one blob: the others may be readable."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM)


def _kind(trouble: StoreError) -> Kind:
    return Kind.BLOB_ALTERED if isinstance(trouble, DamagedBlobError) else Kind.OUT_OF_REACH


def _collected(session: Session) -> dict[str, int]:
    """Blob -> the event that says `store gc` removed it."""
    found: dict[str, int] = {}
    for line in session.record.ledger.events(EventFilter(kinds=("store.swept",))):
        try:
            found.update(dict.fromkeys(line.data["blobs"], line.index))
        except (ValueError, KeyError, TypeError):
            continue  # the event itself is a finding of its own (ledger_checks.py)
    return found
