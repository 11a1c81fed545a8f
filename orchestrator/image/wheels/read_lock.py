"""Reads a lock, a hash-locked requirements file or a pylock.toml, for one target. Fetches nothing.

A lock may come from anybody. It is read into names, versions, hashes and addresses, each checked by its form.
pip never gets its text, so it cannot give pip options.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.lock import Lock
from orchestrator.image.wheels.pylock import read_pylock
from orchestrator.image.wheels.requirements_file import read_requirements
from orchestrator.spec.plain_file import read_plain

MAX_LOCK = 16 << 20  # bytes; a lock of 1,000 packages has some 2 MB


def lock_bytes(path: Path) -> bytes:
    """A lock's bytes. UsageError: it is not there, not a plain file, or too large for a lock."""
    if not path.exists():
        raise UsageError(f"no such requirements file: {path}")
    return read_plain(path, MAX_LOCK)


def read_lock(path: Path, python: PythonFacts, data: bytes | None = None) -> Lock:
    """The pins of a lock that apply to the target. UsageError with every problem and its line."""
    try:
        text = (lock_bytes(path) if data is None else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8: {error}") from None
    if path.name.endswith(".toml"):
        return read_pylock(path, text, python)
    return read_requirements(path, text, python)
