"""gc: blobs that nothing names leave the store, once they are old; what a run names stays.

Bytes are stored before the row that names them, so young blobs are left alone: a batch that meets an old
blob makes it young again, and `Store.remove` looks at its age last (docs/decisions/0015-garbage.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from orchestrator.errors import StoreError
from orchestrator.launch.session import Session
from orchestrator.record.store import Stored
from orchestrator.value import Value

PAGE = 500  # blobs of one question to the record, and of one event
GRACE = timedelta(hours=24)  # longer than the time between the bytes and the row of any run


class Swept(Value):
    """What a collection did, or would do."""

    seen: int  # blobs of the store
    young: int  # of those, passed over for their age
    foreign: tuple[str, ...]  # files that are no blobs; nobody touches them
    removed: int
    bytes: int  # of the removed blobs, and of what killed collections left
    events: tuple[int, ...]  # indexes of the ledger's events that tell of it


def collect(
    session: Session, grace: timedelta, step: Callable[[int], None], *, dry_run: bool = False
) -> Swept:
    """Remove every blob older than `grace` that no row names. StoreError where the store fails.

    What goes is written into the ledger before it goes.
    """
    if grace < timedelta(0):
        raise StoreError("a negative age")
    limit = datetime.now(UTC) - grace
    seen = young = removed = size = 0
    foreign: list[str] = []
    told: list[int] = []
    for page in _pages(session.store.blobs()):
        seen += len(page)
        foreign += [one.name for one in page if one.digest is None]
        old = [one for one in page if one.digest is not None and one.modified < limit]
        young += sum(one.digest is not None and one.modified >= limit for one in page)
        named = session.record.everything.named([one.digest for one in old if one.digest])
        unnamed = [one for one in old if one.digest not in named]
        if unnamed and not dry_run:
            told.append(_tell(session, unnamed, limit))
        for one in unnamed:
            if one.digest and (dry_run or session.store.remove(one.digest, limit)):
                removed += 1
                size += one.size
        step(seen)
    if not dry_run:
        size += session.store.clean()
    return Swept(
        seen=seen, young=young, foreign=tuple(foreign), removed=removed, bytes=size, events=tuple(told)
    )


def _tell(session: Session, gone: list[Stored], limit: datetime) -> int:
    blobs = {str(one.digest): one.size for one in gone}
    policy = f"named by no row, and not met since {limit.isoformat(timespec='seconds')}"
    return session.record.tell("store.swept", None, {"blobs": blobs, "policy": policy})


def _pages(items: Iterator[Stored]) -> Iterator[list[Stored]]:
    while page := list(islice(items, PAGE)):
        yield page
