"""Stands in for the packages of a base while the resolver works: one tiny wheel for each.

The resolver needs a file for a version that it is to choose, and no index has some of them, such as torch
2.13.0+cpu. A stub has a version of its own, so that no index can offer the same; it needs nothing, because
the base has what its packages need.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from orchestrator.image.packages.base_packages import public

MARK = "reprise"  # at the end of a stub's version, after a plus

# What PyTorch itself needs of packages that a job may bring in another version: from its releases' metadata.
_NEEDS = {
    "torch": {
        "filelock": "",
        "fsspec": ">=0.8.5",
        "jinja2": "",
        "networkx": ">=2.5.1",
        "setuptools": "",
        "sympy": ">=1.13.1",
        "typing-extensions": ">=4.10.0",
    }
}


def stub_version(version: str) -> str:
    return f"{public(version)}+{MARK}"


def write_stubs(folder: Path, provided: Mapping[str, str]) -> None:
    """A wheel for each package of `provided` into `folder`."""
    folder.mkdir()
    for name, version in provided.items():
        needs = {needed: limits for needed, limits in _NEEDS.get(name, {}).items() if needed in provided}
        _write(folder, name, stub_version(version), needs)


def _write(folder: Path, name: str, version: str, needs: Mapping[str, str]) -> None:
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {needed}{limits}\n" for needed, limits in sorted(needs.items())]
    wheel = "Wheel-Version: 1.0\nGenerator: reprise\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", "".join(metadata))
        archive.writestr(f"{stem}.dist-info/WHEEL", wheel)
        archive.writestr(f"{stem}.dist-info/RECORD", "")
