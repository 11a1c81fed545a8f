"""Who may read and who may annotate: two random tokens of a box, kept beside its record."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from orchestrator.durable import write_bytes
from orchestrator.errors import UsageError
from orchestrator.redaction import remember

FOLDER = "web"
LENGTH = 32  # random bytes
_LONGEST = 200  # characters of a token's file


class Access(StrEnum):
    READ = "read"
    ANNOTATE = "annotate"  # reads, too


class Tokens(NamedTuple):
    read: str
    annotate: str

    def access_by(self, text: str) -> Access | None:
        """What a token allows; None for a wrong one. Takes equally long for every wrong one."""
        given = text.encode("utf-8", "surrogatepass")
        found = {
            access: hmac.compare_digest(given, token.encode())
            for access, token in ((Access.READ, self.read), (Access.ANNOTATE, self.annotate))
        }
        return next((access for access, same in found.items() if same), None)

    def form_token(self) -> str:
        """What a form of ours holds, so that a form of another site cannot stand for it."""
        return hmac.new(self.annotate.encode(), b"form", hashlib.sha256).hexdigest()


class Ticket:
    """Opens the dashboard once, to annotate: for an address that other users of this machine can read.

    A program's arguments are such a place, and a browser is told by them where to go.
    """

    def __init__(self) -> None:
        self.text = secrets.token_urlsafe(LENGTH)
        self._left = True
        remember(self.text)

    def takes(self, text: str) -> bool:
        """Whether it is this one, and was not taken before."""
        same = hmac.compare_digest(text.encode("utf-8", "surrogatepass"), self.text.encode())
        taken, self._left = same and self._left, self._left and not same
        return taken


def kept_tokens(home: Path, renew: bool = False) -> Tokens:
    """The tokens of this box, made where they are not there. They outlive the server, and so do open tabs."""
    folder = home / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    tokens = Tokens(_kept(folder / "read-token", renew), _kept(folder / "annotate-token", renew))
    for token in tokens:
        remember(token)
    return tokens


def _kept(path: Path, renew: bool) -> str:
    if renew or not path.exists():
        write_bytes(path, secrets.token_urlsafe(LENGTH).encode(), 0o600)
    try:
        text = path.read_bytes()[:_LONGEST].decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", "`reprise web --new-tokens` makes new ones"
        ) from error
    if len(text) < LENGTH:
        raise UsageError(f"{path} holds no token", "`reprise web --new-tokens` makes new ones")
    return text
