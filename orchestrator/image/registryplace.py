"""Where a repository of images is, as people write it: `[http://|https://]HOST[:PORT]/NAME[@sha256:...]`."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from orchestrator.digest import Digest
from orchestrator.errors import RegistryError, UsageError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
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
        """RegistryError if following an address would be less safe than what was asked for."""
        parts = urlsplit(url)
        named = not self.secure and parts.hostname == urlsplit(self.url).hostname
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK and not named:
            raise RegistryError(
                f"{url}: plain http is only for a registry on this box, or one that is named by http://",
                "a registry behind a proxy that ends TLS must learn so: set X-Forwarded-Proto there",
            )


def direct(url: str) -> dict[str, str] | None:
    """requests' `proxies` for an address: one on this box is no proxy's business."""
    host = urlsplit(url).hostname
    return {"no_proxy": host} if host in _LOOPBACK else None


def read_place(text: str, what: str = "REPRISE_REGISTRY") -> Place:
    """The place that a person wrote. UsageError, with `what` it was, for one without a host or with a tag."""
    match = _PLACE.match(text.strip())
    hint = "write HOST[:PORT]/NAME, such as registry.example.org/team/reprise"
    if match is None:
        raise UsageError(f"{what}: not HOST/NAME: {text!r}", hint)
    host, name, scheme = match["host"], match["name"], match["scheme"]
    first = urlsplit(f"//{host}").hostname or ""
    if scheme is None and not ("." in host or ":" in host or host == "localhost"):
        # Engines read the first part of such a name as a folder of their own default registry.
        raise UsageError(f"{what}: {host!r} is no host: it has neither a dot nor a port", hint)
    if not _NAME.match(name):
        raise UsageError(f"{what}: not a repository's name: {name!r}", f"{hint}; without a tag")
    secure = scheme == "https" if scheme else first not in _LOOPBACK
    return Place(host, name, secure)


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
    """Where a base's reference says it came from; None for one that only engines know."""
    try:
        return read_reference(reference)[0]
    except RegistryError:
        return None
