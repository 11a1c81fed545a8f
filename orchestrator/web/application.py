"""The dashboard as an ASGI application: its pages, behind their guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from orchestrator.errors import RepriseError, UsageError
from orchestrator.launch.session import Session
from orchestrator.settings import Settings
from orchestrator.web.access_tokens import Ticket, Tokens
from orchestrator.web.answers import json_answer, page, templates, wants_json
from orchestrator.web.live_hub import Hub, hub_of
from orchestrator.web.routes import NAVIGATION, routes
from orchestrator.web.security import Guard, Limits
from orchestrator.web.unchanged_parts import MadeParts

READ_SECONDS = 20.0  # that one question to the record may take


class Dashboard(NamedTuple):
    application: ASGIApp
    end_streams: Callable[[], object]  # answers that have no end of their own; only while it serves


def dashboard(settings: Settings, tokens: Tokens, limits: Limits, ticket: Ticket) -> Dashboard:
    """The application. It opens its sessions when it starts and closes them when it ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with Session.to_read(settings, READ_SECONDS) as reader, Session(settings) as writer:
            app.state.reader, app.state.writer, app.state.tokens = reader, writer, tokens
            app.state.live_hub, app.state.made_parts = Hub(reader), MadeParts()
            yield
            app.state.live_hub.close()

    templates().globals["navigation"] = NAVIGATION
    app = Starlette(
        routes=routes,
        exception_handlers={RepriseError: _refused, HTTPException: _http_error, Exception: _crashed},
        lifespan=lifespan,
    )
    return Dashboard(Guard(app, tokens, limits, ticket), lambda: hub_of(app).end())


def _refused(request: Request, error: Exception) -> Response:
    """What was asked cannot be: the message and the hint that the command line would print."""
    assert isinstance(error, RepriseError)  # noqa: S101  (for mypy)
    status = 400 if isinstance(error, UsageError) else 503
    return _told(request, status, error.message, error.hint)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  (for mypy)
    texts = {404: "there is no such page", 405: "this page takes no such request"}
    return _told(request, error.status_code, texts.get(error.status_code, str(error.detail)), None)


def _crashed(request: Request, _error: Exception) -> Response:
    """The server goes on, and writes where the error came from to its standard error."""
    return _told(request, 500, "this page could not be made: that is a bug", "the server's output says more")


def _told(request: Request, status: int, message: str, hint: str | None) -> Response:
    if wants_json(request):
        return json_answer({"error": {"message": message, "hint": hint}}, status)
    return page(request, "message.html", status, title="Not shown", message=message, hint=hint or "")
