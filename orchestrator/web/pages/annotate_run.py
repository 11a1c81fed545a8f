"""What people say of a run, and its end: forms of the run's page. The guard has looked at their token."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from orchestrator.audit.heads.signed_heads import sign_if_due
from orchestrator.errors import UsageError
from orchestrator.launch.execute.cancel_run import cancel
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.record.runs.author import person
from orchestrator.view.forms.clean_text import clean_line
from orchestrator.web.answers import link, writer_of
from orchestrator.web.security import form_of

LONGEST_NAME = 60  # characters of who says so
_BETWEEN = re.compile(r"[\s,]+")


def annotate(request: Request) -> Response:
    """`do`: note, tag, untag, alias, unalias, archive, restore, cancel; `text`: what of it; `by`: who."""
    run = _done(writer_of(request), request.path_params["run"], form_of(request.state))
    return RedirectResponse(link(request, f"/runs/{run}#said"), 303)


def _done(session: Session, named: str, form: dict[str, str]) -> str:
    """The run's id, once what the form asks for is recorded. UsageError for what cannot be."""
    record, text = session.record, form.get("text", "").replace("\r\n", "\n")
    run, said = record.find(named), record.annotations
    by = clean_line(form.get("by", "")).strip()[:LONGEST_NAME] or person()
    words = [word for word in _BETWEEN.split(text) if word]
    match form.get("do"):
        case "note":
            said.note(run, text, by)
        case "tag" | "untag" as do:
            said.tag(run, words, by, remove=do == "untag")
        case "alias":
            said.name(text.strip(), run, by)
        case "unalias":
            said.unname(text.strip(), by)
        case "archive" | "restore" as do:
            said.archive([run], by, restore=do == "restore")
        case "cancel":
            cancel(session, run, Silent())
        case other:
            raise UsageError(f"a form asks for {other!r}", "reload the page")
    if record.ledger.head_due():
        sign_if_due(session)
    return run


routes = [Route("/runs/{run}", annotate, methods=["POST"])]
