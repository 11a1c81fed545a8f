"""The audit: everything computed once more, nothing that was stored as "verified" believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from orchestrator.audit.blobs import blob_findings
from orchestrator.audit.claims import claim_findings
from orchestrator.audit.findings import Finding, Kind
from orchestrator.audit.images import box_findings, engine_findings, registry_findings
from orchestrator.audit.keys import PublicKey, signing_key
from orchestrator.audit.ledger import tree_findings
from orchestrator.audit.local import kept_checkpoints
from orchestrator.audit.rows import run_findings, shared_findings
from orchestrator.audit.stuck import stuck_findings
from orchestrator.audit.witnesses import Checkpoints
from orchestrator.launch.session import Session
from orchestrator.launch.verify import judged_runs, stored_verdicts, verify
from orchestrator.value import Value

Step = Callable[[int, int], None]  # (done, total), for a progress bar


class Part(StrEnum):
    """What can be asked for one by one; in the order in which it is done."""

    LEDGER = "ledger"  # events, their tree, checkpoints
    ROWS = "rows"  # events against tables
    RUNS = "runs"  # open runs that nobody is at
    BLOBS = "blobs"
    VERDICTS = "verdicts"
    IMAGES = "images"  # this box's layers, and images against their specs
    ENGINE = "engine"
    REGISTRY = "registry"


class Audit(Value):
    """What is asked of an audit."""

    parts: tuple[Part, ...] = tuple(Part)
    since: datetime | None = None  # runs and images from then on; the ledger is always read whole
    witnesses: tuple[Path, ...] = ()
    keys: tuple[PublicKey, ...] = ()  # beside this box's own


def audit(session: Session, asked: Audit, step: Callable[[Part], Step]) -> Iterator[Finding]:
    """Findings as they come. The record may be written meanwhile: each look is at one state of it."""
    doing: dict[Part, Callable[[Step], Iterator[Finding]]] = {
        Part.LEDGER: lambda tick: _ledger(session, asked, tick),
        Part.ROWS: lambda tick: _rows(session, asked, tick),
        Part.RUNS: lambda _: stuck_findings(session),
        Part.BLOBS: lambda tick: blob_findings(session, asked.since, tick),
        Part.VERDICTS: lambda tick: _verdicts(session, tick),
        Part.IMAGES: lambda tick: _images(session, asked, tick),
        Part.ENGINE: lambda tick: engine_findings(session, tick),
        Part.REGISTRY: lambda tick: _registry(session, asked, tick),
    }
    for part in Part:
        if part in asked.parts:
            yield from doing[part](step(part))


def _ledger(session: Session, asked: Audit, step: Step) -> Iterator[Finding]:
    record = session.record
    keys: Sequence[PublicKey] = (signing_key(session.settings).public, *asked.keys)
    # Checkpoints first, events later: what is written meanwhile only adds to the end.
    signed = record.checkpoints()
    head = record.ledger()
    found = Checkpoints(head.origin, keys)
    yield from found.own(signed)
    for path in (*kept_checkpoints(session.settings, head.origin), *asked.witnesses):
        yield from found.witness(path)
    yield from found.rest()
    if not found.held and head.size:
        yield Finding(kind=Kind.NO_CHECKPOINT, subject="ledger", detail=f"{head.size} events, none signed")
    yield from tree_findings(record.ledger, record.everything.ledger_events, found.held, step)


def _rows(session: Session, asked: Audit, step: Step) -> Iterator[Finding]:
    everything = session.record.everything
    total = everything.count_runs(asked.since)
    yield from run_findings(everything, asked.since, total, step)
    yield from shared_findings(everything)


def _verdicts(session: Session, step: Step) -> Iterator[Finding]:
    lines = stored_verdicts(session, judged_runs(session, None))
    for done, checked in enumerate(verify(session, lines)):
        if not checked.sound and not (
            checked.missing or checked.damaged
        ):  # blobs are looked at by themselves
            yield Finding(
                kind=Kind.VERDICT,
                subject=f"verdict on run {checked.run}",
                detail=f"stored: {checked.stored}; the evidence gives {checked.recomputed}: "
                + "; ".join(checked.differences[:3]),
                run=checked.run,
            )
        step(done + 1, len(lines))


def _images(session: Session, asked: Audit, step: Step) -> Iterator[Finding]:
    yield from box_findings(session, step)
    everything = session.record.everything
    total = everything.count_images(asked.since)
    yield from claim_findings(session, everything.images(asked.since), total, step)


def _registry(session: Session, asked: Audit, step: Step) -> Iterator[Finding]:
    everything = session.record.everything
    digests = (line.digest for line in everything.images(asked.since))
    yield from registry_findings(session, digests, everything.count_images(asked.since), step)
