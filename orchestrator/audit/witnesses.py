"""Checkpoints that an audit goes by: the record's own, and those that were kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from orchestrator.audit.findings import Finding, Kind
from orchestrator.audit.keys import PublicKey
from orchestrator.audit.ledger import Held
from orchestrator.audit.note import parse_checkpoint, split_notes, verify_checkpoint
from orchestrator.errors import UsageError
from orchestrator.record.ledger import Signed


class Checkpoints:
    """Notes become `held`, or findings."""

    def __init__(self, origin: str, keys: Sequence[PublicKey]) -> None:
        self._origin, self._keys = origin, keys
        self.held: list[Held] = []
        self._unknown: dict[str, int] = {}  # signer -> notes by keys that nobody named

    def own(self, signed: Iterable[Signed]) -> Iterator[Finding]:
        """Those of the record itself."""
        for one in signed:
            yield from self._note(one.text, f"the checkpoint over {one.size} events", one.size)

    def witness(self, path: Path) -> Iterator[Finding]:
        """A file of notes. UsageError where it cannot be read, or holds none."""
        try:
            text = path.read_text(errors="replace")
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read: {error.strerror}", "name a file of checkpoints"
            ) from error
        notes = split_notes(text)
        if not notes:
            raise UsageError(
                f"{path} holds no checkpoint", "`reprise checkpoint --to FILE` writes such a file"
            )
        for number, note in enumerate(notes, 1):
            yield from self._note(note, f"note {number} of {path}", None)

    def rest(self) -> Iterator[Finding]:
        for name, count in sorted(self._unknown.items()):
            yield Finding(
                kind=Kind.NOT_CHECKED,
                subject=f"{count} checkpoint(s) signed by {name}",
                detail="its key is not this box's and was not given with --key",
            )

    def _note(self, text: str, source: str, size: int | None) -> Iterator[Finding]:
        try:
            read = parse_checkpoint(text)
            good = verify_checkpoint(read, self._keys)
        except UsageError as error:
            yield Finding(kind=Kind.CHECKPOINT_FORGED, subject=source, detail=error.message)
            return
        if read.origin != self._origin:
            detail = f"it is of ledger {read.origin}, and this one is {self._origin}"
            yield Finding(kind=Kind.CHECKPOINT, subject=source, detail=detail)
            return
        if size is not None and read.size != size:
            detail = f"its row says {size} events, its text {read.size}"
            yield Finding(kind=Kind.CHECKPOINT, subject=source, detail=detail)
        if good:
            self.held.append(Held(read.size, read.root, source))
        else:
            for one in read.signatures:
                self._unknown[one.name] = self._unknown.get(one.name, 0) + 1
