"""No committed file names a registry's host, nor a path of the machine that it was written on.

Where packages and images come from is a setting of the box (pip's, apt's, the engine's own), so that
mirrors and machines without a network work. One line is free to name one: PyTorch's own index, which has the
CPU builds that no package index has. The names below are put together from pieces: this file is searched too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent


def host(*labels: str) -> str:
    """The host itself or any below it, not a longer word that ends so."""
    return r"(?<![\w-])" + re.escape(".".join(labels)) + r"(?![\w-])"


# `docker.io` alone is the name of Debian's package, and `debian` is not a host.
HOSTS = (
    host("pypi", "org"),
    host("pypi", "python", "org"),
    host("pythonhosted", "org"),
    host("npmjs", "org"),
    host("npmjs", "com"),
    host("registry", "yarnpkg", "com"),
    host("debian", "org"),
    host("ubuntu", "com"),
    host("pytorch", "org"),
    host("anaconda", "org"),
    host("conda", "io"),
    host("golang", "org"),
    host("crates", "io"),
    host("quay", "io"),
    host("ghcr", "io"),
    host("gcr", "io"),
    host("nvcr", "io"),
    host("docker", "com"),
    r"[\w-]+\." + host("docker", "io").removeprefix(r"(?<![\w-])"),
    # The engine's own long spelling of a name without a host begins so; a name after it would be a reference.
    re.escape("docker" + ".io/") + r"(?!library(?![\w/]))",
    r"https?://" + host("docker", "io").removeprefix(r"(?<![\w-])"),
    host("huggingface", "co"),
)
PATHS = tuple(
    r"(?<![\w.])" + re.escape("/" + "/".join(parts)) + r"(?![\w-])"
    for parts in (
        ("work", "main"),
        ("work", "shared"),
        ("work", "." + "library"),
        ("tmp", "lab"),
        ("root", ".pyenv"),
    )
)
# Once, in images/bases.toml.
FREE = b'wheel_index = "https://download.py' + b'torch.org/whl/cpu"\n'
FORBIDDEN = re.compile("|".join((*HOSTS, *PATHS)).encode(), re.IGNORECASE)


def committed() -> list[Path]:
    """Tracked files, and untracked ones that git does not ignore: what the next commit may hold."""
    if shutil.which("git") is None or not (REPO / ".git").exists():
        pytest.fail("this test asks git which files are committed: run it in a clone, with git installed")
    listing = subprocess.run(
        ["git", "-C", str(REPO), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
    )
    names = listing.stdout.decode("utf-8", "surrogateescape").split("\0")
    return [path for name in sorted(set(filter(None, names))) if (path := REPO / name).is_file()]


def findings(data: bytes) -> list[str]:
    """`LINE: what was found`."""
    found = []
    for match in FORBIDDEN.finditer(data):
        line = data.count(b"\n", 0, match.start()) + 1
        found.append(f"{line}: {match[0].decode(errors='replace')}")
    return found


def test_no_committed_file_names_a_registry_or_this_machine():
    files = committed()
    assert Path(__file__).resolve() in files, "the list of files is not that of this repository"
    texts = {path.relative_to(REPO).as_posix(): path.read_bytes() for path in files}
    assert texts["images/bases.toml"].count(FREE) == 1
    texts["images/bases.toml"] = texts["images/bases.toml"].replace(FREE, b"")
    found = [f"{path}:{text}" for path, data in texts.items() for text in findings(data)]
    assert found == [], "name no host: " + "; ".join(found[:20])


@pytest.mark.parametrize(
    ("pieces", "caught"),
    [
        (("https://py", "pi.org/simple"), True),
        (("files.python", "hosted.org"), True),
        (("download.py", "torch.org/whl"), True),
        (("http://deb.deb", "ian.org/deb", "ian"), True),
        (("registry-1.dock", "er.io"), True),
        (("dock", "er.io/library/deb", "ian"), True),
        (("https://dock", "er.io"), True),
        (("REGISTRY.NPM", "JS.ORG"), True),
        (("see /wo", "rk/shared/DESIGN.md"), True),
        (("/tmp/", "lab/v/bin/python"), True),
        (("apt-get install dock", "er.io python3"), False),
        (("dock", "er.io/nvidia/cuda"), True),
        (('NAME = "dock', 'er.io/library"'), False),
        (("the package `dock", "er.io`."), False),
        (("docker.im", "port"), False),
        (("/wo", "rkspace/main"), False),
        (("nvidia/cuda@sha256:00",), False),
        (("https://example", ".org"), False),
    ],
)
def test_what_is_a_host_and_what_is_not(pieces, caught):
    assert bool(findings("".join(pieces).encode())) is caught
