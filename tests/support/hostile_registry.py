"""A registry that answers whatever a test wants, down to the bytes, and remembers what it was sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

Answers = Callable[["Asked"], "bytes | Iterable[bytes]"]


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]  # names in small letters
    body: bytes


def answer(status: int, body: bytes = b"", head: bool = False, **headers: str) -> bytes:
    """One whole answer; `Content_Length` is given where it is not to be the true one."""
    lines = {"Content-Length": str(len(body)), "Connection": "close"}
    lines |= {name.replace("_", "-"): text for name, text in headers.items()}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{text}\r\n".encode("latin-1", "replace") + (b"" if head else body)


class Hostile:
    def __init__(self, host: str = "127.0.0.1") -> None:
        self.answers: Answers = lambda _: answer(404)
        self.asked: list[Asked] = []
        self._socket = socket.create_server((host, 0))
        self.host = "{}:{}".format(*self._socket.getsockname()[:2])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        """One request a connection."""
        with connection, suppress(OSError, ValueError):
            connection.settimeout(20)
            stream = connection.makefile("rb")
            method, path, _ = stream.readline().decode("latin-1").split(" ", 2)
            headers = {}
            while line := stream.readline().decode("latin-1").strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            asked = Asked(method, path, headers, stream.read(int(headers.get("content-length", 0))))
            self.asked.append(asked)
            said = self.answers(asked)
            for piece in [said] if isinstance(said, bytes) else said:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)


@contextmanager
def hostile_registry(host: str = "127.0.0.1") -> Iterator[Hostile]:
    made = Hostile(host)
    try:
        yield made
    finally:
        made.close()
