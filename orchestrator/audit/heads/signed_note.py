"""Signed notes, and tree heads among them, as C2SP has them ("signed note", "tlog checkpoint").

reprise/5f3c…            origin: which ledger
17                       number of its events
n4bQ…=                   root of the RFC 6962 tree over them, base64
                         (an empty line)
— ada@alpha Az3g…=       per signer: name, base64 of the key's id and the signature over all above the line
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence

from orchestrator.audit.keys import PublicKey, SigningKey, from_base64
from orchestrator.errors import UsageError
from orchestrator.value import Value

MAX_NOTE = 1 << 16  # bytes
_SIGNATURE = re.compile(r"— (?P<name>[^\s+]+) (?P<data>[A-Za-z0-9+/]+={0,2})\Z")


class NoteSignature(Value):
    name: str
    key_id: bytes  # 4 bytes
    signature: bytes


class SignedHead(Value):
    """What somebody signed: a ledger, its size, and its root then."""

    origin: str
    size: int
    root: bytes  # 32 bytes
    body: bytes  # what is signed
    signatures: tuple[NoteSignature, ...]


def sign_head(origin: str, size: int, root: bytes, key: SigningKey) -> str:
    """ValueError for an origin that would be read as more than one line, or as another name."""
    if not re.fullmatch(r"[!-~]+", origin):
        raise ValueError(f"{origin!r} is not a name of a ledger")
    body = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    return add_signature(body + "\n", key)


def add_signature(note: str, key: SigningKey) -> str:
    """The note with one signature more, as a witness adds its own."""
    body = note.partition("\n\n")[0] + "\n"
    data = base64.b64encode(key.key_id + key.sign(body.encode())).decode()
    return f"{note}— {key.name} {data}\n"


def parse_head(text: str) -> SignedHead:
    """Only its form is checked, not its signatures. UsageError: not a tree head."""
    try:
        return _parse(text)
    except ValueError as error:
        raise UsageError(
            f"not a tree head: {error}", "a tree head is a text as `reprise ledger sign` prints it"
        ) from None


def _parse(text: str) -> SignedHead:
    if len(text) > MAX_NOTE or "\r" in text:
        raise ValueError("too long, or with carriage returns")
    body, separator, rest = text.partition("\n\n")
    lines = body.split("\n")
    if not separator or len(lines) < 3 or not lines[0]:
        raise ValueError("not of the form origin, size, root, empty line, signatures")
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
        raise ValueError(f"{lines[1][:20]!r} is not a size")
    root = from_base64(lines[2])
    if len(root) != 32:
        raise ValueError(f"a root of {len(root)} bytes")
    if not rest.endswith("\n"):
        raise ValueError("its last line is cut off")
    signatures = []
    for line in rest.removesuffix("\n").split("\n"):
        match = _SIGNATURE.fullmatch(line)
        if match is None:
            raise ValueError(f"{line[:40]!r} is not a signature")
        data = from_base64(match["data"])
        signatures.append(NoteSignature(name=match["name"], key_id=data[:4], signature=data[4:]))
    return SignedHead(
        origin=lines[0],
        size=int(lines[1]),
        root=root,
        body=(body + "\n").encode(),
        signatures=tuple(signatures),
    )


def split_notes(text: str) -> list[str]:
    """The notes of a file that has several, one after the other."""
    notes: list[list[str]] = []
    signed = True  # after a signature, a line that is not another one begins a note
    for line in _lines(text):
        signature = line.startswith("— ")
        if signed and not signature:
            if not line.strip():
                continue
            notes.append([])
        signed = signature
        if notes:
            notes[-1].append(line)
    return ["".join(lines) for lines in notes]


def whole_notes(data: bytes) -> bytes:
    """The data without a last note that was cut off."""
    text = data.decode("utf-8", "surrogateescape")
    notes = split_notes(text)
    if not notes or (text.endswith("\n") and is_complete(notes[-1])):
        return data
    return data[: data.rindex(notes[-1].partition("\n")[0].encode("utf-8", "surrogateescape"))]


def is_complete(note: str) -> bool:
    """Whether a note was not cut off: it ends with a newline after a signature."""
    return note.endswith("\n") and "\n\n— " in note


def verify_head(head: SignedHead, keys: Iterable[PublicKey]) -> Sequence[PublicKey]:
    """The keys whose signature on it is good. UsageError for a bad signature of one of the keys."""
    known = {(key.name, key.key_id): key for key in keys}
    good = []
    for one in head.signatures:
        key = known.get((one.name, one.key_id))
        if key is None:
            continue
        if not key.verify(head.body, one.signature):
            raise UsageError(f"the signature of {key.name} is not over this tree head: it was altered")
        good.append(key)
    return good


def _lines(text: str) -> list[str]:
    """Lines with their ends. Only a line feed ends one: a signature is over each byte of its note."""
    return [f"{line}\n" for line in text.split("\n")[:-1]] + [text.rpartition("\n")[2]]
