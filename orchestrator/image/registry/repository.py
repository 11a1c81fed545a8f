"""The place of a repository, as people write it: `[http://|https://]HOST[:PORT]/NAME[@sha256:...]`."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from orchestrator.digest import Digest
from orchestrator.errors import RegistryError, UsageError
from orchestrator.redaction import bare_address

ADDRESS_LENGTH = 8192  # characters

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Stricter than the standard, so that no two parsers read it differently: no user, no backslash.
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?][!-\[\]-~]*)?\Z",
    re.ASCII | re.IGNORECASE,
)
_PLACE = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>(?:\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(?::\d+)?)/(?P<name>[^@\s]+)\Z"
)
# A repository's name as the distribution specification has it; also what keeps `..` out of addresses.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*\Z")
_BY_DIGEST = re.compile(r"(?P<repository>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})\Z")


class Place(NamedTuple):
    """One repository of one registry."""

    host: str  # with its port, if one is named
    name: str
    secure: bool  # https; http is for a registry on this box, or where it is asked for by `http://`

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.host}"

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    def beside(self, name: str) -> Place:
        """Another repository of the same registry."""
        return self._replace(name=name)

    def check_address(self, url: str) -> None:
        """RegistryError if an address is less safe than the registry's own, or leads to this box."""
        match = _ADDRESS.match(url)
        if match is None or len(url) > ADDRESS_LENGTH or not 0 < _port(match) < 1 << 16:
            raise RegistryError(
                f"{self.host} leads to {bare_address(url)!r}, which is not followed: it is not http(s)://HOST/PATH"
            )
        host = _bare_host(match["host"])
        named = not self.secure and host == self.hostname
        if match["scheme"].lower() != "https" and host not in _LOOPBACK and not named:
            raise RegistryError(
                f"{bare_address(url)}: plain http is only for a registry on this box, or one that is named by http://",
                "a registry behind a proxy that ends TLS must learn so: set X-Forwarded-Proto there",
            )
        beside = host in _LOOPBACK and is_local(self.hostname)
        if is_local(host) and not self.owns(url) and not beside:
            raise RegistryError(
                f"{self.host} leads to {bare_address(url)}, on this box: a registry elsewhere may not"
            )

    def owns(self, url: str) -> bool:
        """Whether an address belongs to this registry: bodies and logins go only there."""
        match, own = _ADDRESS.match(url), _ADDRESS.match(self.url)
        if match is None or own is None or _bare_host(match["host"]) != self.hostname:
            return False
        # A registry that is named by http:// may lead to its https.
        upgraded = (
            not self.secure and match["scheme"].lower() == "https" and {match["port"], own["port"]} == {None}
        )
        return _port(match) == _port(own) or upgraded

    def trusts(self, url: str) -> bool:
        """Whether a token server may get this registry's login: it is the same host, or one of its domain."""
        host = _bare_host(urlsplit(url).hostname or "")
        domain = self.hostname.partition(".")[2]
        if host == self.hostname:
            return True
        return "." in domain and not _is_ip(self.hostname) and f".{host}".endswith(f".{domain}")

    def follow(self, base: str, location: str) -> str:
        """The address that a `Location` or `Link` at `base` leads to, checked. RegistryError."""
        try:
            url = urljoin(base, location)
        except ValueError:
            url = location
        self.check_address(url)
        return url

    @property
    def hostname(self) -> str:
        """The host alone, in small letters."""
        return _bare_host(urlsplit(self.url).hostname or "")


def _bare_host(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _port(match: re.Match[str]) -> int:
    return int(match["port"] or (443 if match["scheme"].lower() == "https" else 80))


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_local(host: str) -> bool:
    """Whether a host is this box or on its link, in any form that resolvers read."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    if re.fullmatch(r"[0-9a-fx.]+", host):
        try:
            host = socket.inet_ntoa(socket.inet_aton(host))  # 127.1, 0x7f000001, 2130706433
        except OSError:
            return False
    return is_local_ip(host)


def is_local_ip(text: str) -> bool:
    """Whether an address is loopback, link-local (cloud metadata), unspecified or multicast."""
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast


def direct(url: str) -> dict[str, str] | None:
    """requests' `proxies` for an address: this box is reached without a proxy."""
    host = urlsplit(url).hostname
    return {"no_proxy": host} if host in _LOOPBACK else None


def read_place(text: str, what: str = "REPRISE_REGISTRY") -> Place:
    """The place that a person wrote. UsageError, which names `what` it was: no host, or a tag."""
    match = _PLACE.match(text.strip())
    hint = "write HOST[:PORT]/NAME, such as registry.example.org/team/reprise"
    if match is None:
        raise UsageError(f"{what}: not HOST/NAME: {bare_reference(text)!r}", hint)
    host, name, scheme = match["host"], match["name"], match["scheme"]
    first = urlsplit(f"//{host}").hostname or ""
    if scheme is None and not ("." in host or ":" in host or host == "localhost"):
        # Engines read the first part of such a name as a folder of their own default registry.
        raise UsageError(f"{what}: {host!r} is not a host: it has neither a dot nor a port", hint)
    if not _NAME.match(name):
        raise UsageError(f"{what}: not a repository's name: {name!r}", f"{hint}; without a tag")
    secure = scheme == "https" if scheme else first not in _LOOPBACK
    return Place(host, name, secure)


def bare_reference(text: str) -> str:
    """The text of a place without user and password."""
    scheme, colon, rest = text.rpartition("://")
    first, slash, path = rest.partition("/")
    return f"{scheme}{colon}{first.rpartition('@')[2]}{slash}{path}"


def read_reference(text: str) -> tuple[Place, Digest]:
    """The parts of `HOST/NAME@sha256:...`. RegistryError for a name without a host, or for a tag."""
    match = _BY_DIGEST.match(text)
    try:
        if match is not None:
            return read_place(match["repository"], text), Digest(match["digest"])
    except UsageError as error:
        raise RegistryError(f"not HOST/NAME@sha256:...: {error.message}", error.hint) from None
    raise RegistryError(f"not HOST/NAME@sha256:...: {text!r}", "a tag moves; name the digest")


def place_of(reference: str) -> Place | None:
    """The place in a base's reference; None for a name that only engines know."""
    try:
        return read_reference(reference)[0]
    except RegistryError:
        return None
