"""The Python of a base, for tests of what is locked, fetched and assembled for it."""

from __future__ import annotations

from orchestrator.image.image_model import PythonFacts

PYTHON = PythonFacts(
    executable="/opt/python/bin/python",
    version="3.11.2",
    purelib="/opt/python/lib/python3.11/site-packages",
    glibc="2.36",
    machine="x86_64",
    packages={},
)


def with_packages(**packages: str) -> PythonFacts:
    return PYTHON.model_copy(update={"packages": packages, "torch": packages.get("torch")})
