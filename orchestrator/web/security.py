"""What stands before every page: who is asked, by whom, from where, and how much at a time.

In this order: the name that the browser believes to speak with (DNS rebinding), the token, for all that is no
GET the page that the request comes from and the token of our own forms (CSRF), and the size of the body. What
leaves gets headers that make a browser hold what a stored text might try (docs/security.md).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.web.access_tokens import Access, Ticket, Tokens

LONGEST_BODY = 1 << 16  # bytes: a note is 10,000 characters
BODY_SECONDS = 20.0  # for all of it
LONGEST_QUERY = 16_384  # bytes
MOST_FIELDS = 200
FORM = "application/x-www-form-urlencoded"
STATIC = "/static/"  # nothing of a record, so without a token: the page that asks for one has a style
_WHO = "this dashboard opens with the address that `reprise web` printed: it holds a token\n"


class Limits(NamedTuple):
    """How the server is reached."""

    hosts: frozenset[str]  # `Host` headers that are answered, lower case: `127.0.0.1:8100`, `team.example`
    port: int  # part of the cookie's name: browsers keep one jar for all ports of a host

    @property
    def cookie(self) -> str:
        return f"reprise-web-{self.port}"


class Guard:
    """ASGI: lets through what may pass, with `access`, `nonce` and `form` in the request's state."""

    def __init__(self, app: ASGIApp, tokens: Tokens, limits: Limits, ticket: Ticket) -> None:
        self._app, self._tokens, self._limits, self._ticket = app, tokens, limits, ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(18)
        answer = _with_headers(send, nonce)
        if scope["type"] != "http":
            await _refused(scope, receive, answer, 400, "this server speaks HTTP only\n")
            return
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._limits.hosts or len(headers.getlist("host")) != 1:
            text = "this server does not go by that name; `reprise web --name NAME` adds one\n"
            await _refused(scope, receive, answer, 421, text)
            return
        if len(scope["query_string"]) > LONGEST_QUERY:
            await _refused(scope, receive, answer, 414, "the address is too long\n")
            return
        state = scope.setdefault("state", {})
        state |= {"nonce": nonce, "access": self._access(headers), "form": {}}
        if _own_path(scope).startswith(STATIC) and scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, answer)
            return
        if (entered := self._entering(scope)) is not None:
            await entered(scope, receive, answer)
            return
        if state["access"] is None:
            await _refused(scope, receive, answer, 401, _WHO)
            return
        if scope["method"] not in ("GET", "HEAD"):
            why = await self._changing(scope, headers, receive)
            if why is not None:
                await _refused(scope, receive, answer, *why)
                return
            receive = _nothing_more
        await self._app(scope, receive, answer)

    def _access(self, headers: Headers) -> Access | None:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._tokens.access_by(given.strip())
        return self._tokens.access_by(cookie_parser(headers.get("cookie", "")).get(self._limits.cookie, ""))

    def _entering(self, scope: Scope) -> Response | None:
        """`/?token=…`: the token goes into a cookie, and out of the address."""
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in pairs if name == "token"]
        if not given or scope["method"] != "GET":
            return None
        token = self._tokens.annotate if self._ticket.takes(given[0]) else given[0]
        if self._tokens.access_by(token) is None:
            return PlainTextResponse("this token is not the server's; `reprise web` prints it\n", 401)
        rest = urlencode([pair for pair in pairs if pair[0] != "token"])
        # Without a host: the browser stays where it is, whatever a path holds.
        root = scope.get("root_path", "")
        path = f"{root}/{_own_path(scope).lstrip('/')}"
        response = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
        response.set_cookie(
            self._limits.cookie,
            token,
            max_age=30 * 86400,
            path=f"{root}/",
            httponly=True,
            # Said by the proxy, or by a browser's owner, who can only harm themselves with it.
            secure=Headers(scope=scope).get("x-forwarded-proto", "").lower() == "https",
            samesite="strict",
        )
        return response

    async def _changing(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[int, str] | None:
        """Why a request that changes something is refused; its form is in the state where it is not."""
        own = {f"{scheme}://{headers['host'].lower()}" for scheme in ("http", "https")}
        if headers.get("origin", "").lower() not in own:
            return 403, "a change must come from a page of this server (Origin)\n"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return 403, "a change must come from a page of this server (Sec-Fetch-Site)\n"
        if scope["state"]["access"] is not Access.ANNOTATE:
            return 403, "this token may read, not change; `reprise web` prints the other one\n"
        if headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            return 415, f"a change is a form: {FORM}\n"
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive)
        except TimeoutError:
            return 408, f"a form has {BODY_SECONDS:g} s to arrive\n"
        if body is None:
            return 413, f"a form has {LONGEST_BODY:,} bytes at most\n"
        try:
            pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError:  # not UTF-8, or too many fields
            return 400, "this form cannot be read\n"
        form = dict(pairs)
        if not secrets.compare_digest(
            form.pop("form_token", "").encode(), self._tokens.form_token().encode()
        ):
            return 403, "a change must come from a form of this server: reload the page\n"
        scope["state"]["form"] = form
        return None


def _own_path(scope: Scope) -> str:
    """The path below `--root-path`."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root) else path


async def _body(receive: Receive) -> bytes | None:
    """None for one that is too long; no more than that is read."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > LONGEST_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _nothing_more() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _refused(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await PlainTextResponse(text, status)(scope, receive, send)


def headers_of(nonce: str) -> Mapping[str, str]:
    """Of every answer. A handler's own values win: a download has a stricter policy."""
    policy = (
        "default-src 'none'",
        f"script-src 'nonce-{nonce}'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types htmx",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        # Not no-referrer: under that, browsers send `Origin: null` with our own forms.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cache-Control": "no-store",
    }


def _with_headers(send: Send, nonce: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in headers_of(nonce).items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def form_of(state: Any) -> dict[str, str]:
    """The fields of the form that the guard let through."""
    return dict(state.form)
