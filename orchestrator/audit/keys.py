"""The box's signing key, Ed25519, outside of database and store: who can write there cannot sign."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import stat
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from orchestrator.durable import locked, make_folder, new_file
from orchestrator.errors import UsageError
from orchestrator.record.runs.author import person
from orchestrator.settings import Settings
from orchestrator.spec.plain_file import read_plain
from orchestrator.value import Value

ED25519 = b"\x01"  # the algorithm's byte in C2SP signed notes
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,200}\Z")
KEY_BYTES = 1 << 20  # of a file of keys
KEY_HINT = "`reprise ledger key` prints one"
FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")
_VKEY = re.compile(r"(?P<name>[^\s+]+)\+(?P<id>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/=]+)\Z")


class PublicKey(Value):
    """A name and 32 bytes: what a signature is checked with."""

    name: str
    raw: bytes

    @property
    def key_id(self) -> bytes:
        """4 bytes by the rule of C2SP signed notes: a hash over the name, too."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.raw).digest()[:4]

    @property
    def vkey(self) -> str:
        """One line of text: `name+hash+key`, as the Go checksum database and witnesses write it."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.raw).decode()}"

    @property
    def fingerprint(self) -> str:
        return "sha256:" + hashlib.sha256(self.raw).hexdigest()

    def verify(self, data: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> str:
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class KnownKeys(Value):
    """What a reader knows of who signs: keys, and fingerprints of keys that come with what was signed."""

    keys: tuple[PublicKey, ...] = ()
    fingerprints: frozenset[str] = frozenset()

    def among(self, came: Iterable[PublicKey]) -> list[PublicKey]:
        """The keys, and of those that came with what was signed the ones whose fingerprint is known."""
        return [*self.keys, *(key for key in came if key.fingerprint in self.fingerprints)]

    @property
    def empty(self) -> bool:
        return not self.keys and not self.fingerprints


class SigningKey:
    """A private key that never leaves this object."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(name=name, raw=key.public_key().public_bytes_raw())

    @property
    def name(self) -> str:
        return self.public.name

    @property
    def key_id(self) -> bytes:
        return self.public.key_id

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(data)


def key_path(settings: Settings) -> Path:
    return settings.home / "keys" / "signing.pem"


def signing_key(settings: Settings) -> SigningKey:
    """This box's key, made on first use. UsageError for a file that others can read, or that is not a key."""
    path = key_path(settings)
    if not path.exists():
        _make(path)
    if path.is_symlink() or stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise UsageError(
            f"the signing key {path} can be read by others", f"chmod 600 {path}; if it was copied, remove it"
        )
    return _load(path)


def _make(path: Path) -> None:
    """Make a key. Of two processes that do so at once, the first one's key stays."""
    name = re.sub(r"[^A-Za-z0-9._@-]", "-", f"{person()}@{socket.gethostname()}")
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    make_folder(path.parent)
    path.parent.chmod(0o700)
    with locked(path.parent), new_file(path, 0o600) as made:
        if not path.exists():
            made.stream.write(f"name: {name}\n".encode() + pem)
            made.keep(path)


def _load(path: Path) -> SigningKey:
    first, _, pem = read_plain(path, KEY_BYTES).partition(b"\n")
    try:
        name = first.decode().removeprefix("name: ")
        key = load_pem_private_key(pem, None)
        if not (_NAME.match(name) and isinstance(key, Ed25519PrivateKey)):
            raise ValueError("no Ed25519 key with a name")  # noqa: TRY301
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"the signing key {path} cannot be read: {error}",
            "put it back from a copy; removed, another one is made, and what the old one signed stays valid",
        ) from None
    return SigningKey(name, key)


def from_base64(text: str) -> bytes:
    """ValueError for any but one spelling: Python's decoder ignores the last character's spare bits, and in
    what is signed not even these may change.
    """
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("not base64 as it is written")
    return data


def parse_public(text: str) -> PublicKey:
    """A key as `reprise ledger key` prints it: `name+hash+key`. UsageError for anything else."""
    match = _VKEY.match(text.strip())
    try:
        if match is None:
            raise ValueError("not of the form name+hash+key")  # noqa: TRY301
        data = from_base64(match["key"])
        key = PublicKey(name=match["name"], raw=data[1:])
        if data[:1] != ED25519 or len(data) != 33 or key.key_id.hex() != match["id"]:
            raise ValueError("its parts do not belong together")  # noqa: TRY301
    except ValueError as error:
        raise UsageError(f"no public key: {text.strip()[:80]!r} ({error})", KEY_HINT) from None
    return key


def known_keys(texts: Iterable[str]) -> KnownKeys:
    """As `read_public` of each, where it is no fingerprint."""
    prints = frozenset(text for text in texts if FINGERPRINT.fullmatch(text))
    keys = (key for text in texts if text not in prints for key in read_public(text))
    return KnownKeys(keys=tuple(keys), fingerprints=prints)


def read_public(text_or_file: str) -> list[PublicKey]:
    """Keys from a file, one a line (empty ones and those with # are passed over), or one as text."""
    path = Path(text_or_file)
    if not os.path.lexists(path):  # a key may be too long for a file's name
        if "+" not in text_or_file:
            raise UsageError(f"{text_or_file[:80]!r} is neither a file nor a public key", KEY_HINT)
        return [parse_public(text_or_file)]
    text = read_plain(path, KEY_BYTES, named=True).decode("utf-8-sig", "replace")
    lines = (line.strip() for line in text.splitlines())
    return [parse_public(line) for line in lines if line and not line.startswith("#")]
