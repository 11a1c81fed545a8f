"""gc: remove old blobs of the store that no row names, nor the ledger, nor the list of a folder of these.

Bytes are stored before the row that names them, so young blobs are left alone: a batch that meets an old
blob makes it young again, and `Store.remove` looks at its age last (docs/decisions/0015-garbage.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import islice

from orchestrator.digest import Digest
from orchestrator.errors import AuditError, UsageError
from orchestrator.launch.inputs.kept_files import kept_files
from orchestrator.launch.session import Session
from orchestrator.record.store.blob_store import Stored
from orchestrator.value import Value

PAGE = 500  # blobs in one query of the record, and in one event
AT_ONCE = 8  # removals in parallel
SLACK = timedelta(hours=1)  # the database's clock and the store's drift apart by less during a run
GRACE = timedelta(hours=24)  # longer than any run takes from storing bytes to writing the row


class CollectedGarbage(Value):
    """What a collection of garbage did, or would do."""

    seen: int  # blobs in the store
    young: int  # of those, too young to be removed
    foreign: tuple[str, ...]  # files that are not blobs; they are left alone
    removed: int
    bytes: int  # of removed blobs, and of the remains of killed batches
    only_in_ledger: int  # old blobs that stay, although their rows are gone or altered: the ledger names them
    events: tuple[int, ...]  # indexes of the ledger's events that record it


def collect(
    session: Session, grace: timedelta, step: Callable[[float], None], *, dry_run: bool = False
) -> CollectedGarbage:
    """Remove every blob older than `grace` that nothing names. `step` gets the share that is done, 0 to 1.

    UsageError where another record uses the store, or for a grace so short that a blob could go although a
    run has just met it; StoreError where the store fails; AuditError where a row is lost and nothing says
    which blobs it named. The ledger names a blob before it is removed.
    """
    check_alone(session)
    if grace < session.store.shortest:
        shortest = int(session.store.shortest.total_seconds())
        raise UsageError(
            f"blobs must be left alone for {shortest} s at least in {session.store.name}",
            f"--older-than {shortest}s, or more",
        )
    limit = _limit(session, grace)
    seen = young = removed = 0
    lost, folders = _only_in_ledger(session)
    size = 0 if dry_run else session.store.clean()
    foreign: list[str] = []
    events: list[int] = []
    spared = 0
    with kept_files(session, folders) as kept:
        for page in _pages(session.store.blobs()):
            seen += len(page)
            foreign += [one.name for one in page if one.digest is None]
            old = {one.digest: one for one in page if one.digest is not None and one.modified < limit}
            young += sum(one.digest is not None and one.modified >= limit for one in page)
            named = session.record.everything.named(list(old)) | kept.among(old)
            spared += len((lost & old.keys()) - named)
            unnamed = {digest: one.size for digest, one in old.items() if digest not in named | lost}
            if unnamed and not dry_run:
                check_alone(session)  # another record may have begun to use the store
                events.append(_record_removal(session, unnamed, limit))
                unnamed = _remove(session, unnamed, limit)
            removed += len(unnamed)
            size += sum(unnamed.values())
            step(_share(page))
    return CollectedGarbage(
        seen=seen,
        young=young,
        foreign=tuple(foreign),
        removed=removed,
        bytes=size,
        only_in_ledger=spared,
        events=tuple(events),
    )


def _only_in_ledger(session: Session) -> tuple[set[Digest], set[Digest]]:
    """Blobs that events name and rows do not, input data among them; and that input data alone.

    AuditError where an event has one digest of a whole list, and the rows of that list are gone or altered.
    """
    blobs: set[Digest] = set()
    inputs: set[Digest] = set()
    for lost in session.record.everything.lost_names():
        if lost.untold:
            raise AuditError(
                f"the rows of {lost.untold} are not what the ledger says, and it does not say which blobs "
                "they named; nothing was removed",
                "`reprise audit` says what was altered; restore the database from a copy, then collect again",
            )
        blobs.update(lost.blobs)
        inputs.update(lost.inputs)
    return blobs | inputs, inputs


def check_alone(session: Session) -> None:
    """UsageError where another record uses the store: nothing shows which blobs are its own."""
    store, own = session.store, session.record.ledger.head().id
    ledgers = store.ledgers()
    others = sorted(ledgers.keys() - {own})
    if others:
        who = ", ".join(f"{name} ({' '.join(ledgers[name].split())[:200]})" for name in others[:3])
        raise UsageError(
            f"other records use the store {store.name}, and nothing says which blobs are theirs: {who}",
            "give each record a store of its own (REPRISE_STORE), or all boxes one record; where one is gone "
            "for good, remove its entry in `ledgers/` of the store",
        )
    if own not in ledgers and any(one.digest is not None for one in store.blobs()):
        raise UsageError(
            f"this record never stored anything in {store.name}: what lies there is another's",
            "check REPRISE_STORE, REPRISE_HOME and REPRISE_DATABASE_URL",
        )


def _limit(session: Session, grace: timedelta) -> datetime:
    """The moment, by the store's clock, since when a blob must have been stored or met again to stay.

    It is before the start of every open run: a row may not name its stored bytes yet.
    """
    oldest = session.record.everything.oldest_open()
    spans = [grace] if oldest is None else [grace, oldest + SLACK]
    return session.store.now() - max(spans)


def _remove(session: Session, sizes: dict[Digest, int], limit: datetime) -> dict[Digest, int]:
    """Remove blobs; nothing else in Reprise does. Returns those that were removed."""
    with session.store.removing(), ThreadPoolExecutor(AT_ONCE) as pool:
        removed = list(pool.map(lambda digest: session.store.remove(digest, limit), sizes))
    return {digest: size for (digest, size), gone in zip(sizes.items(), removed, strict=True) if gone}


def _record_removal(session: Session, sizes: dict[Digest, int], limit: datetime) -> int:
    blobs = {str(digest): size for digest, size in sizes.items()}
    policy = f"named by no row, and not met since {limit.isoformat(timespec='seconds')}"
    return session.record.ledger.add_event("store.swept", None, {"blobs": blobs, "policy": policy})


def _share(page: list[Stored]) -> float:
    """The share of the store that is done, 0 to 1: digests are spread evenly and come in order."""
    last = next((one.digest for one in reversed(page) if one.digest is not None), None)
    return 0.0 if last is None else int(last.hex[:8], 16) / 16**8


def _pages(items: Iterator[Stored]) -> Iterator[list[Stored]]:
    while page := list(islice(items, PAGE)):
        yield page
