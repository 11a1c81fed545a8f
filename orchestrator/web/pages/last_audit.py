"""`/audit`: the last audit of this box, what its findings mean, and the signed tree heads."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.audit.kept_audit import kept_audit
from orchestrator.view.audit_view import audit_view
from orchestrator.view.dashboard.kept_audit_view import kept_audit_page, signed_heads_page
from orchestrator.web.answers import json_answer, page, session_of, wants_json


def last_audit(request: Request) -> Response:
    session = session_of(request)
    ledger = session.record.ledger
    head, heads, kept = ledger.head(), ledger.signed_heads(), kept_audit(session.settings.home)
    if wants_json(request):
        audit = None
        if kept is not None:
            facts = {"at": kept.at, "by": kept.by, "what": kept.what, "size": kept.size}
            audit = {**facts, **audit_view(kept.findings, kept.what).document}
        return json_answer({"audit": audit, "heads": heads, "size": head.size})
    return page(
        request,
        "audit.html",
        title="Audit",
        audit=kept_audit_page(kept, head.size),
        heads=signed_heads_page(heads, head),
    )


routes = [Route("/audit", last_audit)]
