"""For what packages are locked: a base, its Python, and what it has already."""

from __future__ import annotations

import re

from orchestrator.image.base.base_pins import BasePin, list_pins
from orchestrator.image.base.resolve_base import find_pin
from orchestrator.image.image_model import PythonFacts
from orchestrator.settings import Settings
from orchestrator.value import Value

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


class LockTarget(Value):
    base: str  # its name, for messages
    python: PythonFacts
    others: dict[str, dict[str, str]] = {}  # other bases of this box: name -> package -> version

    def provided(self) -> dict[str, str]:
        """What the base has: canonical name to version, without what no resolver could read."""
        from packaging.version import InvalidVersion, Version

        found = {}
        for name, version in sorted(self.python.packages.items()):
            try:
                Version(version)
            except InvalidVersion:
                continue
            if _NAME.fullmatch(name):
                found[name] = version
        return found


def lock_target(settings: Settings, base: str | None) -> LockTarget:
    """The target for a spec's `base`. BaseNotPinnedError where this box has no such base."""
    return target_of(find_pin(settings, base), list_pins(settings))


def target_of(pin: BasePin, pins: tuple[BasePin, ...]) -> LockTarget:
    others = {other.name: other.python.packages for other in pins if other.digest != pin.digest}
    return LockTarget(base=pin.name, python=pin.python, others=others)
