"""The server of `reprise web`: its addresses, its start and its end."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.settings import Settings
from orchestrator.web.access_tokens import Ticket, Tokens, kept_tokens
from orchestrator.web.application import dashboard
from orchestrator.web.security import Limits

PORT = 8100
LONGEST_HEAD = 32_768  # bytes of a request's line and headers
HEAD_SECONDS = 20.0  # from a connection's start, or from an answer's end, to the end of the next head
UNREAD_SECONDS = 60.0  # how long a client may take nothing of an answer that waits for it
MOST_AT_ONCE = 400  # connections
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  (compared, not bound to)
_NAME = re.compile(r"(?:(?P<scheme>https?)://)?(?P<host>(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?)/?\Z")
_LOCAL = ("127.0.0.1", "localhost", "::1")


class Bound(NamedTuple):
    """Where the server is, before it answers."""

    host: str
    port: int
    root_path: str
    names: tuple[str, ...]
    scheme: str  # of the first name: https where a proxy gives it
    tokens: Tokens
    ticket: Ticket

    @property
    def local(self) -> bool:
        """Whether it is for this machine's browsers alone: behind a proxy it is for a team."""
        return self.host in _LOCAL and not self.names

    @property
    def plain(self) -> bool:
        """Whether tokens cross a network in the clear."""
        return self.host not in _LOCAL and self.scheme == "http"

    def address(self, token: str) -> str:
        host = socket.gethostname() if self.host in _EVERYWHERE else self.host
        name = self.names[0] if self.names else f"{_bracketed(host)}:{self.port}"
        return f"{self.scheme}://{name}{self.root_path}/?token={token}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def allowed_hosts(host: str, port: int, names: Sequence[str]) -> frozenset[str]:
    """`Host` headers that are answered. Any other may be a stranger's name that leads to this machine."""
    own = {host, *_LOCAL} if host in _LOCAL else {host}
    if host in _EVERYWHERE:
        own = {*_LOCAL, socket.gethostname(), socket.getfqdn()}
    found = {f"{_bracketed(name)}:{port}" for name in own}
    found |= {*names, *(f"{name}:{port}" for name in names if ":" not in name)}
    if port == 80:
        found |= {_bracketed(name) for name in own}
    return frozenset(name.lower() for name in found)


def _split_name(name: str) -> tuple[str, str]:
    """The scheme and the host of a `--name`. UsageError for what no browser sends."""
    found = _NAME.match(name)
    if found is None:
        raise UsageError(
            f"--name {name!r} is no name of a host",
            "such as team.example, team.example:8443, https://team.example",
        )
    return found["scheme"] or "http", found["host"]


class Prepared(NamedTuple):
    """A server that listens and does not answer yet: `server.run(sockets=[listening])` does until it ends."""

    server: uvicorn.Server
    listening: socket.socket
    bound: Bound


def prepare(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    names: Sequence[str] = (),
    root_path: str = "",
    renew: bool = False,
    ready: Callable[[Bound], None],
) -> Prepared:
    """`ready` is called once requests are answered. UsageError for what cannot be served.

    `names`: more `Host` headers that browsers send, as `team.example` or `alpha:8100`; `https://team.example`
    where a proxy has TLS, for the address that people are given. `root_path`: the path below which a proxy
    serves this; the proxy takes it off what it passes on. `renew`: with new tokens.
    """
    if root_path and (not root_path.startswith("/") or root_path.endswith("/") or "//" in root_path):
        raise UsageError(f"{root_path!r} is no path that a proxy serves", "such as --root-path /reprise")
    split = [_split_name(name) for name in names]
    hosts, scheme = tuple(host for _, host in split), split[0][0] if split else "http"
    tokens = kept_tokens(settings.home, renew=renew)
    listening = _listen(host, port)
    bound = Bound(host, listening.getsockname()[1], root_path, hosts, scheme, tokens, Ticket())
    limits = Limits(allowed_hosts(host, bound.port, hosts), bound.port)
    served = dashboard(settings, tokens, limits, bound.ticket)
    config = uvicorn.Config(
        served.application,
        http=_TimedConnection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ws="none",
        root_path=root_path,
        limit_concurrency=MOST_AT_ONCE,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=LONGEST_HEAD,
    )
    return Prepared(_Server(config, lambda: ready(bound), served.end_streams), listening, bound)


def serve(prepared: Prepared) -> None:
    """Until SIGINT or SIGTERM."""
    try:
        prepared.server.run(sockets=[prepared.listening])
    except KeyboardInterrupt:  # uvicorn has ended in order, and says so in this way
        return
    finally:
        prepared.listening.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(128)
    except (OSError, OverflowError) as error:
        raise InfrastructureError(
            f"{_bracketed(host)}:{port} cannot be listened on: {getattr(error, 'strerror', None) or error}",
            "--host names an address of this machine; --port 0 takes a free port",
        ) from error
    return found


class _TimedConnection(H11Protocol):
    """Ended where no request comes in time, or no answer is taken.

    uvicorn waits for ever: for a head, once a byte of it is there, and for a client to read.
    """

    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        _no_longer(self._head)
        _no_longer(self._unread)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        _no_longer(self._unread)
        super().resume_writing()

    def _wait(self) -> None:
        _no_longer(self._head)
        self._head = self.loop.call_later(HEAD_SECONDS, self._late)

    def _late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:  # else a request is being answered
            self.transport.close()  # when all of the answer was taken
            self._watch_reader()

    def _watch_reader(self) -> None:
        """Nothing is written meanwhile, so what waits becomes less where anything is read."""
        _no_longer(self._unread)
        waits = self.transport.get_write_buffer_size()
        if waits:
            self._unread = self.loop.call_later(UNREAD_SECONDS, self._end_unread, waits)

    def _end_unread(self, before: int) -> None:
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._watch_reader()


def _no_longer(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], end_streams: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._ready, self._end_streams = ready, end_streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._end_streams()  # else each open tab holds it for as long as a slow answer may take
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()
