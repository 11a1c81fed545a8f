"""What the benchmarks work on: a home with the cpu base in it, sources, images that are removed."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rounds import environ, run

from orchestrator.digest import Digest
from orchestrator.image.base.base_pins import BasePin, list_pins
from orchestrator.image.image_model import REPOSITORY
from orchestrator.settings import Settings, load

REPRISE = str(Path(sys.executable).with_name("reprise"))
EDITED = "pkg/m07.py"
_numbers = itertools.count(1)


@dataclass
class Scratch:
    """A temporary folder with a home in it; images in `images` are removed with it."""

    folder: Path
    settings: Settings
    base: BasePin
    images: set[str] = field(default_factory=set)

    @property
    def env(self) -> dict[str, str]:
        return environ(REPRISE_HOME=str(self.settings.home))

    def reprise(self, *words: str) -> str:
        return run([REPRISE, *words], self.env)

    def remove_later(self, image: Digest) -> str:
        """Have the image removed at the end; its name in the engine."""
        name = f"{REPOSITORY}:{image.hex}"
        self.images.add(name)
        return name

    def build(self, spec: Path, *words: str) -> Digest:
        return Digest(self.reprise("build", "--quiet", str(spec), *words).split()[-1])

    def ok_job(self, name: str) -> Path:
        """A job file whose job prints `ok`."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "ok.py").write_text("print('ok')\n")
        (folder / "job.yaml").write_text("name: ok\nbase: cpu\ncommand: [python3, ok.py]\n")
        return folder / "job.yaml"

    def submit_ok(self, spec: Path, *words: str, **environ: str) -> None:
        out = run([REPRISE, "submit", str(spec), *words], {**self.env, **environ})
        if "ok" not in out.split("\n"):
            raise RuntimeError(f"the job's line is not in the output:\n{out}")


@contextmanager
def scratch() -> Iterator[Scratch]:
    """Beside the home in use, because the base comes from there by hard links."""
    mine = load()
    pin = next((pin for pin in list_pins(mine) if pin.name == "cpu"), None)
    if pin is None:
        sys.exit("no cpu base is pinned here: `make base`, or set REPRISE_HOME to a home that has one")
    folder = Path(tempfile.mkdtemp(prefix=".reprise-bench-", dir=mine.home.parent))
    try:
        settings = load({"REPRISE_HOME": str(folder / "home")})
        _link_base(mine.layout / "blobs" / "sha256", settings.layout / "blobs" / "sha256", pin.digest)
        settings.pins.write_bytes(mine.pins.read_bytes())
        room = Scratch(folder, settings, pin)
        try:
            yield room
        finally:
            for image in room.images:
                with suppress(RuntimeError):  # gone already: two names of one image
                    run(["docker", "image", "rm", "--force", image])
    finally:
        shutil.rmtree(folder)


def _link_base(there: Path, here: Path, digest: Digest) -> None:
    manifest = json.loads((there / digest.hex).read_bytes())
    here.mkdir(parents=True)
    for part in ({"digest": digest}, manifest["config"], *manifest["layers"]):
        blob = Digest(part["digest"]).hex
        (here / blob).hardlink_to(there / blob)


def source(folder: Path, files: int) -> Path:
    """A job of `files` modules, about 3 kB each, and a program that prints a line of one of them."""
    package = folder / "pkg"
    package.mkdir(parents=True)
    body = "\n".join(f"def f{number}(x):\n    return x * {number} + 1\n" for number in range(80))
    for number in range(files):
        (package / f"m{number:02}.py").write_text(f"V = 0\n# module {number}\n{body}")
    (folder / "main.py").write_text("from pkg.m07 import V\n\nprint('v', V)\n")
    (folder / "job.yaml").write_text("name: bench\nbase: cpu\ncommand: python main.py\nparams:\n  x: 0\n")
    return folder


def edit(folder: Path) -> int:
    """Change one line of one file; the number that the program prints from now on."""
    number = next(_numbers)
    path = folder / EDITED
    path.write_text(f"V = {number}\n" + path.read_text().split("\n", 1)[1])
    return number


def check(image: str, python: str, program: str, number: int) -> None:
    """Raise unless the image runs the line that was changed."""
    out = run(["docker", "run", "--rm", "--entrypoint", python, image, program])
    if f"v {number}" not in out.split("\n"):
        raise RuntimeError(f"{image} does not run the changed line: {out!r}, not v {number}")


def find_buildkit(folder: Path) -> tuple[str, str] | None:
    """A docker CLI that can build by BuildKit (path, version), found by trying those on the PATH."""
    (folder / "Dockerfile").write_text("FROM scratch\nLABEL reprise.bench=1\n")
    paths = environ()["PATH"].split(":")
    for cli in filter(None, (shutil.which("docker", path=path) for path in paths)):
        with suppress(RuntimeError):
            image = run([cli, "build", "-q", str(folder)], environ(DOCKER_BUILDKIT="1")).split()[-1]
            run(["docker", "image", "rm", image])
            return cli, run([cli, "--version"]).split()[2].rstrip(",")
    return None


def builder(cli: str, buildkit: bool, room: Scratch, folder: Path) -> Callable[[], str]:
    """`docker build` of the folder over the same base; the image's ID."""
    (folder / "Dockerfile").write_text(f"FROM {room.base.reference}\nCOPY . /src\n")
    env = environ(DOCKER_BUILDKIT="1" if buildkit else "0")

    def build() -> str:
        image = run([cli, "build", "-q", str(folder)], env).split()[-1]
        room.images.add(image)
        return image

    return build
