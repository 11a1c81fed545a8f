"""The Python of a base without packages, for tests of what is locked and fetched for it."""

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
