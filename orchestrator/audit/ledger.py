"""The ledger against itself and against signed checkpoints: no stored root is believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from orchestrator.audit.findings import Finding, Kind
from orchestrator.digest import canonical_json
from orchestrator.record.evidence import moment_text
from orchestrator.record.ledger import EventLine, LedgerHead
from orchestrator.record.merkle import Frontier, leaf_hash

Step = Callable[[int, int], None]  # (done, total), for a progress bar
EVERY = 5000  # events between two steps


class Held(NamedTuple):
    """A checkpoint whose signature is good: what the ledger was, once."""

    size: int
    root: bytes
    source: str  # where it lies, in words


def tree_findings(
    find_head: Callable[[], LedgerHead],
    events: Callable[[int], Iterator[EventLine]],
    held: Sequence[Held],
    step: Step,
) -> Iterator[Finding]:
    """Every event in order; its tree at each size that a checkpoint names, and at the end.

    `events`: those after an index. The ledger may grow meanwhile: what came since is read, too.
    """
    frontier, waiting = Frontier(), sorted(held)
    last, broken = -1, False
    head = find_head()
    while True:
        before = last
        for line in events(last):
            if line.index != frontier.size and not broken:
                broken = True  # all later indexes are off: one finding
                yield _gap(frontier.size, line.index)
            yield from event_findings(line)
            while waiting and waiting[0].size <= frontier.size:
                yield from _at(waiting.pop(0), frontier)
            frontier.append(leaf_hash(line.document))
            last = line.index
            if frontier.size % EVERY == 0:
                step(frontier.size, max(head.size, frontier.size))
        head = find_head()
        if head.size <= frontier.size or last == before:
            break
    while waiting and waiting[0].size <= frontier.size:
        yield from _at(waiting.pop(0), frontier)
    for one in waiting:
        detail = f"{frontier.size} events are here; {one.source} holds {one.size}"
        yield Finding(kind=Kind.LEDGER_SHORTER, subject="ledger", detail=detail)
    if (head.size, head.root) != (frontier.size, frontier.root):
        yield Finding(
            kind=Kind.TREE,
            subject="ledger",
            detail=f"{frontier.size} events are here with root {frontier.root.hex()[:16]}…; the table "
            f"`ledger` says {head.size} and {head.root.hex()[:16]}…",
        )
    step(frontier.size, frontier.size)


def _gap(expected: int, found: int) -> Finding:
    if found > expected:
        many = f"events {expected} to {found - 1} are" if found - expected > 1 else f"event {expected} is"
        return Finding(kind=Kind.EVENT_MISSING, subject=f"event {expected}", detail=f"{many} not there")
    return Finding(
        kind=Kind.EVENT_ORDER, subject=f"event {found}", detail=f"it stands where {expected} should be"
    )


def _at(held: Held, frontier: Frontier) -> Iterator[Finding]:
    if frontier.root != held.root:
        yield Finding(
            kind=Kind.CHECKPOINT,
            subject="ledger",
            detail=f"its first {held.size} events give root {frontier.root.hex()[:16]}…; {held.source} "
            f"holds {held.root.hex()[:16]}…",
        )


def event_findings(line: EventLine) -> Iterator[Finding]:
    """One event: its document, and the columns that copy it."""
    subject = f"event {line.index}"
    try:
        said = json.loads(line.document)
        canonical = canonical_json(said)
        columns = {name: said[name] for name in ("index", "at", "by", "kind", "run")}
        if not isinstance(said["data"], dict):
            raise TypeError("its data is no mapping")  # noqa: TRY301
    except (ValueError, KeyError, TypeError) as error:
        detail = f"its document cannot be read: {type(error).__name__} {error}"
        yield Finding(kind=Kind.EVENT_ALTERED, subject=subject, detail=detail, run=line.run)
        return
    if canonical != line.document:
        detail = "its document is not in canonical form"
        yield Finding(kind=Kind.EVENT_ALTERED, subject=subject, detail=detail, run=line.run)
    found = {
        "index": line.index,
        "at": moment_text(line.at),
        "by": line.by,
        "kind": line.kind,
        "run": line.run,
    }
    for name, value in columns.items():
        if found[name] != value:
            yield Finding(
                kind=Kind.EVENT_ALTERED,
                subject=subject,
                detail=f"{name}: its document says {value!r}, the column {found[name]!r}",
                run=line.run,
            )
