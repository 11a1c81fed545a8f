"""Runs inside a base and prints what its Python is, as JSON on one line.

It is not imported: its text is given to the base's interpreter with -I, which may be any Python 3.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import re
import site
import sys
import sysconfig
from pathlib import Path


def site_folder() -> str:
    """A folder that exists, is on sys.path, and is read for .pth files; empty if there is none."""
    folders = [sysconfig.get_paths()["purelib"], *site.getsitepackages()]
    return next((path for path in folders if path in sys.path and Path(path).is_dir()), "")


def glibc() -> str:
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (ValueError, OSError, AttributeError):
        return ""  # another C library
    return version if name == "glibc" else ""


def packages() -> dict[str, str]:
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # the first on sys.path is the one that is imported
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return found


def torch_versions() -> tuple[str | None, str | None]:
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return None, None
    return str(torch.__version__), torch.version.cuda


torch, cuda = torch_versions()
facts = {
    "executable": sys.executable,
    "version": platform.python_version(),
    "purelib": site_folder(),
    "glibc": glibc(),
    "machine": platform.machine(),
    "packages": packages(),
    "torch": torch,
    "cuda": cuda,
}
print(json.dumps(facts))
