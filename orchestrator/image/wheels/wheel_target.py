"""Markers and wheel tags of a base's Python, for packaging and pip; never those of the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.image.image_model import PythonFacts

if TYPE_CHECKING:
    from packaging.tags import Tag

_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}  # older names of the same glibc


def marker_environment(python: PythonFacts) -> dict[str, str]:
    """The environment of PEP 508 markers in the base; without the kernel's release and version."""
    return {
        "implementation_name": "cpython",
        "implementation_version": python.version,
        "os_name": "posix",
        "platform_machine": python.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": python.version,
        "python_version": ".".join(python.version.split(".")[:2]),
        "sys_platform": "linux",
        "extra": "",
    }


def platforms(python: PythonFacts) -> list[str]:
    """Platform tags from the base's glibc down to the oldest, best first."""
    newest = int(python.glibc.split(".")[1])
    oldest = 5 if python.machine == "x86_64" else 17
    names: list[str] = []
    for minor in range(newest, oldest - 1, -1):
        names.append(f"manylinux_2_{minor}_{python.machine}")
        if minor in _LEGACY:
            names.append(f"{_LEGACY[minor]}_{python.machine}")
    return [*names, f"linux_{python.machine}"]


def abi(python: PythonFacts) -> str:
    major, minor = python.version.split(".")[:2]
    return f"cp{major}{minor}"


def tags(python: PythonFacts) -> Sequence[Tag]:
    """Every wheel tag that the base takes, best first."""
    from packaging.tags import compatible_tags, cpython_tags

    major, minor = (int(part) for part in python.version.split(".")[:2])
    names = platforms(python)
    return [
        *cpython_tags((major, minor), [abi(python)], names),
        *compatible_tags((major, minor), abi(python), names),
    ]
