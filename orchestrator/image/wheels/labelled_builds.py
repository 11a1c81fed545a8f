"""Fetches builds with a label, `2.13.0+cpu`, which no package index has but that of their maker.

pip is asked first, as it is configured. Where it does not find them, the flavour's index is asked.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import RepriseError, UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.lock import Lock, Pin
from orchestrator.image.wheels.pip_download import download


def split_by_label(pins: tuple[Pin, ...]) -> tuple[tuple[Pin, ...], tuple[Pin, ...]]:
    """The pins of versions without a label, and those with one."""
    with_label = tuple(pin for pin in pins if "+" in pin.version)
    return tuple(pin for pin in pins if pin not in with_label), with_label


def download_labelled(
    lock: Lock,
    pins: tuple[Pin, ...],
    room: Path,
    beside: Path,
    path: Path,
    python: PythonFacts,
    index: str | None,
) -> list[Path]:
    """As `download`, and then from `index`. Errors name both places, and the ways out."""
    try:
        return download(lock, pins, room, beside, path, python)
    except UsageError as error:
        if lock.no_index:
            raise
        if index is None:
            raise _not_found(error, pins, path, None) from error
    more = room / "labelled"
    more.mkdir()
    both = lock.model_copy(update={"more_indexes": (*lock.more_indexes, index)})
    try:
        return download(both, pins, more, beside, path, python)
    except RepriseError as error:
        raise _not_found(error, pins, path, index) from error


def _not_found(error: RepriseError, pins: tuple[Pin, ...], path: Path, index: str | None) -> RepriseError:
    names = ", ".join(f"{pin.name}=={pin.version}" for pin in pins)
    asked = f"where pip is configured to look, nor at {index}" if index else "where pip is configured to look"
    reason = error.message.removeprefix(f"{path}: ")
    return type(error)(
        f"{path}: {names}: not to be had {asked}: {reason}",
        "ways out: a network that reaches it (HTTPS_PROXY), or a mirror (PIP_EXTRA_INDEX_URL=...); a folder "
        "with the wheel (PIP_FIND_LINKS=/folder), from anywhere, as only the locked bytes are taken; the "
        "finished base from a registry (reprise base pin NAME REPOSITORY@sha256:...); or the base cuda: the "
        "package index has its wheels",
    )
