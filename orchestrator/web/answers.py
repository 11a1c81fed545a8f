"""How a page answers: a template, around a view or not, or the view's own document as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from orchestrator import __version__
from orchestrator.launch.session import Session
from orchestrator.redaction import redact_known, redactor
from orchestrator.view.forms.clean_text import clean_line, clean_text
from orchestrator.view.forms.human_units import moment_text, size_text
from orchestrator.view.forms.json_form import json_text
from orchestrator.view.forms.page import View, tone_of
from orchestrator.web.access_tokens import Access
from orchestrator.web.chart_lists import charts_of
from orchestrator.web.printed_blocks import printed
from orchestrator.web.static_files import static_path

TEMPLATES = Path(__file__).with_name("templates")


@cache
def templates() -> Environment:
    """Every value is escaped; an unknown name is an error."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {
        "printed": printed,
        "version": __version__,
        "moment": moment_text,
        "size": size_text,
        "tone": lambda text: tone_of(text).value,
        "charts_of": charts_of,
    }
    return found


def cleaners() -> dict[str, Callable[[str], str]]:
    """What a template cleans its texts with: secrets are looked up once for a page of thousands."""
    redacted = redactor()
    return {
        "cleaned": lambda text: redacted(clean_line(text)),
        "cleaned_text": lambda text: redacted(clean_text(text)),
    }


def session_of(request: Request) -> Session:
    """This box's session, with a record that is only read. Safe from several threads."""
    session = request.app.state.reader
    assert isinstance(session, Session)  # noqa: S101  (for mypy)
    return session


def writer_of(request: Request) -> Session:
    """This box's session for annotations and cancelling, behind the guard's token."""
    session = request.app.state.writer
    assert isinstance(session, Session)  # noqa: S101  (for mypy)
    return session


def may_annotate(request: Request) -> bool:
    return request.state.access is Access.ANNOTATE


def wants_json(request: Request) -> bool:
    return request.query_params.get("format") == "json"


def link(request: Request, path: str) -> str:
    """An address of ours as a browser behind a proxy asks for it."""
    return f"{request.scope.get('root_path', '')}{path}"


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """HTML of a template that extends base.html, which needs `title`. An unchanged page answers 304."""
    access = getattr(request.state, "access", None)
    text = (
        templates()
        .get_template(template)
        .render(
            request=request,
            nonce=request.state.nonce,
            link=lambda path: link(request, path),
            static=lambda name: link(request, static_path(name)),
            may_annotate=access is Access.ANNOTATE,
            known=access is not None,
            **cleaners(),
            form_token=request.app.state.tokens.form_token() if access is Access.ANNOTATE else "",
            **values,
        )
    )
    digest = hashlib.sha256(text.replace(request.state.nonce, "").encode("utf-8", "replace")).hexdigest()
    mark = f'"{digest[:32]}"'
    if status == 200 and (unchanged := as_it_was(request, mark)) is not None:
        return unchanged
    return HTMLResponse(text.encode("utf-8", "replace"), status, marked(mark))


def as_it_was(request: Request, mark: str) -> Response | None:
    """304 where the browser has the part with this ETag. A whole page is asked for with its nonce; only a
    part, fetched by htmx, may stay as the browser has it.
    """
    if request.headers.get("hx-request") and mark in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=marked(mark))
    return None


def marked(mark: str) -> dict[str, str]:
    return {"ETag": mark, "Cache-Control": "private, no-cache"}


def json_answer(document: Any, status: int = 200) -> Response:
    """One JSON document, as `--json` prints it."""
    return Response(redact_known(json_text(document)) + "\n", status, media_type="application/json")


def view_page(
    request: Request, title: str, view: View, template: str = "view.html", **values: Any
) -> Response:
    """A view as HTML, or with `?format=json` its document."""
    if wants_json(request):
        return json_answer(view.document)
    return page(request, template, title=title, view=view, **values)
