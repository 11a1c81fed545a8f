"""The HTTP session of a registry's client, and the CAs that it trusts."""

from __future__ import annotations

import ssl
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path

import requests

from orchestrator.errors import RegistryError
from orchestrator.image.registry.bounded_sockets import PacedAdapter

CERTIFICATES = Path("/etc/docker/certs.d")  # Docker's own folder of private CAs: HOST[:PORT]/*.crt


class RegistrySession(requests.Session):
    """Follows no redirect, keeps no cookies, and makes a TLS context when it first needs one."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host  # with its port; names the folder of its private CAs
        self.headers["User-Agent"] = "reprise"
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.mount("http://", PacedAdapter())
        self._secure = False

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        """None: otherwise requests reads and unpacks the body of a redirect, to make `Response.next`.

        Source: requests 2.34, sessions.py 209.
        """
        return

    def prepare_for(self, url: str) -> None:
        if not self._secure and url[:6].lower() == "https:":
            self.mount("https://", PacedAdapter(_context(self._host)))
            self._secure = True


def _context(host: str) -> ssl.SSLContext:
    context = ssl.create_default_context()  # OpenSSL reads SSL_CERT_FILE
    for file in sorted((CERTIFICATES / host).glob("*.crt")):
        try:
            context.load_verify_locations(file)
        except (OSError, ssl.SSLError) as error:
            hint = "put the registry's own CA there as PEM, or remove the file"
            raise RegistryError(f"{file}: not a certificate: {error}", hint) from None
    return context
