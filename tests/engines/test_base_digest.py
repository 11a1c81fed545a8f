"""One base digest from one OS tar and one lock: on every engine, by the classic builder and by BuildKit."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import pytest

from orchestrator.digest import Digest
from orchestrator.errors import EngineError
from orchestrator.image.base.resolve_base import resolve_base
from orchestrator.image.image_layout import ImageLayout
from orchestrator.launch.bases import base_layers
from orchestrator.launch.bases.manage_bases import build_base
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.settings import Settings, load

REPO = Path(__file__).resolve().parents[2]
SMALL = ("filelock", "typing_extensions")  # of the shared base's own wheels
TABLE = '[cpu]\nos_image = "bootstrap"\nrelease = "debian/bookworm"\nrequirements = "cpu/requirements.txt"\n'


Digests = dict[Digest, list[tuple[str, str]]]  # a base's digest: the engines and builders that made it


@pytest.fixture(scope="session")
def digests() -> Digests:
    return {}


@pytest.fixture
def session(
    engine_name: str, shared_base: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Session]:
    """An empty home whose `cpu` is small, over the OS of the shared base."""
    recipes = tmp_path / "recipes"
    (recipes / "cpu").mkdir(parents=True)
    with (recipes / "cpu" / "requirements.txt").open("w") as lock:
        for name in SMALL:
            (wheel,) = shared_base.wheels.glob(f"*/{name}-*.whl")
            lock.write(f"{name}=={wheel.name.split('-')[1]} --hash=sha256:{wheel.parent.name}\n")
    (recipes / "bases.toml").write_text(TABLE)
    shutil.copy(REPO / "Dockerfile.base", recipes / "Dockerfile.base")
    settings = load({"REPRISE_HOME": str(tmp_path / "home"), "REPRISE_IMAGES": str(recipes)})
    settings.home.mkdir()
    settings.wheels.symlink_to(shared_base.wheels)
    root = ImageLayout(shared_base.layout).path(resolve_base(shared_base, "cpu").layers[0].digest)
    monkeypatch.setattr(base_layers, "bootstrap", lambda release, target, packages: shutil.copy(root, target))
    session = Session(settings)
    yield session
    session.close()


def buildx() -> str:
    """Docker's client of BuildKit: this machine's, else that of the engines' own roots."""
    found = shutil.which("docker-buildx", path=f"/usr/libexec/docker/cli-plugins:{os.environ['PATH']}")
    roots = Path(os.environ.get("REPRISE_ENGINES", "/nowhere"))
    there = sorted(roots.glob("root-*/usr/libexec/docker/cli-plugins/docker-buildx"))
    if found is None and not there:
        pytest.fail("docker-buildx is not here: `make engines` brings it with the newer engines")
    return found or str(there[0])


def by_buildkit(
    context: IO[bytes], arguments: Mapping[str, str], tag: str, no_cache: bool, target: str
) -> Iterator[str]:
    """As `Engine.build`; the engine's BuildKit, in the driver that builds into its own store."""
    words = [buildx(), "build", "--builder=default", "--load", "--progress=plain", "--provenance=false"]
    words += ["--no-cache"] * no_cache + [f"--build-arg={name}={value}" for name, value in arguments.items()]
    with TemporaryDirectory() as folder, tarfile.open(fileobj=context) as archive:
        archive.extractall(folder, filter="data")  # it does not take a tar in this form from its input
        words += [f"--tag={tag}", f"--target={target}", folder]
        done = subprocess.run(words, capture_output=True, check=False)
    said = done.stderr.decode(errors="replace")
    if done.returncode:
        raise EngineError(said)
    yield from said.splitlines()


@pytest.mark.engine
@pytest.mark.parametrize("builder", ["classic", "BuildKit"])
def test_a_base_has_one_digest(
    engine_name: str, builder: str, session: Session, digests: Digests, monkeypatch: pytest.MonkeyPatch
) -> None:
    if builder == "BuildKit" and engine_name.startswith("podman"):
        pytest.skip("did not run: Podman has a builder of its own, and no BuildKit")
    build = by_buildkit if builder == "BuildKit" else session.engine.build
    said: list[str] = []

    def watched(*words: Any, **more: Any) -> Iterator[str]:
        for line in build(*words, **more):
            said.append(line)
            yield line

    monkeypatch.setattr(session.engine, "build", watched)
    began = time.monotonic()
    base = build_base(session, "cpu", Silent())
    print(f"{engine_name}, {builder}: {base.ref.digest}, {time.monotonic() - began:.0f} s")
    assert any(line.startswith("#1 ") for line in said) is (builder == "BuildKit"), "another builder made it"
    digests.setdefault(base.ref.digest, []).append((engine_name, builder))
    session.engine.remove_image(base.reference)
    assert len(digests) == 1, digests
