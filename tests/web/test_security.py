"""What stands before every page, by raw requests."""

from __future__ import annotations

import socket
import threading
import time
import webbrowser
from contextlib import suppress

import pytest
from click.testing import CliRunner
from support.web_fixtures import Site

from orchestrator.cli.commands.web import command
from orchestrator.web import security, server
from orchestrator.web.static_files import static_path

PAGES = ("/", "/runs/{best}")


def test_only_our_names_are_answered(site: Site) -> None:
    """DNS rebinding: a page of evil.example whose name leads here is not answered, whatever it asks for."""
    port = site.server.bound.port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", "", "["):
        found = site.server.ask("/", headers={"Host": host})
        assert found.status in (400, 421), host
        assert site.runs.best not in found.text
    assert site.server.ask("/", headers={"Host": f"localhost:{port}"}).status == 200
    twice = f"GET / HTTP/1.1\r\nHost: {site.server.host}\r\nHost: evil.example\r\n\r\n"
    assert b" 200 " not in site.server.raw(twice.encode()).split(b"\r\n", 1)[0]


def test_without_a_token_nothing_is_shown(site: Site) -> None:
    for path in (*PAGES, "/nothing", f"/runs/{site.runs.best}?format=json"):
        for headers in ({}, {"Cookie": f"reprise-web-{site.server.bound.port}=wrong"}):
            found = site.server.ask(path.format(best=site.runs.best), token=None, headers=headers)
            assert found.status == 401
            assert "digits" not in found.text
    wrong = site.server.ask("/?token=wrong", token=None)
    assert wrong.status == 401
    assert "set-cookie" not in wrong.headers


def test_behind_tls_the_cookie_goes_over_tls_only(site: Site) -> None:
    """Else one address of the same host in plain http is enough to read it on the way."""
    path = f"/?token={site.server.bound.tokens.read}"
    for said, secure in (("https", True), ("http", False), ("", False)):
        found = site.server.ask(path, token=None, headers={"X-Forwarded-Proto": said})
        assert ("; Secure" in found.headers["set-cookie"]) is secure, said


def test_the_token_leaves_the_address(site: Site) -> None:
    token = site.server.bound.tokens.annotate
    found = site.server.ask(f"/?where=a%3D1&token={token}", token=None)
    assert (found.status, found.headers["location"]) == (303, "/?where=a%3D1")
    cookie = found.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert token in cookie
    assert token not in found.headers["location"]


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "/%5cevil.example", "///evil.example/x"]
)
def test_no_address_leads_away(site: Site, path: str) -> None:
    found = site.server.ask(f"{path}?token={site.server.bound.tokens.read}", token=None)
    assert not found.headers.get("location", "/").startswith(("//", "/\\", "http"))


def test_both_tokens_read_and_a_header_can_hold_them(site: Site) -> None:
    for token in ("read", "annotate"):
        assert site.server.ask("/", token=token).status == 200
        bearer = {"Authorization": f"Bearer {getattr(site.server.bound.tokens, token)}"}
        assert site.server.ask("/", token=None, headers=bearer).status == 200
    assert site.server.ask("/", headers={"Authorization": "Bearer wrong"}).status == 401


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"headers": {"Origin": "http://evil.example"}}, 403),
        ({"headers": {"Origin": "null"}}, 403),
        ({"headers": {"Origin": ""}}, 403),
        ({"headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
        ({"headers": {"Content-Type": "text/plain"}}, 415),
        ({"headers": {"Content-Type": "application/json"}}, 415),
        ({"token": "read"}, 403),
        ({"token": None}, 401),
        ({"form": {"form_token": "wrong"}}, 403),
        ({"form": {"form_token": ""}}, 403),
        ({"form": {"text": "x" * 70_000}}, 413),
        ({"form": {f"f{number}": "" for number in range(300)}}, 400),
    ],
)
def test_a_change_needs_our_page_our_form_and_the_right_token(
    site: Site, change: dict[str, object], status: int
) -> None:
    asked: dict[str, object] = {"form": {"text": "hello"}, **change}
    found = site.server.post(f"/runs/{site.runs.best}", asked.pop("form"), **asked)  # type: ignore[arg-type]
    assert found.status == status


def test_every_answer_has_the_headers_that_hold_a_browser(site: Site) -> None:
    for path, token in (("/", "read"), ("/", None), ("/none", "read"), (f"/runs/{site.runs.best}", "read")):
        headers = site.server.ask(path, token=token).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_the_nonce_of_a_page_is_its_own(site: Site) -> None:
    first, second = (site.server.ask("/").headers["content-security-policy"] for _ in range(2))
    assert first != second


def test_addresses_and_heads_have_a_length(site: Site) -> None:
    assert site.server.ask("/?where=" + "a" * 20_000).status == 414
    assert site.server.raw(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n")[:12].endswith(b"400")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../security.py",
        "/static/%2e%2e/%2e%2e/security.py",
        "/static/0000000000000000/style.css",
        "/static/x//etc/passwd",
        "/runs/..%2f..%2fetc%2fpasswd",
        "/runs/%00",
    ],
)
def test_no_path_of_the_disk_is_in_an_address(site: Site, path: str) -> None:
    assert site.server.ask(path).status in (400, 404)


def test_a_message_escapes_what_was_asked(site: Site) -> None:
    found = site.server.ask("/runs/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert found.status in (400, 404)
    assert "<script>alert" not in found.text


def test_the_address_that_a_browser_is_started_with_opens_it_once(empty_site: Site) -> None:
    """Other users of the machine read it in the program's arguments: it is worth nothing afterwards."""
    server = empty_site.server
    ticket = server.bound.ticket.text
    assert ticket not in server.bound.tokens
    assert server.ask("/?token=wrong", token=None).status == 401
    assert server.ask("/", token=None, headers={"Authorization": f"Bearer {ticket}"}).status == 401
    found = server.ask(f"/?token={ticket}", token=None)
    assert found.status == 303
    assert server.bound.tokens.annotate in found.headers["set-cookie"]
    assert server.ask(f"/?token={ticket}", token=None).status == 401


def test_a_browser_is_not_started_with_a_token_that_lasts(
    empty_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = empty_site.server.bound
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(server, "prepare", lambda *_, ready, **__: ready(bound))
    monkeypatch.setattr(server, "serve", lambda _prepared: None)
    said = CliRunner().invoke(command, ["--open"]).output
    assert bound.tokens.annotate in said
    assert len(opened) == 1
    assert not any(token in opened[0] for token in bound.tokens)


def _until_the_end(site: Site, sent: bytes, drip: bytes = b"") -> tuple[bytes, float]:
    """What the server says until it ends the connection, and after how many seconds."""
    began, said = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", site.server.bound.port), timeout=0.05) as connection:
        connection.sendall(sent)
        while time.monotonic() < began + 10:
            try:
                part = connection.recv(65_536)
            except TimeoutError:
                with suppress(OSError):
                    connection.sendall(drip)
                continue
            except ConnectionResetError:
                part = b""
            if not part:
                return said, time.monotonic() - began
            said += part
    pytest.fail("the connection is still held")


def test_a_connection_that_asks_nothing_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four hundred of them, without any token, held the server for as long as they liked."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    host = f"Host: {site.server.host}\r\n".encode()
    for sent, drip in ((b"", b""), (b"GET / HT", b""), (b"GET / HTTP/1.1\r\nA: ", b"a")):
        said, seconds = _until_the_end(site, sent, drip)
        assert said == b"", sent
        assert seconds >= 0.25, sent
    said, _ = _until_the_end(site, b"GET /none HTTP/1.1\r\n" + host + b"\r\nGET / HT", b"a")
    assert said.startswith(b"HTTP/1.1 401 "), "an answered connection waits no longer for the next"


def test_a_form_has_a_time_to_arrive(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    headers = {
        "Host": site.server.host,
        "Origin": site.server.origin,
        "Content-Type": security.FORM,
        "Content-Length": "5000",
        **site.server.cookie("annotate"),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    said, _ = _until_the_end(site, f"POST /runs/{site.runs.best} HTTP/1.1\r\n{head}\r\n".encode(), b"a")
    assert said.startswith(b"HTTP/1.1 408 ")


def test_an_answer_that_is_not_taken_is_not_held(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, by not reading: the styles of the page that asks for a token are served without one."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(server, "UNREAD_SECONDS", 0.2)
    lost, real = threading.Semaphore(0), server._TimedConnection.connection_lost

    def counted(connection: server._TimedConnection, error: Exception | None) -> None:
        real(connection, error)
        lost.release()

    monkeypatch.setattr(server._TimedConnection, "connection_lost", counted)
    asked = f"GET {static_path('vendor/htmx/htmx.min.js')} HTTP/1.1\r\nHost: {site.server.host}\r\n\r\n"
    for times in (1, 400):  # what fits into the system's buffers is taken; of many answers one is under way
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.connect(("127.0.0.1", site.server.bound.port))
            connection.sendall(asked.encode() * times)
            assert lost.acquire(timeout=10), f"held after {times}"


def test_an_answer_that_is_taken_slowly_is_given_to_its_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "UNREAD_SECONDS", 0.3)
    path = static_path("vendor/htmx/htmx.min.js")
    asked = f"GET {path} HTTP/1.1\r\nHost: {site.server.host}\r\nConnection: close\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", site.server.bound.port))
        connection.sendall(asked.encode())
        said, ends = b"", time.monotonic() + 1.2  # slower than the limit for all of it
        while part := connection.recv(4096):
            said += part
            time.sleep(0.05 if time.monotonic() < ends else 0)
    assert said.endswith(site.server.ask(path, token=None).data)
