"""DSSE envelopes ("Dead Simple Signing Envelope", v1): a payload, its type, and its signatures.

A signature is over `DSSEv1 SP LEN(type) SP type SP LEN(payload) SP payload`, never over JSON. Reading is
strict (one spelling of base64, each member once, no unknown member), so that no byte can change unseen.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, NamedTuple

from orchestrator.audit.keys import PublicKey, SigningKey, from_base64
from orchestrator.digest import canonical_json
from orchestrator.errors import UsageError
from orchestrator.untrusted_json import strict_json
from orchestrator.value import Value

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MOST_SIGNATURES = 1000
MOST_BYTES = 1024  # of one signature, and of a key's name


class EnvelopeSignature(Value):
    keyid: str  # a hint, not signed: which key to try
    sig: bytes


class Envelope(Value):
    payload: bytes
    payload_type: str = PAYLOAD_TYPE
    signatures: tuple[EnvelopeSignature, ...] = ()

    @property
    def signed(self) -> bytes:
        return pae(self.payload_type, self.payload)

    def to_line(self) -> str:
        """One line of JSON, as bundles have it."""
        document = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": one.keyid, "sig": base64.b64encode(one.sig).decode()} for one in self.signatures
            ],
        }
        return canonical_json(document).decode() + "\n"


class CheckedEnvelope(NamedTuple):
    """An envelope's signatures beside the keys that were given."""

    good: tuple[PublicKey, ...]
    bad: tuple[str, ...]  # a given key is named and did not sign, or signed under another name: in words
    unknown: tuple[str, ...]  # key ids of signatures that none of the keys can check


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(key: PublicKey) -> str:
    """`name+hash`, the first two parts of the key's line of text."""
    return f"{key.name}+{key.key_id.hex()}"


def add_signature(envelope: Envelope, key: SigningKey) -> Envelope:
    """The envelope with one more signature; the same key again changes nothing."""
    signature = EnvelopeSignature(keyid=key_id(key.public), sig=key.sign(envelope.signed))
    return _with(envelope, (signature,))


def merge(one: Envelope, other: Envelope) -> Envelope:
    """One envelope with the signatures of two over the same payload, those of the first in front."""
    if one.signed != other.signed:
        raise ValueError("two payloads have no signature in common")
    return _with(one, other.signatures)


def _with(envelope: Envelope, signatures: Iterable[EnvelopeSignature]) -> Envelope:
    found = dict.fromkeys((*envelope.signatures, *signatures))
    if len(found) > MOST_SIGNATURES:  # parse_envelope would refuse it
        raise UsageError(
            f"more than {MOST_SIGNATURES} signatures under one statement",
            "begin a new file: --to another name",
        )
    return envelope.model_copy(update={"signatures": tuple(found)})


def check(envelope: Envelope, keys: Iterable[PublicKey]) -> CheckedEnvelope:
    """Which keys signed. A key counts once, even where it signed often or under several names."""
    known = {key_id(key): key for key in keys}
    good: dict[bytes, PublicKey] = {}
    bad: list[str] = []
    unknown: list[str] = []
    for one in envelope.signatures:
        named = known.get(one.keyid)
        if named is not None and named.verify(envelope.signed, one.sig):
            good.setdefault(named.raw, named)
        elif named is not None:
            bad.append(f"the signature of {named.name} is not over this payload: one of them was altered")
        elif signer := next((key for key in known.values() if key.verify(envelope.signed, one.sig)), None):
            bad.append(f"a signature of {signer.name} says that it is another key's: its key id was altered")
        else:
            unknown.append(one.keyid)
    return CheckedEnvelope(tuple(good.values()), tuple(bad), tuple(unknown))


def parse_envelope(text: str | bytes) -> Envelope:
    """ValueError for anything but the JSON of `to_line`; white space between members does not matter."""
    document = strict_json(text)
    members = _members(document, "an envelope", {"payload", "payloadType", "signatures"})
    listed = members["signatures"]
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_SIGNATURES:
        raise ValueError(f"signatures: not a list of 1 to {MOST_SIGNATURES}")
    return Envelope(
        payload=_bytes(members["payload"], "payload"),
        payload_type=_text(members["payloadType"], "payloadType"),
        signatures=tuple(map(_signature, listed)),
    )


def _signature(value: Any) -> EnvelopeSignature:
    members = _members(value, "a signature", {"keyid", "sig"})
    sig = _bytes(members["sig"], "sig")
    if not 0 < len(sig) <= MOST_BYTES:
        raise ValueError(f"a signature of {len(sig)} bytes")
    return EnvelopeSignature(keyid=_text(members["keyid"], "keyid"), sig=sig)


def _members(value: Any, what: str, names: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != names:
        raise ValueError(f"{what} has the members {', '.join(sorted(names))} and no other")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or len(value) > MOST_BYTES:
        raise ValueError(f"{what}: not a short text")
    value.encode()  # half a surrogate pair has no bytes: a UnicodeEncodeError is a ValueError
    return value


def _bytes(value: Any, what: str) -> bytes:
    try:
        return from_base64(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what}: not base64: {error}") from None


def malformed(where: str, why: object) -> UsageError:
    return UsageError(
        f"{where} is not an attestation: {why}", "`reprise attestation create RUN --to FILE` writes one"
    )
