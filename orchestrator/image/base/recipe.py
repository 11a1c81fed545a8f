"""The recipe of a flavour: its table in a file of bases, and the key that says when to build anew.

[cpu]
os_image = "NAME:TAG@sha256:..."      # or "bootstrap"
release = "debian/bookworm"           # what is bootstrapped
python = "3.11"                       # that of the OS image, for which the lock is made
requirements = "cpu/requirements.txt" # hash-locked; seen from the file's folder
packages = ["g++"]                    # of the distribution, beside Python
wheel_index = "https://..."           # where builds with a label (2.13.0+cpu) are, if pip does not find them
target = "cpu"                        # the build target in the Dockerfile; else the flavour's own name
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import UsageError
from orchestrator.image.base.base_pins import COMMITTED, recipe_tables
from orchestrator.image.base.normalise import NORMALISE_VERSION
from orchestrator.image.base.os_image import Release, release
from orchestrator.image.wheels.wheel_address import web_address
from orchestrator.settings import Settings
from orchestrator.value import Value

BOOTSTRAP = "bootstrap"

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+\Z")  # Debian's rule for names
_BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}\Z")
_PYTHON = re.compile(r"3\.[0-9]{1,2}\Z")


class Recipe(Value):
    flavour: str
    target: str  # in the Dockerfile
    os_image: str  # repository@sha256:..., or BOOTSTRAP
    release: Release  # what is bootstrapped
    python: str | None = None  # 3.11
    requirements: Path
    dockerfile: Path
    packages: tuple[str, ...] = ()  # of the distribution, beside Python
    wheel_index: str | None = None  # not in the key: which bytes are taken is the lock's say

    def key(self) -> str:
        """Hex name of all that the base is made of, except the state of the distribution's archive."""
        parts = [
            NORMALISE_VERSION,
            self.target,
            self.os_image,
            self.packages,
            Digest.of_file(self.requirements),
            Digest.of_file(self.dockerfile),
            self.release.distribution,
            self.release.codename,
        ]
        return Digest.of(canonical_json(parts)).hex

    def check_python(self, version: str) -> None:
        """UsageError where the OS image's Python, 3.11.2 for instance, is not the flavour's."""
        if self.python is not None and version.split(".")[:2] != self.python.split("."):
            raise UsageError(
                f"the flavour {self.flavour} is for Python {self.python}, and its OS image has {version}",
                "name another os_image or release, or lock the requirements for that Python",
            )


def wheel_index(settings: Settings, flavour: str) -> str | None:
    """The address at which a base's flavour has builds with a label, if it names one."""
    _, table = recipe_tables(settings).get(flavour, (None, {}))
    return _web_address(table.get("wheel_index"))


def read_recipe(settings: Settings, flavour: str) -> Recipe:
    """UsageError: no such flavour, a malformed table, an OS image that no digest pins, a file not there."""
    tables = recipe_tables(settings)
    if flavour not in tables:
        known = ", ".join(sorted(tables)) or "none"
        raise UsageError(
            f"{settings.recipes / COMMITTED} has no flavour {flavour!r}",
            f"there is: {known}; `reprise base new` makes one of your own",
        )
    path, table = tables[flavour]
    recipe = _recipe(settings, flavour, path, table)
    if recipe.os_image != BOOTSTRAP and not _BY_DIGEST.match(recipe.os_image):
        raise UsageError(
            f"{path}: the os_image of {flavour!r} is not pinned by digest: {recipe.os_image}",
            'write repository@sha256:..., or "bootstrap"',
        )
    for package in recipe.packages:
        if not _PACKAGE.match(package):
            raise UsageError(f"{path}: the flavour {flavour!r} names no package by {package!r}")
    if recipe.python is not None and not _PYTHON.match(recipe.python):
        raise UsageError(f"{path}: the python of {flavour!r} is not like 3.11: {recipe.python!r}")
    for file in (recipe.requirements, recipe.dockerfile):
        if not file.is_file():
            raise UsageError(f"the flavour {flavour!r} needs a file that is not there: {file}")
    return recipe


def _recipe(settings: Settings, flavour: str, path: Path, table: dict[str, Any]) -> Recipe:
    try:
        return Recipe(
            flavour=flavour,
            target=table.get("target", flavour),
            os_image=table["os_image"],
            release=release(table["release"]),
            python=table.get("python"),
            requirements=path.parent / table["requirements"],
            dockerfile=settings.dockerfile,
            packages=tuple(table.get("packages", ())),
            wheel_index=_web_address(table.get("wheel_index")),
        )
    except KeyError as error:
        raise UsageError(f"{path}: the flavour {flavour!r} has no {error}") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: the flavour {flavour!r} has no usable recipe: {error}") from None


def _web_address(text: Any) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"wheel_index is no text: {text!r}")
    return web_address(text)
