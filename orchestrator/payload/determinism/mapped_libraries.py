"""Libraries that this process has mapped: OpenBLAS (threads, kernel), and those from outside the image."""

# ruff: noqa: PTH119, PTH123

from __future__ import annotations

import os
import time
from typing import Any

# Where a job's own files are mounted; what it compiles there is not the box's.
OWN_MOUNTS = ("/", "/workspace", "/tmp", "/dev", "/dev/shm", "/proc", "/sys", "/inputs", "/run/reprise")  # noqa: S108
MAX_SECONDS = 2.0  # for hashing, per process: libcuda is 90 MB, 0.1 s

_hashed: dict[str, str] = {}
_spent = 0.0


def mapped(maps: str) -> list[str]:
    """Paths of shared libraries in the text of /proc/self/maps, sorted."""
    paths = set()
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5].startswith("/") and ".so" in os.path.basename(fields[5]):
            paths.add(fields[5])
    return sorted(paths)


def mount_of(path: str, points: list[str]) -> str:
    """The mount point of a path; a bind-mounted file is a mount point itself."""
    inside = (point for point in points if path == point or path.startswith(point.rstrip("/") + "/"))
    return max(inside, key=len, default="/")


def from_outside(maps: str, mountinfo: str) -> list[str]:
    """Mapped libraries that a mount brought in (the driver's, mounted by the GPU toolkit), sorted."""
    points = [fields[4] for fields in map(str.split, mountinfo.splitlines()) if len(fields) > 4]
    own = tuple(f"{point.rstrip('/')}/" for point in OWN_MOUNTS[1:])
    return [
        path
        for path in mapped(maps)
        if (point := mount_of(path, points)) != "/" and not f"{point.rstrip('/')}/".startswith(own)
    ]


def outside() -> dict[str, object]:
    """`library.<path>` -> SHA-256 hex, or `not hashed: …` past the time that hashing may take."""
    return {f"library.{path}": _hash(path) for path in from_outside(_text("maps"), _text("mountinfo"))}


def _hash(path: str) -> str:
    global _spent
    if path in _hashed:
        return _hashed[path]
    if _spent > MAX_SECONDS:
        return "not hashed: no time left"
    import hashlib

    begun = time.monotonic()
    hasher = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(1 << 20):
                hasher.update(chunk)
    except OSError as error:
        return f"not hashed: {error.strerror}"
    _spent += time.monotonic() - begun
    return _hashed.setdefault(path, hasher.hexdigest())


def openblas() -> dict[str, object]:
    """`openblas.<library>.threads` and `.kernel` of each OpenBLAS in the process (numpy's, scipy's).

    Symbols carry the packager's prefix and suffix: scipy_openblas_get_num_threads64_ in wheels.
    """
    found: dict[str, object] = {}
    for path in mapped(_text("maps")):
        name = os.path.basename(path)
        if "openblas" not in name:
            continue
        import ctypes

        library = ctypes.CDLL(path, mode=getattr(os, "RTLD_NOLOAD", 0) | os.RTLD_LAZY)
        short = name.partition("-")[0].partition(".so")[0]
        for what, symbol in (("threads", "openblas_get_num_threads"), ("kernel", "openblas_get_corename")):
            function = _symbol(library, symbol)
            if function is None:
                found[f"openblas.{short}.{what}"] = "absent"
                continue
            function.restype = ctypes.c_char_p if what == "kernel" else ctypes.c_int
            value = function()
            found[f"openblas.{short}.{what}"] = value.decode() if isinstance(value, bytes) else value
    return found


def _symbol(library: Any, name: str) -> Any:
    for prefix in ("scipy_", ""):
        for suffix in ("64_", ""):
            function = getattr(library, f"{prefix}{name}{suffix}", None)
            if function is not None:
                return function
    return None


def _text(name: str) -> str:
    try:
        with open(f"/proc/self/{name}", encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except FileNotFoundError:  # not Linux: nothing is reported about libraries
        return ""
