"""The HTTP client of one repository: sessions, TLS, login, retries. It knows nothing of images.

A request is repeated after no answer, 5xx or 429; never after another 4xx, whose answer would be the same.

No address that a registry gives is followed before it is checked (`Place.check_address`); bodies and logins
go to its own host only; each request has its time, its least rate and its bytes (bounded_sockets.py).
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any, NamedTuple, Self, TypeVar

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from orchestrator.digest import Digest
from orchestrator.errors import RegistryError
from orchestrator.image.registry import http_session
from orchestrator.image.registry.bounded_sockets import BUDGET, BUDGET_RATE, Budget, Pace, held
from orchestrator.image.registry.http_session import RegistrySession
from orchestrator.image.registry.login import Login
from orchestrator.image.registry.registry_answers import (
    BROKEN,
    RegistryAnswer,
    pieces_of,
    read_answer,
    said_in,
)
from orchestrator.image.registry.repository import Place, direct, is_local
from orchestrator.redaction import bare_address

T = TypeVar("T")

PIECE = 256 << 10  # bytes of a blob read at a time: what a lost connection loses at most
PATIENCE = 60.0  # seconds to wait for a registry that has answered before: it is being restarted
FIRST_PATIENCE = 6.0  # seconds for one that never has: its name may be wrong
PAUSE, LONGEST_PAUSE = 0.25, 8.0  # seconds between two tries, doubled each time
CONNECT = 10.0  # seconds
ANSWER = 60.0  # seconds until an answer begins
PUT_ANSWER = 600.0  # the registry hashes the blob before it answers, and may copy it
HOPS = 5  # redirects of one request
BREAKS = 8  # broken connections in a row of one blob, each after less than PROGRESS
PROGRESS = 64 << 10  # bytes

_DENIED = (401, 403)
_MOVED = (301, 302, 303, 307, 308)
_SAFE = ("GET", "HEAD")  # they have no body


class AbsentError(RegistryError):
    """The registry answered 404."""


class SilentError(RegistryError):
    """The registry gives no answer, or refuses us, so what it holds is unknown."""


class LostError(RegistryError):
    """A request whose outcome is unknown (no answer, or 5xx); the caller finds out."""


class _Request(NamedTuple):
    method: str
    url: str
    headers: Mapping[str, str] | None = None
    params: Mapping[str, str] | None = None
    data: bytes | None = None


class Client:
    """One repository of one registry. Anonymous until the registry asks for a login."""

    def __init__(
        self, place: Place, notify: Callable[[str], None] = lambda _: None, patient: bool = True
    ) -> None:
        """`notify` is called when the client waits for a registry; with `patient` false it never waits."""
        self.place = place
        self.stopped = Event()  # once it is set, requests of other threads end with an error
        self._notify = notify
        self._patient = patient
        self._session = RegistrySession(place.host)
        self._session.prepare_for(place.url)
        self._remote = not is_local(place.hostname)
        self._budget = Budget()
        self.login = Login(place, self._token_answer)
        self._answered = False

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def url(self, path: str) -> str:
        """The address of `manifests/...` or `blobs/...`; a full address stays unchanged."""
        return path if "://" in path else f"{self.place.url}/v2/{self.place.name}/{path}"

    def request(
        self,
        method: str,
        path: str,
        expect: Collection[int],
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        again: bool = True,
    ) -> RegistryAnswer:
        """One request and its answer. RegistryError for a status that was not expected.

        With `again` false nothing is repeated: LostError where it could have been.
        """

        def ask() -> RegistryAnswer:
            pace = self._pace(PUT_ANSWER if method == "PUT" else ANSWER)
            with self._send(_Request(method, self.url(path), headers, params, data), pace) as response:
                return read_answer(response, pace)

        self._budget.expect(len(data or b""))
        answer = self._patiently(ask, self.url(path), again)
        self._budget.expect(len(answer.body))
        if answer.status not in expect:
            raise self._refused(method, self.url(path), answer)
        return answer

    def next_step(self, answer: RegistryAnswer) -> str:
        """The Location of an answer, at this registry. RegistryError without one."""
        if "Location" not in answer.headers:
            raise RegistryError(
                f"{bare_address(answer.url)}: the registry answered {answer.status} without a Location"
            )
        return self.own_address(answer.url, answer.headers["Location"])

    def own_address(self, base: str, location: str) -> str:
        """RegistryError for an address at another host."""
        url = self.place.follow(base, location)
        if not self.place.owns(url):
            raise RegistryError(
                f"{self.place.host} leads to {bare_address(url)}, another host: it is not followed"
            )
        return url

    def blob(self, digest: Digest, size: int) -> Iterator[bytes]:
        """A blob's bytes as they come, not verified; after a lost connection the rest is asked for.

        RegistryError: more or fewer bytes than `size`, or no blob of that name.
        """
        url, offset, breaks = self.url(f"blobs/{digest}"), 0, 0
        self._budget.expect(size)
        while offset < size:
            before = offset
            try:
                for chunk in self._part(url, offset, size):
                    offset += len(chunk)
                    if offset > size:
                        raise RegistryError(f"{url}: longer than the {size} bytes that its manifest names")
                    yield chunk
            except BROKEN as error:
                trouble = _cause(error)
            else:
                trouble = f"it ended after {offset} of {size} bytes"
            breaks = breaks + 1 if offset - before < PROGRESS else 0
            if offset < size and breaks >= BREAKS:
                raise RegistryError(f"{url}: {trouble}", "the registry's copy may be damaged; push it again")

    def _part(self, url: str, offset: int, size: int) -> Iterator[bytes]:
        """The blob from `offset` on. A registry without ranges sends all of it; the start is skipped."""
        headers = {"Range": f"bytes={offset}-"} if offset else None

        def ask() -> tuple[requests.Response, Pace]:
            pace = self._pace(ANSWER)
            response = self._send(_Request("GET", url, headers), pace)
            if response.status_code in (200, 206):
                return response, pace
            with response:
                answer = read_answer(response, pace)
            raise self._refused("GET", url, answer)

        response, pace = self._patiently(ask, url, again=True)
        with response:
            skip = offset if response.status_code == 200 else 0
            pace.begin_body(math.inf, size)
            pieces = pieces_of(response, PIECE, pace)
            while True:
                with held(pace):  # only while it waits: the caller may make other requests between pieces
                    chunk = next(pieces, b"")
                if not chunk:
                    return
                if skip < len(chunk):
                    yield chunk[skip:]
                skip = max(skip - len(chunk), 0)

    def _patiently(self, ask: Callable[[], T], url: str, again: bool) -> T:
        url = bare_address(url)
        began, pause, notified = time.monotonic(), PAUSE, False
        while True:
            try:
                return ask()
            except (*BROKEN, _PassingError) as error:
                self._check_budget()
                trouble, asked = _cause(error), getattr(error, "seconds", 0.0)
                if isinstance(error, requests.exceptions.SSLError) and "EOF" not in trouble:
                    where = http_session.CERTIFICATES / self.place.host / "ca.crt"
                    hint = f"a private CA's certificate goes into {where}, or REQUESTS_CA_BUNDLE names it"
                    raise SilentError(f"{url}: {trouble}", hint) from error
                if not again:
                    raise LostError(f"{url}: {trouble}") from error
                patience = PATIENCE if self._answered else FIRST_PATIENCE
                left = began + patience - time.monotonic() if self._patient else 0.0
                if left <= 0 or asked > left:
                    hint = "does it run, does this machine reach it, is its name right (REPRISE_REGISTRY)?"
                    raise SilentError(f"{url}: {trouble}", hint) from error
            except requests.RequestException as error:
                raise SilentError(f"{url}: {_cause(error)}", "check the registry's name") from error
            if not notified and self._answered:
                notified = True
                self._notify(f"{self.place.host}: {trouble}; trying again for {PATIENCE:.0f} s")
            with self._budget.running():
                stopped = self.stopped.wait(
                    min(max(pause * (0.5 + secrets.randbelow(512) / 1024), asked), left)
                )
            if stopped:
                raise RegistryError(f"{url}: {trouble}")
            pause = min(2 * pause, LONGEST_PAUSE)

    def _pace(self, wait: float) -> Pace:
        self._check_budget()
        return Pace(wait, self._budget, remote=self._remote)

    def _check_budget(self) -> None:
        """RegistryError where all requests together have used up their time."""
        if self._budget.left() <= 0:
            raise RegistryError(
                f"{self.place}: too slow: its answers took more than {self._budget.seconds():.0f} s in all",
                f"that is {BUDGET:.0f} s, and one more for each {BUDGET_RATE >> 10} KiB that is moved; "
                "try again on a better line",
            )

    def _send(self, asked: _Request, pace: Pace) -> requests.Response:
        """Send a request, and again after a login if one is asked for. Raises for 429 and 5xx."""
        for tried in range(2):
            response = self._follow(asked, pace)
            # We log in to the registry itself only, not to a host that it leads to.
            if response.status_code != 401 or tried or not self.place.owns(response.url):
                break
            with response:
                self.login.answer(asked.url, response.headers.get("WWW-Authenticate", ""))
        if response.status_code == 429 or response.status_code >= 500:
            with response:
                _raise_if_passing(response.status_code, response.headers)
        return response

    def _follow(self, asked: _Request, pace: Pace) -> requests.Response:
        """Send a request and follow its redirects: each is checked first, and bodies stay at the registry."""
        url, params = asked.url, asked.params
        for _ in range(HOPS + 1):
            response = self._ask(
                asked.method,
                url,
                pace,
                auth=self.login,
                headers=asked.headers,
                params=params,
                data=asked.data,
            )
            if response.status_code not in _MOVED:
                return response
            with response:
                if "Location" not in response.headers:
                    raise RegistryError(
                        f"{bare_address(url)}: answered {response.status_code} without a Location"
                    )
                if asked.method in _SAFE:
                    url = self.place.follow(response.url, response.headers["Location"])
                else:
                    url = self.own_address(response.url, response.headers["Location"])
            params = None  # they are in the new address
        raise RegistryError(f"{bare_address(url)}: led from address to address, {HOPS} times")

    def _ask(
        self, method: str, url: str, pace: Pace, *, headers: Any = None, **more: Any
    ) -> requests.Response:
        self.place.check_address(url)
        self._session.prepare_for(url)
        with held(pace):
            response = self._session.request(
                method,
                url,
                # No compression: digests are of the bytes as stored.
                headers={"Accept-Encoding": "identity", **(headers or {})},
                timeout=(CONNECT, ANSWER),
                stream=True,
                proxies=direct(url),
                allow_redirects=False,
                **more,
            )
        self._answered = self._answered or response.status_code < 500
        return response

    def _token_answer(self, method: str, url: str, **more: Any) -> tuple[int, bytes]:
        """One request to a token server, followed nowhere: the answer's status and body."""
        pace = self._pace(ANSWER)
        with self._ask(method, url, pace, **more) as response:
            _raise_if_passing(response.status_code, response.headers)
            return response.status_code, read_answer(response, pace).body

    def _refused(self, method: str, url: str, answer: RegistryAnswer) -> RegistryError:
        hint = None
        if answer.status in _DENIED:
            who = self.login.user or "nobody"
            hint = f"logged in as {who}; `docker login {self.place.host}` as one who may"
        elif answer.status == 404:
            hint = "check the name and the digest"
        elif answer.status == 416:
            hint = "the registry's copy is shorter than its manifest says; remove it there, then push again"
        # After other answers, what the registry holds is unknown.
        kind: type[RegistryError] = {404: AbsentError, 416: RegistryError}.get(answer.status, SilentError)
        words = said_in(answer)
        return kind(
            f"{bare_address(url)}: the registry answered {answer.status} to {method}"
            + (f": {words}" if words else ""),
            hint,
        )


class _PassingError(Exception):
    """An answer after which it is worth trying again."""

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


def _raise_if_passing(status: int, headers: Mapping[str, str]) -> None:
    if status == 429 or status >= 500:
        raise _PassingError(f"the registry answered {status}", _seconds(headers.get("Retry-After", "")))


def _seconds(after: str) -> float:
    """The seconds of a Retry-After, which may be a moment; 0 for anything else."""
    try:
        seconds = float(after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(after).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError, IndexError):
            return 0.0
    return 0.0 if math.isnan(seconds) else max(seconds, 0.0)


def _cause(error: BaseException) -> str:
    """The innermost reason of an error that requests has wrapped up to three times."""
    while error.args and isinstance(reason := getattr(error.args[0], "reason", error.args[0]), Exception):
        error = reason
    if isinstance(error.__cause__, TimeoutError) and error.__cause__.args:  # of a `Pace`
        error = error.__cause__
    if isinstance(error, ConnectTimeoutError | NewConnectionError):  # urllib3 names the object, not the place
        place = error.conn if isinstance(error, NewConnectionError) else error.args[0]
        why = error.__cause__ or error
        return f"no connection to {place.host}:{place.port}: {getattr(why, 'strerror', None) or why}"
    return str(error) or type(error).__name__
