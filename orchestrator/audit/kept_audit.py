"""The last audit that this box ran, as its command told it: for those who ask later.

It is a box's memory and no proof: whoever can write here can write anything. An audit proves while it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.audit.findings import Finding
from orchestrator.durable import write_bytes
from orchestrator.launch.session import Session
from orchestrator.record.runs.author import author
from orchestrator.untrusted_json import read_untrusted
from orchestrator.value import Instant, Value

NAME = "last-audit.json"
MOST = 2_000  # findings that are kept
LONGEST = 8 << 20  # bytes of the file


class KeptAudit(Value):
    at: Instant  # by the record's clock
    by: str  # user@machine
    what: str  # what was looked at, in words
    size: int  # how many events the ledger had then
    count: int  # how many findings; the first MOST are kept
    findings: tuple[Finding, ...]


def keep_audit(session: Session, findings: Sequence[Finding], what: str) -> None:
    """Keep these findings, in place of the last audit's."""
    kept = KeptAudit(
        at=session.record.now(),
        by=author(),
        what=what,
        size=session.record.ledger.head().size,
        count=len(findings),
        findings=tuple(findings[:MOST]),
    )
    write_bytes(session.settings.home / NAME, kept.model_dump_json().encode(), 0o600)


def kept_audit(home: Path) -> KeptAudit | None:
    """None where no audit was run, or its file is not one that this release can read."""
    try:
        with (home / NAME).open("rb") as stream:
            data = stream.read(LONGEST + 1)
    except OSError:
        return None
    try:
        return read_untrusted(KeptAudit, data) if len(data) <= LONGEST else None
    except ValueError:
        return None
