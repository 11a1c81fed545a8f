"""A box's keyed code over what it says of a run that it executed: HMAC-SHA256, its key in the box's home."""

from __future__ import annotations

import hashlib
import hmac

from orchestrator.run.hardware import identity_key
from orchestrator.settings import Settings

_PURPOSE = b"reprise: a run that this box executed, 1\n"  # the home's key has other uses


def seal(settings: Settings, statement: bytes) -> str:
    """64 hex digits. InfrastructureError where the home's key can be neither read nor made."""
    return hmac.new(identity_key(settings), _PURPOSE + statement, hashlib.sha256).hexdigest()


def is_sealed(settings: Settings, statement: bytes, code: str) -> bool:
    return hmac.compare_digest(seal(settings, statement).encode(), code.encode("utf-8", "replace"))
