"""The last audit of a box, and what is signed of its ledger. Unlike audit_view.py it needs the record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.audit.kept_audit import KeptAudit
from orchestrator.record.ledger.read_ledger import LedgerHead, Signed
from orchestrator.view.audit_view import audit_view
from orchestrator.view.forms.human_units import moment_text
from orchestrator.view.forms.page import Block, Fields, Table, Text, Tone

HEADS_SHOWN = 50


def kept_audit_page(kept: KeptAudit | None, size: int) -> Iterator[Block]:
    """The last audit, and how much has happened since: the ledger has `size` events now."""
    if kept is None:
        yield Text("this box has run no audit yet")
        return
    since = size - kept.size
    happened = f"; {since:,} events of the ledger since" if since > 0 else "; nothing has happened since"
    yield Text(f"{moment_text(kept.at)} by {kept.by}{happened}", Tone.QUIET)
    yield from audit_view(kept.findings, kept.what).page
    if kept.count > len(kept.findings):
        yield Text(f"and {kept.count - len(kept.findings):,} more findings", Tone.ODD)


def signed_heads_page(heads: Sequence[Signed], head: LedgerHead) -> Iterator[Block]:
    """The newest first: what each signature covers."""
    yield Fields([("ledger", head.id), ("events now", f"{head.size:,}"), ("root now", head.root.hex())])
    if not heads:
        yield Text("nothing is signed yet; `reprise ledger sign` signs", Tone.ODD)
        return
    rows = [(f"{one.size:,}", moment_text(one.at), _signer(one.text)) for one in heads[::-1][:HEADS_SHOWN]]
    yield Table(("events", "signed", "by the key"), rows, right=("events",))


def _signer(note: str) -> str:
    """The name in the last signature line of a note: `— NAME SIGNATURE`."""
    lines = [line for line in note.splitlines() if line.startswith("\u2014 ")]
    return lines[-1].split(" ")[1] if lines and len(lines[-1].split(" ")) > 1 else ""
