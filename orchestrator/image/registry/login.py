"""Logs in to a registry with what `docker login` left: passwords, credential helpers, identity tokens."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.errors import RegistryError, UsageError
from orchestrator.image.registry.repository import Place
from orchestrator.redaction import bare_address, remember
from orchestrator.spec.plain_file import read_plain

if TYPE_CHECKING:
    import requests

HELPER_SECONDS = 60.0  # a helper may ask for a key ring's password
CHALLENGE = 4096  # characters of what a registry asks for
CONFIG_LIMIT = 4 << 20  # bytes of Docker's config.json

_FIELD = re.compile(r'(?<!\w)(\w+)="([^"]*)"')
_TOKEN = re.compile(r"[!-~]{1,65536}\Z")
_IDENTITY = "<token>"  # the user name under which Docker keeps an identity token
_HELPER = re.compile(r"[A-Za-z0-9._-]+\Z")


class DeniedError(RegistryError):
    """The token server refuses a token."""


class Credentials(NamedTuple):
    user: str
    secret: str
    identity: bool = False  # the secret is an identity token, to be exchanged for others


def find_credentials(host: str) -> Credentials | None:
    """The credentials for a host in Docker's config.json; None without a login.

    RegistryError: the file cannot be read, or the helper that it names fails.
    """
    folder = os.environ.get("DOCKER_CONFIG")
    path = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
    try:
        if not os.path.lexists(path):
            return None
        config = json.loads(read_plain(path, CONFIG_LIMIT, named=True))
        helpers, entries = config.get("credHelpers") or {}, config.get("auths") or {}
        helper = helpers.get(host) or config.get("credsStore")
    except UsageError as error:
        raise RegistryError(error.message, error.hint) from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise RegistryError(f"{path}: cannot be read: {error}", "mend it, or `docker login` anew") from None
    if helper:
        found = _ask_helper(str(helper), host)
        if found is not None:
            return found
    for server, entry in entries.items():
        if _host_of(server) == host and isinstance(entry, dict):
            return _plain(path, server, entry)
    return None


def _host_of(server: str) -> str:
    """The host of an entry. Old entries are addresses: `https://HOST/v1/`."""
    return server.partition("://")[2].partition("/")[0] if "://" in server else server.partition("/")[0]


def _plain(path: Path, server: str, entry: dict[str, Any]) -> Credentials | None:
    if entry.get("identitytoken"):
        return Credentials(_IDENTITY, str(entry["identitytoken"]), identity=True)
    if not entry.get("auth"):
        return None
    try:
        user, colon, secret = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, TypeError):
        colon = ""
    if not colon:
        raise RegistryError(f"{path}: the entry of {server} cannot be read", f"run: docker login {server}")
    return Credentials(user, secret.rstrip("\0"))


def _ask_helper(helper: str, host: str) -> Credentials | None:
    program = f"docker-credential-{helper}"
    if not _HELPER.match(helper):
        raise RegistryError(f"Docker's config.json names a credential helper of a malformed name: {helper!r}")
    try:
        done = subprocess.run(
            [program, "get"], input=host, capture_output=True, text=True, timeout=HELPER_SECONDS, check=False
        )
    except FileNotFoundError:
        hint = f"install it, or take it out of Docker's config.json and run: docker login {host}"
        raise RegistryError(f"the credential helper {program} is not on the PATH", hint) from None
    except subprocess.TimeoutExpired:
        raise RegistryError(f"{program} get: no answer for {HELPER_SECONDS:.0f} s") from None
    output = (done.stdout + done.stderr).strip()
    if done.returncode != 0:
        if "credentials not found" in output:
            return None
        raise RegistryError(f"{program} get: {output.splitlines()[0] if output else 'failed'}")
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise RegistryError(f"{program} get: the answer is not Username and Secret") from None
    return Credentials(user, secret, identity=user == _IDENTITY)


Fetch = Callable[..., tuple[int, bytes]]
"""One request to a token server: (method, url, auth=, params=, data=) -> the answer's status and body."""


class Login:
    """The Authorization of a registry's requests, fetched when it asks for one; a hook of requests.

    Passed as `auth` to each request: without it requests would take a password from ~/.netrc.
    """

    def __init__(self, place: Place, fetch: Fetch) -> None:
        self._place = place
        self._fetch = fetch
        self._header: str | None = None
        self.user: str | None = None  # who is logged in; None: anonymous
        self.kind = "anonymous"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # Blobs may lie on another host: the password goes to the registry's own only.
        if self._header is not None and self._place.owns(request.url or ""):
            request.headers["Authorization"] = self._header
        return request

    def answer(self, url: str, challenge: str) -> None:
        """Do what a 401's WWW-Authenticate asks for. RegistryError where that cannot be done."""
        kind, _, rest = challenge[:CHALLENGE].partition(" ")
        fields = dict(_FIELD.findall(rest))
        found = find_credentials(self._place.host)
        self.user = found.user if found else None
        if found is not None:
            remember(found.secret)
        if kind.lower() == "bearer" and fields.get("realm"):
            self._header = f"Bearer {self._token(fields, found)}"
            self.kind = "token"
        elif kind.lower() == "basic" and found is not None:
            pair = base64.b64encode(f"{found.user}:{found.secret}".encode()).decode()
            remember(pair)
            self._header = f"Basic {pair}"
            self.kind = "basic"
        else:
            raise RegistryError(
                f"{bare_address(url)}: the registry wants a login", f"run: docker login {self._place.host}"
            )

    def _token(self, fields: dict[str, str], found: Credentials | None) -> str:
        """A bearer token from the token server that the registry names; anonymous without credentials."""
        from requests.auth import HTTPBasicAuth

        realm = fields["realm"]
        self._place.check_address(realm)
        where = bare_address(realm)
        if found is not None and not self._place.trusts(realm):
            raise RegistryError(
                f"{self._place.host} sends the login of {found.user!r} to {where}, a host of another domain",
                f"the login is not sent there; `docker logout {self._place.host}` to ask without it",
            )
        service = [("service", fields["service"])] if "service" in fields else []
        if found is not None and found.identity:
            form = [*service, ("scope", fields.get("scope", "")), ("grant_type", "refresh_token")]
            form += [("client_id", "reprise"), ("refresh_token", found.secret)]
            status, body = self._fetch("POST", realm, data=form, auth=_no_auth)
        else:
            query = [*service, *(("scope", scope) for scope in fields.get("scope", "").split())]
            login = HTTPBasicAuth(found.user.encode(), found.secret.encode()) if found is not None else None
            status, body = self._fetch("GET", realm, params=query, auth=login or _no_auth)
        if status in (401, 403):
            who = f"the login of {found.user!r}" if found else "an anonymous token"
            raise DeniedError(
                f"{where}: {who} is refused ({status})", f"run: docker login {self._place.host}"
            )
        token = _token_in(body)
        if status != 200 or token is None:
            raise RegistryError(f"{where}: no token, answered {status}")
        remember(token)
        return token


def _token_in(body: bytes) -> str | None:
    try:
        answer = json.loads(body)
        token = answer.get("token") or answer["access_token"]
    except (ValueError, KeyError, AttributeError, RecursionError):
        return None
    return token if isinstance(token, str) and _TOKEN.match(token) else None


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The `auth` of a request without a login: without any `auth`, requests would look into ~/.netrc."""
    return request
