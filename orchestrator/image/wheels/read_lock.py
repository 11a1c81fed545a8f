"""Reads a lock for one target: a requirements file with hashes, a pylock.toml, a uv.lock. Fetches nothing.

A lock may come from anybody. It is read into names, versions, hashes and addresses, each checked by its form.
pip never gets its text, so it cannot give pip options.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.packages.uv_lock import read_uv_lock
from orchestrator.image.wheels.lock import Lock, not_locked
from orchestrator.image.wheels.pylock import read_pylock
from orchestrator.image.wheels.requirements_file import read_requirements
from orchestrator.spec.plain_file import read_plain, utf8_text

UV_LOCK = "uv.lock"
_MADE_FOR = re.compile(rb"# Locked by `reprise lock`[^\n]* for Python ([0-9]{1,2}\.[0-9]{1,3}), ")
_FIRST_LINE = 4096  # bytes
MAX_LOCK = 16 << 20  # bytes; a lock of 1,000 packages has some 2 MB


_NO_LOCK = (".yml", ".yaml", ".cfg", ".py", ".in")


def locked_file(path: Path) -> Path:
    """The file that holds the lock: of a pyproject.toml, the uv.lock beside it. UsageError: it is no lock."""
    beside = path.with_name(UV_LOCK)
    if path.name == "pyproject.toml" and beside.exists():
        return beside
    if path.name in ("pyproject.toml", "Pipfile") or path.suffix in _NO_LOCK:
        raise not_locked(path)
    return path


def lock_bytes(path: Path) -> bytes:
    """A lock's bytes. UsageError: it is not there, not a plain file, or too large for a lock."""
    if not path.exists():
        raise UsageError(f"no such requirements file: {path}")
    return read_plain(path, MAX_LOCK)


def refuse_other_python(path: Path, data: bytes, python: PythonFacts) -> None:
    """UsageError for a lock of `reprise lock` that was made for another Python. Packages that this one
    needs may be absent, and nothing else in it would say so.
    """
    made = _MADE_FOR.match(data[:_FIRST_LINE])
    has = ".".join(python.version.split(".")[:2])
    if made is not None and made[1].decode() != has:
        raise UsageError(
            f"{path} was locked for Python {made[1].decode()}, and the base has {python.version}",
            f"lock it anew: reprise lock {shlex.quote(str(path.parent))}",
        )


def read_lock(path: Path, python: PythonFacts, data: bytes | None = None) -> Lock:
    """The pins of a lock that apply to the target. UsageError with every problem and its line."""
    text = utf8_text(path, lock_bytes(path) if data is None else data)
    if path.name == UV_LOCK:
        return read_uv_lock(path, text, python)
    if path.name.endswith(".toml"):
        return read_pylock(path, text, python)
    return read_requirements(path, text, python)
