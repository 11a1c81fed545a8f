"""Attestations in the registry, beside the image that they are of."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.audit.attestations.attestation_bundle import (
    MOST_BYTES,
    Attestations,
    merge_attestations,
    read_attestations,
    write_attestations,
)
from orchestrator.audit.attestations.statement import ClaimStatement
from orchestrator.digest import Digest
from orchestrator.errors import RegistryError, UsageError
from orchestrator.image.registry.referrers import attach, attached
from orchestrator.image.registry.registry_client import Client
from orchestrator.image.registry.repository import read_reference
from orchestrator.launch.move_images import registry
from orchestrator.settings import Settings

MEDIA_BUNDLE = "application/vnd.in-toto.bundle"  # of JSON lines, by in-toto's storage convention
OURS = "reprise.claim"  # annotation: the claim's SHA-256; other tools attach bundles of this type, too


class Published(NamedTuple):
    digest: Digest  # of the manifest that was attached
    place: str


def publish(settings: Settings, image: Digest, bundle: Attestations) -> Published:
    """Attach a bundle to its image in the team's registry; what others attached stays.

    RegistryError: the registry has no such image, or refuses.
    """
    place = registry(settings)
    claim = next(item for item in bundle if isinstance(item.statement, ClaimStatement))
    about = {
        "in-toto.io/predicate-type": claim.statement.predicate_type,
        OURS: Digest.of(claim.envelope.payload),
    }
    with Client(place) as client:
        return Published(attach(client, image, MEDIA_BUNDLE, write_attestations(bundle), about), str(place))


def published(reference: str) -> Attestations:
    """All attestations of `HOST/NAME@sha256:…`, merged. Neither record nor engine is asked.

    UsageError: there are none, or they are malformed. RegistryError: the registry fails.
    """
    try:
        place, image = read_reference(reference)
    except RegistryError as error:  # no request was sent yet: the reference is malformed
        raise UsageError(error.message, error.hint) from None
    bundle: Attestations = ()
    with Client(place) as client:
        for one in attached(client, image, MEDIA_BUNDLE, MOST_BYTES):
            if OURS not in one.annotations:
                continue
            bundle = merge_attestations(bundle, read_attestations(one.data, f"{place}@{one.digest}"))
    if not bundle:
        raise UsageError(
            f"nothing is attested of {reference}",
            "`reprise attestation create RUN --push` attaches attestations",
        )
    wrong = next((item.statement.image for item in bundle if item.statement.image != image), None)
    if wrong is not None:
        raise UsageError(f"{reference} has attestations of another image, {wrong}", "remove them there")
    return bundle
