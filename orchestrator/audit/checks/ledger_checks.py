"""The ledger against itself and against signed tree heads: no stored root is believed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from orchestrator.audit.findings import Finding, Kind, Progress
from orchestrator.digest import canonical_json
from orchestrator.record.ledger.fold_events import LedgerEvent, LedgerHead, exact_moment
from orchestrator.record.ledger.merkle import Frontier, leaf_hash

EVERY = 5000  # events between two calls of `progress`
SINGLE = 1000  # findings about single events
FILLED = 10_000  # missing events whose places are kept, so that later roots are compared at their sizes

# What reading a damaged document may raise; deep nesting raises RecursionError.
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class KnownRoot(NamedTuple):
    """The ledger's root at one size: signed by a known key, or stored in its own table."""

    size: int
    root: bytes
    source: str  # where it lies, in words
    signed: bool = True  # False: the table `ledger`


def tree_findings(
    head: LedgerHead | None,
    events: Iterable[LedgerEvent],
    roots: Sequence[KnownRoot],
    progress: Progress,
    where: str = "the table `ledger`",
) -> Iterator[Finding]:
    """Every event in order, and the tree's root at each size that is signed or that the head names.

    `head`, from `where`, was read before the first event: what was written since only adds to the end.
    """
    known = _KnownRoots([*roots, *([KnownRoot(head.size, head.root, where, signed=False)] if head else ())])
    frontier, few = Frontier(), _Few()
    total = head.size if head else 0
    for line in events:
        if line.index != frontier.size:
            missing = line.index - frontier.size
            yield from few.of([_gap(frontier.size, line.index)])
            for _ in range(missing if missing < FILLED else 0):
                yield from known.at(frontier)
                frontier.append(leaf_hash(b""))
        yield from few.of(event_findings(line))
        yield from known.at(frontier)
        frontier.append(leaf_hash(line.document))
        if frontier.size % EVERY == 0:
            progress(frontier.size, max(total, frontier.size))
    yield from few.rest()
    yield from known.at(frontier)
    yield from known.beyond(frontier)
    progress(frontier.size, frontier.size)


class _Few:
    """Only the first findings about single events: one missing event can move a million others."""

    def __init__(self) -> None:
        self._reported = self._more = 0

    def of(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        for one in findings:
            if self._reported < SINGLE:
                self._reported += 1
                yield one
            else:
                self._more += 1

    def rest(self) -> Iterator[Finding]:
        if self._more:
            detail = f"{self._more} more findings about single events"
            yield Finding(kind=Kind.EVENT_ALTERED, subject="ledger", detail=detail)


class _KnownRoots:
    """Known roots, met in the order of their sizes."""

    def __init__(self, roots: Sequence[KnownRoot]) -> None:
        self._waiting = sorted(roots, key=lambda one: (one.size, not one.signed))[::-1]
        self._intact = 0  # the largest size whose root was right
        self._reported: set[bool] = set()  # once a kind: an altered event breaks every later root

    def at(self, frontier: Frontier) -> Iterator[Finding]:
        while self._waiting and self._waiting[-1].size <= frontier.size:
            size, root = self._waiting[-1].size, frontier.root
            wrong = []
            while self._waiting and self._waiting[-1].size == size:
                one = self._waiting.pop()
                wrong += [one] if one.root != root else []
            for one in wrong:
                if one.signed not in self._reported:
                    self._reported.add(one.signed)
                    yield Finding(
                        kind=Kind.HEAD if one.signed else Kind.TREE,
                        subject=_between(self._intact, size),
                        detail=f"the first {size} events give root {root.hex()[:16]}…; {one.source} "
                        f"holds {one.root.hex()[:16]}…",
                    )
            if not wrong:
                self._intact = size

    def beyond(self, frontier: Frontier) -> Iterator[Finding]:
        for signed in (True, False):
            more = [one for one in self._waiting if one.signed is signed]
            if more:  # the largest first
                yield Finding(
                    kind=Kind.LEDGER_SHORTER if signed else Kind.TREE,
                    subject="ledger",
                    detail=f"{frontier.size} events are here; {more[0].source} holds {more[0].size}",
                )


def _between(good: int, size: int) -> str:
    return f"event {good}" if size - good <= 1 else f"events {good} to {size - 1}"


def _gap(expected: int, found: int) -> Finding:
    if found > expected:
        many = f"events {expected} to {found - 1} are" if found - expected > 1 else f"event {expected} is"
        return Finding(kind=Kind.EVENT_MISSING, subject=f"event {expected}", detail=f"{many} not there")
    return Finding(
        kind=Kind.EVENT_ORDER, subject=f"event {found}", detail=f"it stands where {expected} should be"
    )


def head_findings(size: int, later: LedgerHead | None) -> Iterator[Finding]:
    """`later`: the head, read after `size` events were seen: it cannot be shorter."""
    if later is not None and later.size < size:
        yield Finding(
            kind=Kind.TREE,
            subject=_between(later.size, size),
            detail=f"{size} events are here; the table `ledger` says {later.size}",
        )


def event_findings(line: LedgerEvent) -> Iterator[Finding]:
    """One event: its document, and the columns that copy it."""

    def altered(detail: str, kind: Kind = Kind.EVENT_ALTERED) -> Finding:
        return Finding(kind=kind, subject=f"event {line.index}", detail=detail, run=line.run)

    try:
        said = json.loads(line.document)
        canonical = canonical_json(said)
        columns = {name: said[name] for name in ("index", "at", "by", "kind", "run")}
        moment = exact_moment(line.at)
        if not isinstance(said["data"], dict):
            raise TypeError("its data is not a mapping")
    except UNREADABLE as error:
        yield altered(f"its document cannot be read: {type(error).__name__} {error}")
        return
    if canonical != line.document:
        yield altered("its document is not in canonical form")
    found = {"index": line.index, "at": moment, "by": line.by, "kind": line.kind, "run": line.run}
    for name, value in columns.items():
        if found[name] != value:
            detail = f"{name}: its document says {value!r}, the column {found[name]!r}"
            yield altered(detail, Kind.EVENT_ORDER if name == "index" else Kind.EVENT_ALTERED)
