"""Reading from an image registry: a manifest and its config, by digest only. Nothing is trusted that was
not hashed; pushing and layers are a later matter."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from orchestrator.digest import Digest
from orchestrator.errors import RegistryError
from orchestrator.image.model import MEDIA_CONFIG, MEDIA_MANIFEST

if TYPE_CHECKING:
    import requests

LIMIT = 8 << 20  # bytes of a manifest or config
TIMEOUT = (10.0, 60.0)  # seconds to connect, between two reads

_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (MEDIA_MANIFEST, _DOCKER_MANIFEST)
_CONFIGS = (MEDIA_CONFIG, "application/vnd.docker.container.image.v1+json")
_REFERENCE = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+(?::\d+)?)/(?P<path>[a-z0-9._/-]+)@(?P<digest>sha256:[0-9a-f]{64})\Z"
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Found(NamedTuple):
    """A platform's image in a registry; `via` is the index that led to it, if one was asked for."""

    digest: Digest
    manifest: bytes
    config: bytes
    via: Digest | None


class Registry:
    """One repository of one registry. Anonymous; https, but for a registry on this box."""

    def __init__(self, host: str, repository: str) -> None:
        import requests

        name = urlsplit(f"//{host}").hostname or ""
        scheme = "http" if name in _LOOPBACK else "https"
        self._base = f"{scheme}://{host}/v2/{repository}"
        self._session = requests.Session()

    def read_image(self, digest: Digest) -> Found:
        """The linux/amd64 image behind a digest, which may be that of an index."""
        data, media = self._manifest(digest)
        via = None
        if media in _INDEXES:
            via, digest = digest, _platform(data, digest)
            data, media = self._manifest(digest)
        if media not in _MANIFESTS:
            raise RegistryError(f"{self._base}: {digest} is no image manifest but {media!r}")
        try:
            config = Digest(json.loads(data)["config"]["digest"])
        except (ValueError, KeyError, TypeError):
            raise RegistryError(f"{self._base}: {digest} names no config") from None
        return Found(digest, data, self._get(f"blobs/{config}", config, _CONFIGS)[0], via)

    def _manifest(self, digest: Digest) -> tuple[bytes, str]:
        data, header = self._get(f"manifests/{digest}", digest, (*_MANIFESTS, *_INDEXES))
        try:
            inside: Any = json.loads(data)
        except ValueError:
            raise RegistryError(f"{self._base}: {digest} is not JSON") from None
        # What the bytes say of themselves is under the digest; the header is not.
        media = inside.get("mediaType") or header.partition(";")[0] if isinstance(inside, dict) else ""
        return data, str(media)

    def _get(self, path: str, digest: Digest, accept: tuple[str, ...]) -> tuple[bytes, str]:
        import requests

        url = f"{self._base}/{path}"
        headers = {"Accept": ", ".join(accept)}
        try:
            response = self._session.get(url, headers=headers, timeout=TIMEOUT, stream=True)
            if response.status_code == 401:
                headers["Authorization"] = f"Bearer {self._token(response)}"
                response = self._session.get(url, headers=headers, timeout=TIMEOUT, stream=True)
            with response:
                for hop in (*response.history, response):
                    _check_scheme(hop.url)
                if response.status_code != 200:
                    hint = "check the name and the digest" if response.status_code == 404 else None
                    raise RegistryError(f"{url}: the registry answered {response.status_code}", hint)
                data = _read(response, url)
        except requests.RequestException as error:
            raise RegistryError(f"{url}: {error}", "check the network and the registry's name") from error
        if Digest.of(data) != digest:
            raise RegistryError(
                f"{url}: the registry delivered other bytes: {Digest.of(data)}", "do not use this registry"
            )
        return data, response.headers.get("Content-Type", "")

    def _token(self, response: requests.Response) -> str:
        """An anonymous bearer token, from where the registry sends those who have none."""
        challenge = response.headers.get("WWW-Authenticate", "")
        fields = dict(_CHALLENGE.findall(challenge))
        realm = fields.pop("realm", "")
        if not challenge.lower().startswith("bearer ") or not realm:
            raise RegistryError(
                f"{response.url}: the registry wants a login", "only registries that can be read without one"
            )
        _check_scheme(realm)
        answer = self._session.get(realm, params=fields, timeout=TIMEOUT)
        try:
            body = answer.json()
            return str(body.get("token") or body["access_token"])
        except (ValueError, KeyError, AttributeError):
            raise RegistryError(f"{realm}: no token, answered {answer.status_code}") from None


def read_image(reference: str) -> Found:
    """The image behind `HOST/NAME@sha256:...`. RegistryError for a name without a host, or for a tag."""
    match = _REFERENCE.match(reference)
    if match is None:
        raise RegistryError(f"not HOST/NAME@sha256:...: {reference!r}", "a tag moves; name the digest")
    return Registry(match["host"], match["path"]).read_image(Digest(match["digest"]))


def _platform(index: bytes, digest: Digest) -> Digest:
    """The one linux/amd64 manifest of an index; attestations and variants are passed over."""
    found: list[tuple[str, Digest]] = []
    try:
        for item in json.loads(index)["manifests"]:
            platform = item.get("platform") or {}
            if (platform.get("os"), platform.get("architecture")) == ("linux", "amd64"):
                found.append((platform.get("variant") or "", Digest(item["digest"])))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RegistryError(f"{digest} is a malformed index") from None
    plain = [manifest for variant, manifest in found if not variant]
    if len(plain) != 1:
        raise RegistryError(f"{digest} is an index with {len(plain)} images for linux/amd64, not one")
    return plain[0]


def _read(response: requests.Response, url: str) -> bytes:
    data = bytearray()
    for chunk in response.iter_content(1 << 16):
        data += chunk
        if len(data) > LIMIT:
            raise RegistryError(f"{url}: more than {LIMIT} bytes for a manifest or config")
    return bytes(data)


def _check_scheme(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise RegistryError(f"{url}: plain http is only for a registry on this box")
