"""The audit: it computes everything again, and believes no stored word "verified"."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from orchestrator.audit.checks.blob_checks import blob_findings
from orchestrator.audit.checks.claim_checks import claim_findings
from orchestrator.audit.checks.image_checks import box_findings, engine_findings, registry_findings
from orchestrator.audit.checks.ledger_checks import head_findings, tree_findings
from orchestrator.audit.checks.row_checks import run_findings, shared_findings
from orchestrator.audit.checks.stuck_runs import stuck_findings
from orchestrator.audit.checks.verdict_checks import verdict_findings
from orchestrator.audit.findings import Finding, Kind, Progress
from orchestrator.audit.heads.local_copy import kept_heads, kept_origins
from orchestrator.audit.heads.signed_note import parse_head
from orchestrator.audit.heads.witnesses import TreeHeads
from orchestrator.audit.keys import PublicKey, signing_key
from orchestrator.audit.reachability import is_away, out_of_reach
from orchestrator.digest import Digest
from orchestrator.errors import RecordError, UsageError
from orchestrator.launch.session import Session
from orchestrator.record.ledger.fold_events import LedgerEvent, LedgerHead
from orchestrator.record.ledger.read_ledger import Signed
from orchestrator.record.record import Record
from orchestrator.value import Value


class AuditPart(StrEnum):
    """The parts of an audit, in the order in which they are done; each can be asked for alone."""

    LEDGER = "ledger"  # events, their tree, tree heads
    ROWS = "rows"  # events against tables
    RUNS = "runs"  # open runs that no process executes
    BLOBS = "blobs"
    VERDICTS = "verdicts"
    IMAGES = "images"  # this box's layers, and images against their specs
    ENGINE = "engine"
    REGISTRY = "registry"


class Audit(Value):
    """What is asked of an audit."""

    parts: tuple[AuditPart, ...] = tuple(AuditPart)
    since: datetime | None = None  # runs and images from then on; the ledger is always read whole
    witnesses: tuple[Path, ...] = ()
    keys: tuple[PublicKey, ...] = ()  # beside this box's own


def audit(session: Session, asked: Audit, progress: Callable[[AuditPart], Progress]) -> Iterator[Finding]:
    """Findings as they come. The record may be written meanwhile: each page is read in one state of it."""
    doing: dict[AuditPart, Callable[[Progress], Iterator[Finding]]] = {
        AuditPart.LEDGER: lambda tick: _ledger(session, asked, tick),
        AuditPart.ROWS: lambda tick: _rows(session, asked, tick),
        AuditPart.RUNS: lambda _: stuck_findings(session),
        AuditPart.BLOBS: lambda tick: blob_findings(session, asked.since, tick),
        AuditPart.VERDICTS: lambda tick: verdict_findings(session, session.record.everything.judged(), tick),
        AuditPart.IMAGES: lambda tick: _images(session, asked, tick),
        AuditPart.ENGINE: lambda tick: engine_findings(session, _digests(session, asked), tick),
        AuditPart.REGISTRY: lambda tick: _registry(session, asked, tick),
    }
    for part in AuditPart:
        if part not in asked.parts:
            continue
        try:
            yield from doing[part](progress(part))
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001
            if is_away(error):
                yield out_of_reach(f"the part {part.value}", error)
                continue
            # Rows written by hand can raise anything: that ends one part of the audit, as a finding.
            detail = (
                f"{type(error).__name__}: {' '.join(str(error).split())[:300]}; the rest of it was left out"
            )
            yield Finding(kind=Kind.UNREADABLE, subject=f"the part {part.value}", detail=detail)


def _ledger(session: Session, asked: Audit, progress: Progress) -> Iterator[Finding]:
    record = session.record
    # Copies first, then tree heads, then the head, then events: what is written meanwhile is only added.
    origins = kept_origins(session.settings, record.address)
    first = yield from _head(record, quiet=True)
    names = {*origins, *([first.origin] if first else [])}  # its address may have changed
    known = {origin: kept_heads(session.settings, origin) for origin in names}
    signed = record.ledger.signed_heads()
    head = yield from _head(record)
    origin = head.origin if head else _origin(signed, origins)
    found = TreeHeads(origin, (signing_key(session.settings).public, *asked.keys))
    yield from found.own(signed)
    yield from found.kept(known.get(origin, ()), signed)
    for path in asked.witnesses:
        yield from found.witness(path)
    yield from found.rest()
    for other in [one for one in origins if one != origin]:
        detail = f"it held {other}, and now holds {origin or 'none'}"
        yield Finding(kind=Kind.LEDGER_OTHER, subject=f"ledger {other}", detail=detail)
    yield from found.unsigned(head.size if head else 0)
    seen = _Seen(record.everything.ledger_events())
    yield from tree_findings(head, seen, found.roots, progress)
    yield from head_findings(seen.size, (yield from _head(record, quiet=True)))


class _Seen:
    """Events, counted as they pass."""

    def __init__(self, events: Iterator[LedgerEvent]) -> None:
        self._events, self.size = events, 0

    def __iter__(self) -> Iterator[LedgerEvent]:
        for line in self._events:
            self.size = line.index + 1
            yield line


def _head(record: Record, *, quiet: bool = False) -> Generator[Finding, None, LedgerHead | None]:
    """The ledger's head; None, and a finding unless `quiet`, where its row cannot be read."""
    try:
        return record.ledger.head()
    except RecordError as error:
        if is_away(error):
            raise
        if not quiet:
            yield Finding(kind=Kind.TREE, subject="the table `ledger`", detail=error.message)
    return None


def _origin(signed: Sequence[Signed], origins: Sequence[str]) -> str:
    """The origin of a ledger whose own row is gone."""
    if origins:
        return origins[-1]
    for one in reversed(signed):
        with suppress(UsageError):
            return parse_head(one.text).origin
    return ""


def _rows(session: Session, asked: Audit, progress: Progress) -> Iterator[Finding]:
    everything = session.record.everything
    total = everything.count_runs(asked.since)
    yield from run_findings(everything, asked.since, total, progress)
    yield from shared_findings(everything)


def _images(session: Session, asked: Audit, progress: Progress) -> Iterator[Finding]:
    yield from box_findings(session, progress)
    everything = session.record.everything
    total = everything.count_images(asked.since)
    yield from claim_findings(session, everything.images(asked.since), total, progress)


def _registry(session: Session, asked: Audit, progress: Progress) -> Iterator[Finding]:
    total = session.record.everything.count_images(asked.since)
    yield from registry_findings(session, _digests(session, asked), total, progress)


def _digests(session: Session, asked: Audit) -> Iterator[Digest]:
    return (line.digest for line in session.record.everything.images(asked.since))
