"""The dashboard in a thread of the test, and requests to it as raw as a test wants them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

from orchestrator.settings import Settings
from orchestrator.web.server import Bound, prepare


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode()


class WebServer(NamedTuple):
    settings: Settings
    bound: Bound
    stop: Callable[[], None]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.bound.port}"

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        token: str | None = "annotate",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """`token`: which of the two is sent, or None. `headers` replace those that a browser would send."""
        sent = {"Host": self.host, **self.cookie(token), **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.bound.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if body is not None:
                sent.setdefault("Content-Length", str(len(body)))
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            found = connection.getresponse()
            return Answer(
                found.status, {name.lower(): value for name, value in found.getheaders()}, found.read()
            )
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        return json.loads(self.ask(path).text)

    def post(
        self,
        path: str,
        form: Mapping[str, str],
        *,
        token: str | None = "annotate",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A form of ours, as a browser sends it; `headers` replace its."""
        fields = {"form_token": self.bound.tokens.form_token(), **form}
        sent = {"Origin": self.origin, "Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.ask(path, "POST", token=token, headers=sent, body=urlencode(fields).encode())

    def cookie(self, token: str | None) -> dict[str, str]:
        if token is None:
            return {}
        return {"Cookie": f"reprise-web-{self.bound.port}={getattr(self.bound.tokens, token)}"}

    def raw(self, data: bytes) -> bytes:
        """These bytes on a connection, and all that comes back until it is closed."""
        with socket.create_connection(("127.0.0.1", self.bound.port), timeout=30) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while more := connection.recv(65536):
                found += more
        return found


@contextmanager
def web_server(settings: Settings, **options: Any) -> Iterator[WebServer]:
    """Serving until the block ends. `options`: of `prepare`."""
    started = threading.Event()
    prepared = prepare(settings, **{"port": 0, **options}, ready=lambda _bound: started.set())
    thread = threading.Thread(
        target=prepared.server.run, kwargs={"sockets": [prepared.listening]}, daemon=True
    )
    thread.start()

    def stop() -> None:
        prepared.server.should_exit = True

    try:
        assert started.wait(30), "the server does not answer"
        yield WebServer(settings, prepared.bound, stop)
    finally:
        stop()
        thread.join(20)
        prepared.listening.close()
        assert not thread.is_alive(), "the server does not end"
