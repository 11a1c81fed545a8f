"""Sockets to a registry that bound each request: its time, its least rate, its number of bytes.

The timeouts of requests bound a single call of a socket: a server that sends a byte a minute never meets
one. And the timeout to connect is also that for sending a whole body (urllib3 issue 857). So each call of a
socket asks the `Pace` of its thread.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from orchestrator.errors import RegistryError
from orchestrator.image.registry.repository import is_local_ip

if TYPE_CHECKING:
    from urllib3 import PoolManager

WINDOW = 60.0  # seconds of waiting after which the rate is checked
LEAST = 1024  # bytes a second of a window
HEAD_ROOM = 1 << 20  # bytes of an answer's head, of TLS, of chunk sizes
SEND_PIECE = 64 << 10  # bytes given to a socket at once
# All requests of a client together may take BUDGET seconds, and one more for each BUDGET_RATE bytes to move.
BUDGET = 900.0
BUDGET_RATE = 64 << 10

_held = threading.local()


class Budget:
    """The time that all requests of a client may take together: 2,000 slow answers are too many.

    Only time counts in which a thread waits for the registry: `held` starts and stops the clock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads, self._since, self._spent = 0, 0.0, 0.0
        self._expected = 0  # bytes

    def expect(self, size: int) -> None:
        with self._lock:
            self._expected += size

    def seconds(self) -> float:
        """The budget in seconds, spent or not."""
        return BUDGET + self._expected / BUDGET_RATE

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._lock:
            self._spent, self._since = self._now(), time.monotonic()
            self._threads += 1
        try:
            yield
        finally:
            with self._lock:
                self._spent, self._since = self._now(), time.monotonic()
                self._threads -= 1

    def left(self) -> float:
        """Seconds that are left; 0 or less: the budget is spent."""
        with self._lock:
            return self.seconds() - self._now()

    def _now(self) -> float:
        return self._spent + (time.monotonic() - self._since if self._threads else 0.0)


class Pace:
    """The seconds and bytes that one request may take. A socket raises TimeoutError when it takes more."""

    def __init__(self, wait: float, budget: Budget, *, remote: bool = False) -> None:
        """`wait`: seconds for the answer to begin. `remote`: no address on this box is allowed."""
        self.remote = remote
        self.budget = budget
        self._wait = wait
        self._seconds = wait
        self._until = time.monotonic() + wait
        self._room: float = HEAD_ROOM
        self._piece = math.inf
        self._rated = False
        self._waited, self._moved = 0.0, 0

    def begin_sending(self) -> None:
        self._until, self._rated, self._piece = math.inf, True, math.inf
        self._waited, self._moved = 0.0, 0

    def begin_waiting(self) -> None:
        """The request is sent; the answer must begin within `wait`."""
        self._seconds, self._rated = self._wait, False
        self._until = time.monotonic() + self._wait

    def begin_body(self, seconds: float, size: int) -> None:
        """`size`: bytes of the body at most. Chunks of a byte take six each."""
        self._seconds, self._rated = seconds, True
        self._until, self._room = time.monotonic() + seconds, 8 * size + HEAD_ROOM
        self._waited, self._moved = 0.0, 0

    def begin_piece(self, size: int) -> None:
        """A piece of a body lies in memory until it is handed on, so it is bounded."""
        self._piece = size + HEAD_ROOM

    def left(self) -> float:
        """Seconds for the next call of a socket."""
        left = min(self._until - time.monotonic(), self.budget.left())
        if self._rated:
            if self._waited >= WINDOW:
                if self._moved < LEAST * WINDOW:
                    raise TimeoutError(f"less than {LEAST} bytes a second for {WINDOW:.0f} s")
                self._waited, self._moved = 0.0, 0
            left = min(left, WINDOW - self._waited)
        if left <= 0:
            raise TimeoutError(f"no whole answer within {self._seconds:.0f} s")
        return left

    def count(self, size: int, waited: float, *, came: bool) -> None:
        self._moved += size
        self._waited += waited
        if came:
            self._room, self._piece = self._room - size, self._piece - size
        if min(self._room, self._piece) < 0:
            raise TimeoutError("far more bytes than the answer can have")


@contextmanager
def held(pace: Pace) -> Iterator[None]:
    """Hold the registry's sockets that this thread uses to a pace."""
    before, _held.pace = _pace_of_thread(), pace
    try:
        with pace.budget.running():
            yield
    finally:
        _held.pace = before


def _pace_of_thread() -> Pace | None:
    return getattr(_held, "pace", None)


class _PacedSocket(socket.socket):
    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        pace = _pace_of_thread()
        size = nbytes or len(buffer)
        if pace is None:
            return super().recv_into(buffer, size, flags)
        while True:
            self.settimeout(pace.left())
            began = time.monotonic()
            try:
                count = super().recv_into(buffer, size, flags)
            except TimeoutError:
                count = -1  # `left` raises if no time is left
            pace.count(max(count, 0), time.monotonic() - began, came=True)
            if count >= 0:
                return count

    def sendall(self, data: Any, flags: int = 0) -> None:
        pace = _pace_of_thread()
        if pace is None:
            super().sendall(data, flags)
            return
        pace.begin_sending()
        with memoryview(data) as view, view.cast("B") as octets:
            at = 0
            while at < len(octets):
                self.settimeout(pace.left())
                began = time.monotonic()
                try:
                    count = self.send(octets[at : at + SEND_PIECE], flags)
                except TimeoutError:
                    count = 0
                pace.count(count, time.monotonic() - began, came=False)
                at += count
        pace.begin_waiting()


class _SecureSocket(_PacedSocket, ssl.SSLSocket):
    pass


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        plain = super()._new_conn()
        pace = _pace_of_thread()
        timeout, peer = plain.gettimeout(), str(plain.getpeername()[0])
        if pace is not None and pace.remote and self.proxy is None and is_local_ip(peer):
            plain.close()
            raise RegistryError(
                f"{self.host} is {peer}, on this box: a registry elsewhere may not lead there"
            )
        paced = _PacedSocket(plain.family, plain.type, plain.proto, plain.detach())
        paced.settimeout(timeout)
        return paced


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class PacedAdapter(HTTPAdapter):
    """Gives a session paced sockets. For https, `context` has CAs beside those that requests brings."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        if context is not None:
            context.sslsocket_class = _SecureSocket
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **self._with_context(kwargs))
        _use_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **self._with_context(kwargs))
        _use_pools(manager)
        return manager

    def _with_context(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs if self._context is None else kwargs | {"ssl_context": self._context}


def _use_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
