"""Finds the base that a name stands for. Images are built only over a base that a digest pins."""

from __future__ import annotations

import re

from orchestrator.errors import BaseNotPinnedError, StoreError, UsageError
from orchestrator.image.base.base_pins import BasePin, default_flavour, flavours, list_pins
from orchestrator.image.base.make_base import base_from_parts
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Base
from orchestrator.settings import Settings

_BY_DIGEST = re.compile(r"(?P<repository>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})\Z")
_FLAVOUR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def resolve_base(settings: Settings, name: str | None) -> Base:
    """The pinned base for a spec's `base`: a flavour, `repo@sha256:...`, or None for the default.

    BaseNotPinnedError, with the command that mends it: this box has no pin of that name or digest.
    """
    return _load(settings, find_pin(settings, name))


def find_pin(settings: Settings, name: str | None) -> BasePin:
    """As `resolve_base`, but only the pin. The base's bytes need not be on this box."""
    pins = list_pins(settings)
    if name is None:
        return _default(settings, pins)
    by_digest = _BY_DIGEST.match(name)
    if by_digest is not None:
        # The repository may be any mirror's: the digest says which bytes are meant.
        pin = next((pin for pin in pins if pin.digest == by_digest["digest"]), None)
        if pin is None:
            raise BaseNotPinnedError(
                f"no base on this box has the digest {by_digest['digest']}",
                f"run: reprise base pin NAME {name} (the digest of the platform's manifest, not of an index)",
            )
    elif not _FLAVOUR.match(name):
        raise BaseNotPinnedError(
            f"base {name!r} is not pinned: a tag moves",
            "pin it by digest: reprise base pin NAME REPOSITORY@sha256:..., and name it in the spec",
        )
    else:
        pin = next((pin for pin in pins if pin.name == name), None)
        if pin is None:
            raise _unknown(settings, name, pins)
    return pin


def _default(settings: Settings, pins: tuple[BasePin, ...]) -> BasePin:
    name = default_flavour(settings)
    pin = next((pin for pin in pins if pin.name == name), None)
    if pin is not None:
        return pin
    made = [pin.name for pin in pins]
    others = made or [known for known in flavours(settings) if known != name]
    other = (
        f"write `base: {others[0]}` in the job file" if others else "name a base of your own in the job file"
    )
    before = f" (after `reprise base build {others[0]}`)" if others and not made else ""
    raise BaseNotPinnedError(
        f"the job file names no base, so it gets {name}, and {name} is not made on this box yet",
        f"run `reprise base build {name}` (gigabytes, once), or {other}{before}",
    )


def _unknown(settings: Settings, name: str, pins: tuple[BasePin, ...]) -> BaseNotPinnedError:
    known = flavours(settings)
    if name in known:
        return BaseNotPinnedError(f"the base {name} is not made yet", f"run: reprise base build {name}")
    names = sorted({*known, *(pin.name for pin in pins)})
    return BaseNotPinnedError(
        f"no base is called {name!r}; there is {', '.join(names) or 'none'}",
        f"run: reprise base pin {name} REPOSITORY@sha256:..., or name one of these",
    )


def _load(settings: Settings, pin: BasePin) -> Base:
    layout = ImageLayout(settings.layout)
    mend = f"run: reprise base build {pin.name}"
    if pin.name not in flavours(settings):
        mend = f"run: reprise base pin {pin.name} {pin.reference.split('@')[0]}@{pin.digest}"
    try:
        manifest, config = layout.read(pin.digest), layout.read(pin.config_digest)
        base = base_from_parts(pin.name, pin.reference, manifest, config, None, pin.python)
    except StoreError as error:
        raise BaseNotPinnedError(
            f"the base {pin.name} ({pin.digest}) is not usable here: {error.message}", mend
        ) from error
    except UsageError as error:
        raise BaseNotPinnedError(error.message, error.hint) from error
    return base
