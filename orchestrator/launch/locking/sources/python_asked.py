"""Which Python a project asks for, held against the base's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.wheel_address import escaped


def about_python(path: Path, versions: str, python: PythonFacts) -> Iterable[str]:
    """A note where the base has another Python than the project asks for. Silent for no versions."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        fits = SpecifierSet(versions).contains(python.version, prereleases=True)
    except (InvalidSpecifier, ValueError):
        return
    if not fits:
        yield f"{escaped(path.name)} asks for Python {escaped(versions)}; the base has {python.version}"
