"""The last audit and the signed heads."""

from __future__ import annotations

from support.records import finish_run, new_run
from support.seeded_record import HOSTILE
from support.web_fixtures import Site

from orchestrator.audit.findings import Finding, Kind
from orchestrator.audit.heads.signed_heads import sign_ledger
from orchestrator.audit.kept_audit import NAME, keep_audit
from orchestrator.launch.session import Session


def test_before_any_audit_the_command_is_offered(empty_site: Site) -> None:
    text = empty_site.server.ask("/audit").text
    assert "has run no audit yet" in text
    assert "reprise audit" in text
    assert "nothing is signed yet" in text


def test_findings_are_told_with_what_they_mean(empty_site: Site) -> None:
    finding = Finding(kind=Kind.ROW_ALTERED, subject=f"run {HOSTILE[0]}", detail=HOSTILE[1])
    with Session(empty_site.server.settings) as session:
        finish_run(session.record, new_run())
        keep_audit(session, [finding], "ledger, rows")
        sign_ledger(session)
    text = empty_site.server.ask("/audit").text
    assert "it was changed by hand" in text
    assert "1 wrong, 0 to note; looked at: ledger, rows" in text
    assert "&lt;script&gt;alert(1)" in text
    document = empty_site.server.json("/audit?format=json")
    assert document["audit"]["wrong"] == 1
    assert len(document["heads"]) == 1


def test_a_file_that_holds_no_audit_is_none(empty_site: Site) -> None:
    for data in (b"", b"[]", b"{", b'{"at": 1}', b"[" * 100_000):
        (empty_site.server.settings.home / NAME).write_bytes(data)
        assert "has run no audit yet" in empty_site.server.ask("/audit").text
