"""Lock and Pin: the content of a lock for one target, each part checked by its form."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from pydantic import Field

from orchestrator.errors import UsageError
from orchestrator.image.wheels.wheel_address import quoted
from orchestrator.value import Value

HINT = "reprise lock makes one that fits"

CanonicalName = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
PlainVersion = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.!+]*$")]
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Pin(Value):
    """One package of a lock that the target needs."""

    name: CanonicalName
    version: PlainVersion  # as packaging normalises it
    sha256: tuple[Hex, ...]  # any of them may be the file that fits
    address: str | None = None  # where a pylock says it is, as `web_address` wrote it
    file: Path | None = None  # a wheel on this machine that a pylock names


class Lock(Value):
    pins: tuple[Pin, ...]
    index: str | None = None  # instead of the user's own; this and the next two as `web_address` wrote them
    more_indexes: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()  # with links to wheels
    folders: tuple[Path, ...] = ()  # with wheels
    no_index: bool = False


def make_pin(
    name: str, version: str, sha256: tuple[str, ...], address: str | None = None, file: Path | None = None
) -> Pin:
    """Makes a pin. ValueError: a part is malformed."""
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    try:
        plain = str(Version(version))
    except ValueError:  # InvalidVersion, and a number of thousands of digits
        raise ValueError(f"{quoted(name)}: not a version: {quoted(version)}") from None
    hashes = tuple(sorted(set(sha256)))
    try:
        return Pin(name=canonicalize_name(name), version=plain, sha256=hashes, address=address, file=file)
    except ValueError:
        raise ValueError(f"not a package and its hashes: {quoted(name)}") from None


def problems_of(path: Path, problems: list[str]) -> UsageError:
    return UsageError("\n".join([f"{path} cannot be used:", *(f"  {line}" for line in problems)]), HINT)


def not_locked(path: Path) -> UsageError:
    """For a file that lists packages without hashes."""
    run = f"run: reprise lock {shlex.quote(str(path))}"
    return UsageError(f"{path} is not locked", f"{run}; then write `requirements: requirements.lock`")
