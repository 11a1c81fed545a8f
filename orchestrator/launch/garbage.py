"""gc: remove old blobs of the store that no row names, and no list of a folder that a row names.

Bytes are stored before the row that names them, so young blobs are left alone: a batch that meets an old
blob makes it young again, and `Store.remove` looks at its age last (docs/decisions/0015-garbage.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import islice

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
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
    events: tuple[int, ...]  # indexes of the ledger's events that record it


def collect(
    session: Session, grace: timedelta, step: Callable[[float], None], *, dry_run: bool = False
) -> CollectedGarbage:
    """Remove every blob older than `grace` that nothing names. `step` gets the share that is done, 0 to 1.

    UsageError where another record uses the store, or for a grace so short that a blob could go although a
    run has just met it; StoreError where the store fails. The ledger names a blob before it is removed.
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
    size = 0 if dry_run else session.store.clean()
    foreign: list[str] = []
    events: list[int] = []
    with kept_files(session) as kept:
        for page in _pages(session.store.blobs()):
            seen += len(page)
            foreign += [one.name for one in page if one.digest is None]
            old = {one.digest: one for one in page if one.digest is not None and one.modified < limit}
            young += sum(one.digest is not None and one.modified >= limit for one in page)
            named = session.record.everything.named(list(old)) | kept.among(old)
            unnamed = {digest: one.size for digest, one in old.items() if digest not in named}
            if unnamed and not dry_run:
                check_alone(session)  # another record may have begun to use the store
                events.append(_record_removal(session, unnamed, limit))
                unnamed = _remove(session, unnamed, limit)
            removed += len(unnamed)
            size += sum(unnamed.values())
            step(_share(page))
    return CollectedGarbage(
        seen=seen, young=young, foreign=tuple(foreign), removed=removed, bytes=size, events=tuple(events)
    )


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
