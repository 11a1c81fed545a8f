"""An OS image where none can be pulled: the flavour's own release, from its packages, by mmdebstrap.

The host may run another release, or another distribution: a recipe gives the same OS and Python anywhere.
The archive is byte-reproducible for one state of the distribution's archive (SOURCE_DATE_EPOCH; measured:
178 MB, 26 s, the same sha256 twice).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.errors import InfrastructureError
from orchestrator.image.assembly.tar import MTIME
from orchestrator.value import Value

PACKAGES = ("ca-certificates", "python3", "python3-venv")
_COMPONENTS = {"debian": "main", "ubuntu": "main,universe"}  # Ubuntu has python3-venv in universe
_KEYRINGS = {"debian": "debian-archive-keyring", "ubuntu": "ubuntu-keyring"}  # packages
_GLIBC = {"bookworm": "2.36", "trixie": "2.41", "jammy": "2.35", "noble": "2.39"}
# mmdebstrap 1.6 (Debian's unstable) writes another one than 1.4 and 1.5; all other files are the same bytes.
_FSTAB = "--setup-hook=echo '# UNCONFIGURED FSTAB FOR BASE SYSTEM' >\"$1/etc/fstab\""
_OLDEST_GLIBC = "2.28"  # which PyTorch's wheels ask for
_NAME = re.compile(r"(?P<distribution>[a-z]+)/(?P<codename>[a-z]+)")
# As in Debian's slim images: of documentation only licences, no translations.
_LEFT_OUT = ("doc/*", "info/*", "lintian/*", "locale/*", "man/*")


class Release(Value):
    """A distribution that can be bootstrapped."""

    distribution: str  # debian, ubuntu
    codename: str  # bookworm


def release(name: str) -> Release:
    """The release that `DISTRIBUTION/CODENAME` names. ValueError for any other text or distribution."""
    match = _NAME.fullmatch(name)
    if match is None or match["distribution"] not in _COMPONENTS:
        known = " or ".join(sorted(_COMPONENTS))
        raise ValueError(f"{name!r} is not a release: write DISTRIBUTION/CODENAME, of {known}")
    return Release(**match.groupdict())


def glibc(release: Release) -> str:
    """The C library of a release; of one that is not known, the oldest that a base can have."""
    return _GLIBC.get(release.codename, _OLDEST_GLIBC)


def bootstrap(release: Release, target: Path, packages: Sequence[str] = ()) -> None:
    """Write the file system of a minimal OS with Python and `packages` to `target`, as a tar.

    InfrastructureError: mmdebstrap is not there, or fails (its last lines say why).
    """
    if shutil.which("mmdebstrap") is None:
        raise InfrastructureError(
            "mmdebstrap is not installed; it makes the OS image of a base where none can be pulled",
            "run: apt-get install mmdebstrap",
        )
    done = subprocess.run(
        command(release, target, packages),
        env=bootstrap_environment(os.environ),
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:", "Err:"))]
        raise InfrastructureError(
            f"mmdebstrap {release.codename} failed: {' '.join(lines[-3:]) or done.stderr[-500:].strip()}",
            "check the network and apt: apt-get update must work; mmdebstrap wants root or user namespaces,"
            f" and the archive's keys: apt-get install {_KEYRINGS[release.distribution]}",
        )


def command(release: Release, target: Path, packages: Sequence[str] = ()) -> list[str]:
    included = ",".join([*PACKAGES, *packages])
    words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={included}"]
    words += [f"--components={_COMPONENTS[release.distribution]}", '--aptopt=Acquire::Languages "none"']
    words += [f"--dpkgopt=path-exclude=/usr/share/{pattern}" for pattern in _LEFT_OUT]
    words += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    return [*words, _FSTAB, release.codename, str(target)]


def bootstrap_environment(host: Mapping[str, str]) -> dict[str, str]:
    """The host's, for its proxies and certificates; what would change the bytes is fixed."""
    return {**host, "SOURCE_DATE_EPOCH": str(MTIME), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
