"""What tests with an engine share: a base that is made and carried in a moment."""

from __future__ import annotations

import fnmatch
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import SMALL_IMAGE, Box, make_box
from support.services import (
    PostgresServer,
    RegistryServer,
    SecondEngine,
    engine_server,
    registry_server,
)
from support.team import Team, team_of

from orchestrator.durable import locked
from orchestrator.image.base.base_pins import list_pins
from orchestrator.launch.session import Session
from orchestrator.settings import Settings, load

# Of an operating system, what no test asks for.
LEFT_OUT = (
    "usr/bin/perl*",
    "usr/lib/*/libperl*",
    "usr/lib/*/perl*/*",
    "usr/share/perl/*",
    "usr/lib/apt/*",
    "usr/lib/*/libapt-*",
    "usr/lib/*/gconv/*",
    "usr/lib/python3*/lib2to3/*",
    "usr/lib/python3*/pydoc_data/*",
    "usr/lib/python3*/test/*",
    "usr/share/doc/*",
    "usr/share/zoneinfo/right/*",
)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder for what takes long to make: all processes of these tests share it."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "made-once"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def os_archive(made_once: Path, shared_base: Settings) -> Path:
    """The cpu base's operating system as a tar of 0.1 GB, without PyTorch and what else no test asks for."""
    made = made_once / "root.tar"
    with locked(made_once):
        if not made.exists():
            part = made.with_suffix(".part")
            _write_os(shared_base, part)
            part.rename(made)
    return made


def _write_os(shared_base: Settings, path: Path) -> None:
    blobs = shared_base.layout / "blobs" / "sha256"
    (pin,) = [one for one in list_pins(shared_base) if one.name == "cpu"]
    layer = json.loads((blobs / pin.digest.hex).read_bytes())["layers"][0]["digest"]
    with tarfile.open(blobs / layer.removeprefix("sha256:")) as whole, tarfile.open(path, "w") as part:
        for entry in whole:
            if not any(fnmatch.fnmatch(entry.name, pattern) for pattern in LEFT_OUT):
                part.addfile(entry, whole.extractfile(entry) if entry.isreg() else None)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, made_once: Path, os_archive: Path) -> Box:
    """A box with a base `os` of 0.1 GB: an operating system with its own Python."""
    first = Box(load({"REPRISE_HOME": str(made_once / "home")}))
    with locked(made_once):
        if not first.settings.pins.exists():
            imported = ["docker", "import", str(os_archive), SMALL_IMAGE]
            image = subprocess.run(imported, check=True, capture_output=True, text=True).stdout.split()[-1]
            pinned = first.type("base", "pin", "os", image)
            assert pinned.code == 0, pinned.err
    return make_box(tmp_path_factory.mktemp("small") / "here", first.settings)


@pytest.fixture
def team(
    tmp_path: Path, shared_base: Settings, team_registry: RegistryServer, postgres: PostgresServer
) -> Iterator[Team]:
    with team_of(tmp_path, shared_base, postgres.new_record(), team_registry) as made:
        yield made


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[SecondEngine, SecondEngine]]:
    """Two Docker Engines with nothing in them, each in a network namespace of its own."""
    with engine_server("alpha") as alpha, engine_server("beta") as beta:
        yield alpha, beta


@pytest.fixture(scope="module")
def hub() -> Iterator[RegistryServer]:
    """A registry with nothing in it."""
    with registry_server() as server:
        yield server


@pytest.fixture(scope="module")
def own_box(tmp_path_factory: pytest.TempPathFactory, shared_base: Settings) -> Box:
    """A box that the tests of one file share."""
    return make_box(tmp_path_factory.mktemp("own") / "home", shared_base)


@pytest.fixture(scope="module")
def session(own_box: Box) -> Iterator[Session]:
    with Session(own_box.settings) as opened:
        yield opened
