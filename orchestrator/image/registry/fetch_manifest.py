"""Reads a manifest and its config from a registry, by digest only, and checks the hashes."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.digest import Digest
from orchestrator.errors import RegistryError
from orchestrator.image.image_model import MEDIA_CONFIG, MEDIA_MANIFEST
from orchestrator.image.registry.registry_answers import read_json
from orchestrator.image.registry.registry_client import Client
from orchestrator.image.registry.repository import read_reference

_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (MEDIA_MANIFEST, _DOCKER_MANIFEST)
_CONFIGS = (MEDIA_CONFIG, "application/vnd.docker.container.image.v1+json")


class RegistryImage(NamedTuple):
    """A platform's image in a registry; `via` is the index that led to it, if one was asked for."""

    digest: Digest
    manifest: bytes
    config: bytes
    via: Digest | None


def read_image(reference: str) -> RegistryImage:
    """The image behind `HOST/NAME@sha256:...`. RegistryError for a name without a host, or for a tag."""
    place, digest = read_reference(reference)
    with Client(place) as client:
        return read_by_digest(client, digest)


def read_by_digest(client: Client, digest: Digest) -> RegistryImage:
    """The linux/amd64 image behind a digest, which may be that of an index.

    RegistryError: it is absent, not an image, or has other bytes than the digest says.
    """
    data, media = _manifest(client, digest)
    via = None
    if media in _INDEXES:
        via, digest = digest, _platform(data, digest)
        data, media = _manifest(client, digest)
    if media not in _MANIFESTS:
        raise RegistryError(f"{client.place}: {digest} is {media[:100]!r}, not an image manifest")
    try:
        config = Digest(read_json(data, str(digest))["config"]["digest"])
    except (ValueError, KeyError, TypeError):
        raise RegistryError(f"{client.place}: {digest} names no config") from None
    return RegistryImage(digest, data, _get(client, f"blobs/{config}", config, _CONFIGS)[0], via)


def has_manifest(client: Client, digest: Digest) -> bool:
    """Whether the repository has a manifest. Registries take one only when they have all that it names."""
    answer = client.request(
        "HEAD", f"manifests/{digest}", (200, 404), headers={"Accept": ", ".join((*_MANIFESTS, *_INDEXES))}
    )
    return answer.status == 200


def read_manifest(client: Client, digest: Digest) -> bytes:
    """The bytes of any manifest. AbsentError: it is not there; RegistryError: other bytes came."""
    return _manifest(client, digest)[0]


def _manifest(client: Client, digest: Digest) -> tuple[bytes, str]:
    data, header = _get(client, f"manifests/{digest}", digest, (*_MANIFESTS, *_INDEXES))
    inside = read_json(data, f"{client.place}: {digest}")
    # The digest covers the type in the bytes, but not the one in the header.
    media = inside.get("mediaType") or header.partition(";")[0] if isinstance(inside, dict) else ""
    return data, str(media)


def _get(client: Client, path: str, digest: Digest, accept: tuple[str, ...]) -> tuple[bytes, str]:
    answer = client.request("GET", path, (200,), headers={"Accept": ", ".join(accept)})
    if Digest.of(answer.body) != digest:
        raise RegistryError(
            f"{client.url(path)}: the registry delivered other bytes: {Digest.of(answer.body)}",
            "its copy is damaged, or it is not to be trusted; remove it there, then push the image again",
        )
    return answer.body, answer.headers.get("Content-Type", "")


def _platform(index: bytes, digest: Digest) -> Digest:
    """The one linux/amd64 manifest of an index; attestations and variants are ignored."""
    found: list[tuple[str, Digest]] = []
    try:
        for item in read_json(index, str(digest))["manifests"]:
            platform = item.get("platform") or {}
            if (platform.get("os"), platform.get("architecture")) == ("linux", "amd64"):
                found.append((platform.get("variant") or "", Digest(item["digest"])))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RegistryError(f"{digest} is a malformed index") from None
    plain = [manifest for variant, manifest in found if not variant]
    if len(plain) != 1:
        raise RegistryError(f"{digest} is an index with {len(plain)} images for linux/amd64, not one")
    return plain[0]
