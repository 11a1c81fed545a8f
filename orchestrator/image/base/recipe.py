"""The recipe of a flavour: its table in images/bases.toml, and the key that says when to build anew."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import UsageError
from orchestrator.image.base.base_pins import COMMITTED, flavours
from orchestrator.image.base.normalise import NORMALISE_VERSION
from orchestrator.image.base.os_image import Release, release
from orchestrator.settings import Settings
from orchestrator.value import Value

BOOTSTRAP = "bootstrap"

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+\Z")  # Debian's rule for names
_BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}\Z")


class Recipe(Value):
    flavour: str  # also the build target in the Dockerfile
    os_image: str  # repository@sha256:..., or BOOTSTRAP
    release: Release  # what is bootstrapped
    requirements: Path
    dockerfile: Path
    packages: tuple[str, ...] = ()  # of the distribution, beside Python

    def key(self) -> str:
        """Hex name of all that the base is made of, except the state of the distribution's archive."""
        parts = [
            NORMALISE_VERSION,
            self.flavour,
            self.os_image,
            self.packages,
            Digest.of_file(self.requirements),
            Digest.of_file(self.dockerfile),
            self.release.distribution,
            self.release.codename,
        ]
        return Digest.of(canonical_json(parts)).hex


def read_recipe(settings: Settings, flavour: str) -> Recipe:
    """UsageError: no such flavour, a malformed table, an OS image that no digest pins, a file not there."""
    path = settings.recipes / COMMITTED
    known = flavours(settings)
    if flavour not in known:
        raise UsageError(f"{path} has no flavour {flavour!r}", f"there is: {', '.join(known) or 'none'}")
    table = tomllib.loads(path.read_text("utf-8"))[flavour]
    try:
        recipe = Recipe(
            flavour=flavour,
            os_image=table["os_image"],
            release=release(table["release"]),
            requirements=settings.recipes / table["requirements"],
            dockerfile=settings.dockerfile,
            packages=tuple(table.get("packages", ())),
        )
    except KeyError as error:
        raise UsageError(f"{path}: the flavour {flavour!r} has no {error}") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: the flavour {flavour!r} has no usable recipe: {error}") from None
    if recipe.os_image != BOOTSTRAP and not _BY_DIGEST.match(recipe.os_image):
        raise UsageError(
            f"{path}: the os_image of {flavour!r} is not pinned by digest: {recipe.os_image}",
            'write repository@sha256:..., or "bootstrap"',
        )
    for package in recipe.packages:
        if not _PACKAGE.match(package):
            raise UsageError(f"{path}: the flavour {flavour!r} names no package by {package!r}")
    for file in (recipe.requirements, recipe.dockerfile):
        if not file.is_file():
            raise UsageError(f"the flavour {flavour!r} needs a file that is not there: {file}")
    return recipe
