"""One registry's HTTP: sessions, TLS, logging in, retries. It knows no image.

Asked again: what got no answer, 5xx and 429. Never a 4xx, whose answer would be the same.
"""

from __future__ import annotations

import json
import secrets
import ssl
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter

from orchestrator.digest import Digest
from orchestrator.errors import RegistryError
from orchestrator.image.registryauth import TIMEOUT, Login
from orchestrator.image.registryplace import Place, direct

T = TypeVar("T")

LIMIT = 8 << 20  # bytes of an answer that is read whole: a manifest, a config, an error
PIECE = 256 << 10  # bytes of a blob read at a time: what a lost connection loses at most
CERTIFICATES = Path("/etc/docker/certs.d")  # Docker's own folder of private CAs: HOST[:PORT]/*.crt
PATIENCE = 60.0  # seconds to wait for a registry that has answered before: it is being restarted
FIRST_PATIENCE = 6.0  # seconds for one that never has: its name may be wrong
PAUSE, LONGEST_PAUSE = 0.25, 8.0  # seconds between two tries, doubled each time
LONG_TIMEOUT = (10.0, 600.0)  # a registry hashes, and may copy, the whole blob before it answers a PUT
BREAKS = 8  # connections of one blob that broke without a byte

_DENIED = (401, 403)


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes
    url: str  # where it came from, after redirects

    @property
    def location(self) -> str:
        """The address that the registry gave for the next step. RegistryError without one."""
        if "Location" not in self.headers:
            raise RegistryError(f"{self.url}: the registry answered {self.status} without a Location")
        return urljoin(self.url, self.headers["Location"])


class AbsentError(RegistryError):
    """The registry answered 404."""


class SilentError(RegistryError):
    """The registry gives no answer, or not to us: nothing is known of what it holds."""


class LostError(RegistryError):
    """A request whose outcome is unknown: no answer, or 5xx. Whoever asked for this finds out."""


class Client:
    """One repository of one registry. Anonymous until the registry asks for a login."""

    def __init__(
        self, place: Place, notify: Callable[[str], None] = lambda _: None, patient: bool = True
    ) -> None:
        """`notify` is told that a registry is waited for; with `patient` false none is."""
        self.place = place
        self.stopped = Event()  # set it, and whatever is under way in other threads ends with an error
        self._notify = notify
        self._patient = patient
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "reprise"
        if place.secure:
            self._session.mount("https://", _Adapter(_context(place.host)))
        self.login = Login(place, self._session)
        self._answered = False

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def url(self, path: str) -> str:
        """`manifests/...` or `blobs/...` of the repository; an address as it is."""
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
    ) -> Answer:
        """One request and its whole answer. RegistryError for a status that was not expected.

        With `again` false nothing is repeated: LostError where it might have been.
        """

        def ask() -> Answer:
            with self._open(method, path, headers, params, data) as response:
                body = _read(response)
                return Answer(response.status_code, response.headers, body, response.url)

        answer = self._patiently(ask, self.url(path), again)
        if answer.status not in expect:
            raise self._refused(method, self.url(path), answer)
        return answer

    def blob(self, digest: Digest, size: int) -> Iterator[bytes]:
        """A blob's bytes as they come; a lost connection is taken up where it broke. Not verified here.

        RegistryError: more or fewer bytes than `size`, or no blob of that name.
        """
        url, offset, breaks = self.url(f"blobs/{digest}"), 0, 0
        while offset < size:
            before = offset
            try:
                for chunk in self._part(url, offset):
                    offset += len(chunk)
                    if offset > size:
                        raise RegistryError(f"{url}: longer than the {size} bytes that its manifest names")
                    yield chunk
            except _BROKEN as error:
                trouble = _cause(error)
            else:
                trouble = f"it ended after {offset} of {size} bytes"
            breaks = breaks + 1 if offset == before else 0
            if offset < size and breaks >= BREAKS:
                raise RegistryError(f"{url}: {trouble}", "the registry's copy may be damaged; push it again")

    def _part(self, url: str, offset: int) -> Iterator[bytes]:
        """From `offset` on; a registry that knows no ranges sends all, and what is known is passed over."""
        headers = {"Range": f"bytes={offset}-"} if offset else None

        def ask() -> requests.Response:
            response = self._send("GET", url, headers, None, None)
            if response.status_code in (200, 206):
                return response
            with response:
                answer = Answer(response.status_code, response.headers, _read(response), response.url)
            _raise_if_passing(answer)
            raise self._refused("GET", url, answer)

        with self._patiently(ask, url, again=True) as response:
            skip = offset if response.status_code == 200 else 0
            for chunk in response.iter_content(PIECE):
                if skip >= len(chunk):
                    skip -= len(chunk)
                    continue
                yield chunk[skip:]
                skip = 0

    def _patiently(self, ask: Callable[[], T], url: str, again: bool) -> T:
        url = url.partition("?")[0]  # for messages: an upload's state says nothing to people
        began, pause, said = time.monotonic(), PAUSE, False
        while True:
            try:
                return ask()
            except (*_BROKEN, _PassingError) as error:
                trouble, asked = _cause(error), getattr(error, "seconds", 0.0)
                if isinstance(error, requests.exceptions.SSLError) and "EOF" not in trouble:
                    where = CERTIFICATES / self.place.host / "ca.crt"
                    hint = f"a private CA's certificate goes into {where}, or REQUESTS_CA_BUNDLE names it"
                    raise SilentError(f"{url}: {trouble}", hint) from error
                if not again:
                    raise LostError(f"{url}: {trouble}") from error
                patience = PATIENCE if self._answered else FIRST_PATIENCE
                left = began + patience - time.monotonic() if self._patient else 0.0
                if left <= 0 or asked > left:
                    hint = "check the network, the registry and its name; `reprise doctor` asks it"
                    raise SilentError(f"{url}: {trouble}", hint) from error
            except requests.RequestException as error:
                raise SilentError(f"{url}: {_cause(error)}", "check the registry's name") from error
            if not said and self._answered:
                said = True
                self._notify(f"{self.place.host}: {trouble}; trying again for {PATIENCE:.0f} s")
            if self.stopped.wait(min(max(pause * (0.5 + secrets.randbelow(512) / 1024), asked), left)):
                raise RegistryError(f"{url}: {trouble}")
            pause = min(2 * pause, LONGEST_PAUSE)

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        params: Mapping[str, str] | None,
        data: bytes | None,
    ) -> Iterator[requests.Response]:
        with self._send(method, self.url(path), headers, params, data) as response:
            if response.status_code == 429 or response.status_code >= 500:
                _raise_if_passing(Answer(response.status_code, response.headers, b"", response.url))
            yield response

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        params: Mapping[str, str] | None,
        data: bytes | None,
    ) -> requests.Response:
        """Once, and once more after a login that is asked for."""
        self.place.check_address(url)
        for tried in range(2):
            response = self._session.request(
                method,
                url,
                # Bytes as they are: a digest is of them.
                headers={"Accept-Encoding": "identity", **(headers or {})},
                params=params,
                data=data,
                auth=self.login,
                timeout=LONG_TIMEOUT if method == "PUT" else TIMEOUT,
                stream=True,
                proxies=direct(url),
            )
            self._answered = self._answered or response.status_code < 500
            if response.status_code != 401 or tried:
                break
            with response:
                self.login.answer(url, response.headers.get("WWW-Authenticate", ""))
        for hop in (*response.history, response):
            self.place.check_address(hop.url)
        return response

    def _refused(self, method: str, url: str, answer: Answer) -> RegistryError:
        hint = None
        if answer.status in _DENIED:
            who = self.login.user or "nobody"
            hint = f"logged in as {who}; `docker login {self.place.host}` as one who may"
        elif answer.status == 404:
            hint = "check the name and the digest"
        elif answer.status == 416:
            hint = "the registry's copy is shorter than its manifest says; remove it there, then push again"
        denied = SilentError if answer.status in _DENIED else RegistryError
        kind = AbsentError if answer.status == 404 else denied
        said = said_in(answer)
        return kind(
            f"{url.partition('?')[0]}: the registry answered {answer.status} to {method}"
            + (f": {said}" if said else ""),
            hint,
        )


class _PassingError(Exception):
    """An answer that another try may better."""

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


class _Adapter(HTTPAdapter):
    """The system's CAs and Docker's private ones, beside those that requests brings or is told of."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)


def _context(host: str) -> ssl.SSLContext:
    context = ssl.create_default_context()  # SSL_CERT_FILE is of OpenSSL, and heard here
    for file in sorted((CERTIFICATES / host).glob("*.crt")):
        try:
            context.load_verify_locations(file)
        except (OSError, ssl.SSLError) as error:
            raise RegistryError(f"{file}: not a certificate: {error}") from None
    return context


def _raise_if_passing(answer: Answer) -> None:
    if answer.status != 429 and answer.status < 500:
        return
    seconds = 0.0
    after = answer.headers.get("Retry-After", "")
    try:
        seconds = float(after) if after else 0.0
    except ValueError:
        try:
            seconds = parsedate_to_datetime(after).timestamp() - time.time()
        except ValueError:
            seconds = 0.0  # neither form: as if it were not there
    raise _PassingError(f"the registry answered {answer.status}", max(seconds, 0.0))


def _read(response: requests.Response) -> bytes:
    data = bytearray()
    try:
        for chunk in response.iter_content(1 << 16):
            data += chunk
            if len(data) > LIMIT:
                raise RegistryError(f"{response.url}: more than {LIMIT} bytes for a manifest or config")
    except _BROKEN:
        if response.status_code < 400:
            raise
        # A refusal without its words is a refusal: registry 2.8 promises a 416 a longer body than it sends.
    return bytes(data)


def said_in(answer: Answer) -> str:
    """The registry's own words in an error's body, in one line."""
    try:
        first = json.loads(answer.body)["errors"][0]
        text = f"{first.get('code', '')} {first.get('message', '')}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return ""
    return " ".join(text.split())[:200]


def _cause(error: BaseException) -> str:
    """The innermost reason: requests wraps it three times."""
    while error.args and isinstance(reason := getattr(error.args[0], "reason", error.args[0]), Exception):
        error = reason
    return str(error) or type(error).__name__


_BROKEN = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
