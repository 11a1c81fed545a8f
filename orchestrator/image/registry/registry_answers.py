"""Reads answers of a registry, within bounds on bytes and time; their JSON can be anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import Any, NamedTuple

import requests
import urllib3.exceptions

from orchestrator.errors import RegistryError
from orchestrator.image.registry.bounded_sockets import Pace, held
from orchestrator.redaction import bare_address

LIMIT = 8 << 20  # bytes of an answer that is kept in memory: a manifest, a config, a list, an error
READ_SECONDS = 300.0  # for the body of one

BROKEN = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,  # while the body is read
    HTTPException,
)


class RegistryAnswer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes
    url: str  # where it came from, after redirects


def read_answer(response: requests.Response, pace: Pace) -> RegistryAnswer:
    """The answer with its body. RegistryError: the body has more than LIMIT bytes."""
    data = bytearray()
    pace.begin_body(READ_SECONDS, LIMIT)
    try:
        with held(pace):
            for chunk in pieces_of(response, 1 << 16, pace):
                data += chunk
                if len(data) > LIMIT:
                    where = bare_address(response.url)
                    raise RegistryError(
                        f"{where}: more than {LIMIT} bytes for a manifest, a config or a list"
                    )
    except BROKEN:
        if response.status_code < 400:
            raise
        # A refusal with a cut-off body counts: registry 2.8 announces more bytes for a 416 than it sends.
    return RegistryAnswer(response.status_code, response.headers, bytes(data), response.url)


def pieces_of(response: requests.Response, size: int, pace: Pace) -> Iterator[bytes]:
    """The body as it was sent. RegistryError for a compressed one: none was asked for."""
    packed = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in ("", "identity"):
        raise RegistryError(f"{bare_address(response.url)}: the answer is packed ({packed[:40]!r}), unasked")
    pieces = response.raw.stream(size, decode_content=False)
    while True:
        pace.begin_piece(size)
        try:
            chunk = next(pieces, None)
        except ValueError:  # a chunk of -5 bytes
            raise RegistryError(f"{bare_address(response.url)}: the answer is malformed") from None
        if chunk is None:
            return
        yield chunk


def read_json(data: bytes, what: str) -> Any:
    """Parses JSON. RegistryError where it is malformed or nested too deep."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise RegistryError(f"{what} is not JSON") from None


def said_in(answer: RegistryAnswer) -> str:
    """The registry's own words in an error's body, in one line."""
    try:
        first = json.loads(answer.body)["errors"][0]
        text = f"{first.get('code', '')} {first.get('message', '')}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return ""
    return " ".join(text.split())[:200]
