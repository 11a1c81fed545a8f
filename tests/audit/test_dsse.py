"""DSSE envelopes: what is signed, what is refused, and that tools not written here agree."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey
from support.altered import flipped

from orchestrator.audit.attestations.dsse import (
    Envelope,
    EnvelopeSignature,
    add_signature,
    check,
    key_id,
    merge,
    pae,
    parse_envelope,
)
from orchestrator.audit.keys import PublicKey, SigningKey, signing_key
from orchestrator.settings import load

PAYLOAD = b'{"hello":"w\xc3\xb6rld!"}'


@pytest.fixture
def ada(tmp_path: Path) -> SigningKey:
    return signing_key(load({"REPRISE_HOME": str(tmp_path / "ada")}))


@pytest.fixture
def bob(tmp_path: Path) -> SigningKey:
    return signing_key(load({"REPRISE_HOME": str(tmp_path / "bob")}))


@pytest.fixture
def envelope(ada: SigningKey, bob: SigningKey) -> Envelope:
    return add_signature(add_signature(Envelope(payload=PAYLOAD), ada), bob)


def foreign_key(key: PublicKey) -> SSlibKey:
    """As somebody reads it who has the PEM and the key's id."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return SSlibKey.from_crypto(load_pem_public_key(key.pem().encode()), key_id(key))


def test_what_is_signed_is_what_the_specification_says() -> None:
    # The example of the protocol's own text.
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("ö", b"") == b"DSSEv1 2 \xc3\xb6 0 ", "lengths are of bytes"


def test_a_line_read_again_is_the_same_envelope(envelope: Envelope, ada: SigningKey, bob: SigningKey) -> None:
    line = envelope.to_line()
    assert parse_envelope(line) == envelope
    assert line.count("\n") == 1
    assert parse_envelope(json.dumps(json.loads(line), indent=2)) == envelope, "spaces carry no meaning"
    found = check(envelope, [ada.public, bob.public])
    assert (found.good, found.bad, found.unknown) == ((ada.public, bob.public), (), ())


def test_a_key_counts_once(ada: SigningKey, bob: SigningKey) -> None:
    once = add_signature(Envelope(payload=PAYLOAD), ada)
    assert add_signature(once, ada) == once
    assert merge(once, once) == once
    both = merge(once, add_signature(Envelope(payload=PAYLOAD), bob))
    assert both == add_signature(once, bob)
    assert check(both, [ada.public]).unknown == (key_id(bob.public),)
    twice = both.model_copy(update={"signatures": (both.signatures[0],) * 2})
    assert check(twice, [ada.public]).good == (ada.public,)
    alias = PublicKey(name="eve@elsewhere", raw=ada.public.raw)
    renamed = EnvelopeSignature(keyid=key_id(alias), sig=once.signatures[0].sig)
    both_names = once.model_copy(update={"signatures": (*once.signatures, renamed)})
    assert check(both_names, [ada.public, alias]).good == (ada.public,)
    with pytest.raises(ValueError, match="two payloads"):
        merge(once, add_signature(Envelope(payload=b"{}"), bob))


def test_every_flipped_bit_is_found(envelope: Envelope, ada: SigningKey, bob: SigningKey) -> None:
    line = envelope.to_line().encode()
    keys = [ada.public, bob.public]
    for place in range(len(line) - 1):  # the newline at the end is of the bundle
        for bit in range(8):
            data = flipped(line, place, 1 << bit)
            try:
                read = parse_envelope(data)
            except ValueError:
                continue
            assert check(read, keys).bad or len(check(read, keys).good) < 2, (place, bit, data)


def test_a_signature_under_another_ones_name_is_bad(ada: SigningKey, bob: SigningKey) -> None:
    signed = add_signature(Envelope(payload=PAYLOAD), ada)
    renamed = EnvelopeSignature(keyid=key_id(bob.public), sig=signed.signatures[0].sig)
    moved = signed.model_copy(update={"signatures": (renamed,)})
    assert "was altered" in check(moved, [ada.public, bob.public]).bad[0]
    stranger = signed.model_copy(update={"signatures": (EnvelopeSignature(keyid="eve", sig=renamed.sig),)})
    assert "key id was altered" in check(stranger, [ada.public]).bad[0]
    assert check(stranger, [bob.public]).unknown == ("eve",)


def _changed(envelope: Envelope, **members: Any) -> str:
    return json.dumps(json.loads(envelope.to_line()) | members)


def test_only_one_spelling_is_read(envelope: Envelope) -> None:
    line = envelope.to_line()
    payload = json.loads(line)["payload"]
    assert payload.endswith("==")
    loose = payload[:-3] + chr(ord(payload[-3]) + 1) + "=="
    assert base64.b64decode(loose) == base64.b64decode(payload), "the same bytes, written in another way"
    signature = json.loads(line)["signatures"][0]
    refused = [
        "",
        "[]",
        "null",
        '"' + line,
        line.replace('"payload"', '"payLoad"'),
        line.replace("{", '{"payload":"",', 1),  # twice
        _changed(envelope, more=1),
        _changed(envelope, payload=loose),
        _changed(envelope, payload=payload.rstrip("=")),
        _changed(envelope, payload=payload + "\n"),
        _changed(envelope, payload=7),
        _changed(envelope, payloadType=None),
        _changed(envelope, payloadType="x" * 2000),
        _changed(envelope, signatures=[]),
        _changed(envelope, signatures={}),
        _changed(envelope, signatures=[signature] * 1001),
        _changed(envelope, signatures=[signature | {"sig": ""}]),
        _changed(envelope, signatures=[signature | {"cert": "x"}]),
        _changed(envelope, signatures=[signature | {"keyid": "\ud800"}]),
        _changed(envelope, signatures=[{"sig": signature["sig"]}]),
        _changed(envelope, signatures=float("nan")),
        "[" * 100_000,
    ]
    for text in refused:
        with pytest.raises(ValueError):
            parse_envelope(text)
    with pytest.raises(ValueError):
        parse_envelope(b"\xff\xfe")


def test_securesystemslib_verifies_what_we_sign(envelope: Envelope, ada: SigningKey, bob: SigningKey) -> None:
    foreign = ForeignEnvelope.from_dict(json.loads(envelope.to_line()))
    assert foreign.pae() == envelope.signed
    keys = [foreign_key(ada.public), foreign_key(bob.public)]
    assert set(foreign.verify(keys, 2)) == {key_id(ada.public), key_id(bob.public)}
    foreign.payload += b" "
    with pytest.raises(VerificationError):
        foreign.verify(keys, 1)


def test_we_verify_what_securesystemslib_signs() -> None:
    signer = CryptoSigner.generate_ed25519()
    raw = bytes.fromhex(signer.public_key.keyval["public"])
    key = PublicKey(name="foreign@elsewhere", raw=raw)
    signer.public_key.keyid = key_id(key)
    foreign = ForeignEnvelope(PAYLOAD, "application/vnd.in-toto+json", {})
    foreign.sign(signer)
    read = parse_envelope(json.dumps(foreign.to_dict()))
    assert read.payload == PAYLOAD
    assert check(read, [key]).good == (key,)
