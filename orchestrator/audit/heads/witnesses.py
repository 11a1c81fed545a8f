"""Signed tree heads that an audit goes by: the record's own, and those that were kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.audit.checks.ledger_checks import KnownRoot
from orchestrator.audit.findings import Finding, Kind
from orchestrator.audit.heads.signed_note import parse_head, split_notes, verify_head
from orchestrator.audit.keys import PublicKey
from orchestrator.errors import UsageError
from orchestrator.message_wording import count
from orchestrator.spec.plain_file import read_plain

if TYPE_CHECKING:
    from orchestrator.record.ledger.read_ledger import Signed

MOST = 512 << 20  # bytes of a file of tree heads: two million


class TreeHeads:
    """Notes become `roots`, or findings."""

    def __init__(self, origin: str, keys: Sequence[PublicKey]) -> None:
        self._origin, self._keys = origin, keys
        self.roots: list[KnownRoot] = []
        self._unknown: dict[str, int] = {}  # signer -> notes by keys that are not given

    def own(self, signed: Iterable[Signed]) -> Iterator[Finding]:
        """The record's own tree heads."""
        for one in signed:
            yield from self._note(one.text, _over(one.size), one.size)

    def kept(self, notes: Sequence[str], signed: Iterable[Signed]) -> Iterator[Finding]:
        """This box's copies, read before the record's: each must be in the record, too."""
        there = {one.size: one.text for one in signed}
        gone: list[int] = []
        for number, note in enumerate(notes, 1):
            source = f"note {number} of this box's own copy"
            yield from self._note(note, source, None)
            try:
                size = parse_head(note).size
            except UsageError:
                continue  # a finding already
            if size not in there:
                gone.append(size)
            elif there[size] != note:
                detail = "the record's is not the one that this box keeps a copy of"
                yield Finding(kind=Kind.HEAD, subject=_over(size), detail=detail)
        if gone:
            detail = f"{len(gone)} of this box's {len(notes)} are not in the record"
            yield Finding(kind=Kind.HEAD_MISSING, subject=_over(gone[0]), detail=detail)

    def witness(self, path: Path) -> Iterator[Finding]:
        """A file of notes. UsageError where it cannot be read, or holds none."""
        notes = split_notes(read_plain(path, MOST, named=True).decode(errors="replace"))
        if not notes:
            raise UsageError(
                f"{path} holds no tree head", "`reprise ledger sign --to FILE` writes such a file"
            )
        before = len(self.roots)
        yield from self.texts(notes, str(path))
        if len(self.roots) == before:
            detail = "no note in it is signed by a known key over this ledger"
            yield Finding(kind=Kind.HEAD_FORGED, subject=str(path), detail=detail)

    def texts(self, notes: Iterable[str], name: str) -> Iterator[Finding]:
        for number, note in enumerate(notes, 1):
            yield from self._note(note, f"note {number} of {name}", None)

    def unsigned(self, size: int) -> Iterator[Finding]:
        """How many of the last events no good tree head covers, where there are some."""
        covered = max((one.size for one in self.roots), default=0)
        if covered < size:
            detail = f"of {size} events the last {size - covered} are not signed by a known key"
            yield Finding(kind=Kind.NO_HEAD, subject="ledger", detail=detail)

    def rest(self) -> Iterator[Finding]:
        """How many notes are signed by keys that are not known."""
        for name, notes in sorted(self._unknown.items()):
            yield Finding(
                kind=Kind.NOT_CHECKED,
                subject=f"{count(notes, 'tree head')} signed by {name}",
                detail="its key is not this box's and was not given with --key",
            )

    def _note(self, text: str, source: str, size: int | None) -> Iterator[Finding]:
        try:
            read = parse_head(text)
            good = verify_head(read, self._keys)
        except UsageError as error:
            yield Finding(kind=Kind.HEAD_FORGED, subject=source, detail=error.message)
            return
        if read.origin != self._origin:
            detail = f"it is of ledger {read.origin}, and this one is {self._origin}"
            yield Finding(kind=Kind.HEAD, subject=source, detail=detail)
            return
        if size is not None and read.size != size:
            detail = f"its row says {size} events, its text {read.size}"
            yield Finding(kind=Kind.HEAD, subject=source, detail=detail)
        if good:
            self.roots.append(KnownRoot(read.size, read.root, source))
        else:
            for one in read.signatures:
                self._unknown[one.name] = self._unknown.get(one.name, 0) + 1


def _over(size: int) -> str:
    return f"tree head over {size} events"
