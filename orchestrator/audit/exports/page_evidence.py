"""What proves the page of a run: its events, their way to a signed tree head, a signature over the page.

The page is one HTML file (web/proof_page.py makes it). It holds, as JSON in `<script id="evidence">`:

    format, run, key         the key as `reprise ledger key` prints it: believe it only if you know it
    head                     the signed tree head
    events                   each event of the run: index, exact document, hashes beside its way to the root
    page                     a signed note over two hashes: of what `<body>` shows (`shown_text`), and of the
                             whole file without this JSON (`frame_of`)

The page is checked in two places: by templates/verify.js in a reader's browser, and by `check_page` here. A
script sees only what a browser made of the file. Here every byte counts: a style, a title, a script or a text
before `<body>` can say what was never recorded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from orchestrator.audit.exports.run_proofs import EventProof, RunProof, proof_problem, run_proofs
from orchestrator.audit.findings import Finding, Kind
from orchestrator.audit.heads.signed_heads import sign_ledger
from orchestrator.audit.heads.signed_note import add_signature, parse_head, verify_head
from orchestrator.audit.keys import KnownKeys, PublicKey, SigningKey, from_base64, parse_public, signing_key
from orchestrator.errors import UsageError
from orchestrator.launch.session import Session
from orchestrator.record.ledger.event_rules import broken_rules
from orchestrator.record.ledger.merkle import leaf_hash
from orchestrator.spec.plain_file import read_plain
from orchestrator.value import Value

FORMAT = "reprise-page/1"
LARGEST = 64 << 20  # bytes of a page
_START, _END = '<script type="application/json" id="evidence">', "</script>"  # around the evidence
_NOT_OURS = "`reprise export RUN FILE.html --format html` writes such a page"


class PageEvent(Value):
    index: int
    document: str  # the exact text, in UTF-8
    path: tuple[str, ...]  # hex


class PageEvidence(Value):
    format: str
    run: str
    key: str
    head: str
    events: tuple[PageEvent, ...]
    page: str = ""  # empty until the page is made


class WrittenPage(Value):
    path: Path
    badge: Path
    run: str
    size: int  # bytes of the page
    events: int  # how many events of the ledger are proven
    key: str  # the fingerprint that a reader compares


def evidence_of(session: Session, run: str) -> PageEvidence:
    """The run's events under a tree head that this box's key has signed."""
    sign_ledger(session)
    key = signing_key(session.settings)
    with session.record.everything.snapshot() as now:
        leaves, documents = [], {}
        for number, event in enumerate(now.ledger_events()):
            leaves.append(leaf_hash(event.document))
            if event.run == run:
                documents[number] = event.document
        proof = next(run_proofs(now.signed_heads(), leaves, {run: list(documents)}), None)
    if proof is None:
        raise UsageError(f"no signed tree head covers run {run}", "`reprise ledger sign` signs one")
    head = proof.head
    if not verify_head(parse_head(head), [key.public]):  # signed by another box: the root was computed here
        head = add_signature(head, key)
    events = tuple(
        PageEvent(index=one.index, document=documents[one.index].decode(), path=one.path)
        for one in proof.events
    )
    return PageEvidence(format=FORMAT, run=run, key=key.public.vkey, head=head, events=events)


def signed_page(evidence: PageEvidence, html: str, key: SigningKey) -> PageEvidence:
    """With the signature over what the page shows."""
    body = _body(evidence.run, html)
    return evidence.model_copy(update={"page": add_signature(body + "\n", key)})


def _body(run: str, html: str) -> str:
    shown, frame = (
        hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        for text in (shown_text(html), frame_of(html)[0])
    )
    return f"{FORMAT}\n{run}\nsha256:{shown}\nsha256:{frame}\n"


def frame_of(html: str) -> tuple[str, str]:
    """All of a page but its evidence, and the evidence. ValueError where there is not exactly one evidence.

    The evidence that we write holds no `<`: after `<!--<script` a browser takes what follows for evidence.
    """
    before, start, rest = html.partition(_START)
    evidence, end, after = rest.partition(_END)
    if not start or not end or _START in after or "<" in evidence:
        raise ValueError("it does not hold one piece of evidence")
    return before + start + end + after, evidence


class _Body(HTMLParser):
    """`<body>` without its scripts, in one spelling; verify.js writes the same from its document."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.shown: list[str] = []
        self._inside = self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self._script = True
        elif tag == "body":
            self._inside = True
        elif self._inside:
            pairs = sorted(f"{name}={value or ''}" for name, value in attrs)
            self.shown.append(f"<{tag}" + "".join(f"\x1f{pair}" for pair in pairs) + ">")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = False
        elif self._inside and tag not in ("body", "html"):  # what follows them is shown, too
            self.shown.append("</>")

    def handle_data(self, data: str) -> None:
        if self._inside and not self._script:
            self.shown.append(data)

    def handle_comment(self, data: str) -> None:  # noqa: ARG002  (the parser's)
        self.shown.append("<!>")  # no page of ours has one


def shown_text(html: str) -> str:
    """What a reader's browser can check of a page."""
    parser = _Body()
    parser.feed(html)
    parser.close()
    return "".join(parser.shown)


def check_page(path: Path, known: KnownKeys) -> list[Finding]:
    """What does not hold of a page; empty where all of it is proven. UsageError: it is no such page.

    Where no key is known, the one in the page is used, and a finding says so.
    """
    html = read_plain(path, LARGEST, named=True).decode("utf-8", "replace")
    try:
        evidence = PageEvidence.model_validate(json.loads(frame_of(html)[1]))
        if evidence.format != FORMAT:
            raise ValueError(f"its format is {evidence.format[:40]!r}")  # noqa: TRY301
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no page of a run: {error}"[:300], _NOT_OURS) from None
    findings = []
    own = parse_public(evidence.key)
    if known.empty:
        detail = (
            f"signatures were checked with the key that came with the page ({own.fingerprint}): is it known?"
        )
        findings.append(Finding(kind=Kind.NOT_CHECKED, subject=str(path), detail=detail, run=evidence.run))
    keys = [own] if known.empty else known.among([own])
    problem = _events_problem(evidence, keys) or _page_problem(evidence, html, keys)
    if problem is not None:
        findings.append(Finding.of_run(Kind.PROOF, evidence.run, problem))
    return findings


def _events_problem(evidence: PageEvidence, keys: Sequence[PublicKey]) -> str | None:
    try:
        documents = {event.index: event.document.encode() for event in evidence.events}
        if not documents or any(json.loads(text)["run"] != evidence.run for text in documents.values()):
            return "its events are not of the run that it names"
        origin = parse_head(evidence.head).origin
    except (UsageError, ValueError, TypeError, LookupError, RecursionError) as error:
        return str(error)
    for index, problem in broken_rules((documents[number] for number in sorted(documents)), {}):
        return f"event {index} was put in: {problem}"
    events = tuple(
        EventProof(index=one.index, leaf=leaf_hash(documents[one.index]).hex(), path=one.path)
        for one in evidence.events
    )
    return proof_problem(
        RunProof(run=evidence.run, head=evidence.head, events=events), origin, documents, keys
    )


def _page_problem(evidence: PageEvidence, html: str, keys: Sequence[PublicKey]) -> str | None:
    """What is shown, against the signature over it."""
    body, _, signatures = evidence.page.partition("\n\n")
    if f"{body}\n" != _body(evidence.run, html):
        return "what the page shows is not what was signed"
    if any(_signed_by(f"{body}\n", line, key) for line in signatures.splitlines() for key in keys):
        return None
    return "no key that is known signed what the page shows"


def _signed_by(body: str, line: str, key: PublicKey) -> bool:
    start = f"— {key.name} "
    if not line.startswith(start):
        return False
    try:
        data: Any = from_base64(line[len(start) :])
    except ValueError:
        return False
    return data[:4] == key.key_id and key.verify(body.encode(), data[4:])
