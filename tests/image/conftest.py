"""Parts to assemble images from: a tiny base, wheels, a source, a program."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.base_python import with_packages
from support.small_base import put_base

from orchestrator.digest import Digest
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Base, PythonFacts
from orchestrator.image.wheels.fetch_wheels import WheelFile, fetch_wheels
from orchestrator.settings import Settings
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import SourceFile, SourceTree

REPO = Path(__file__).resolve().parents[2]

MakeBase = Callable[..., Base]
MakeWheel = Callable[..., Path]


@pytest.fixture
def repo() -> Path:
    return REPO


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    return Settings(
        home=home,
        database_url=f"sqlite:///{home}/reprise.db",
        store=home / "store",
        recipes=recipes,
        dockerfile=recipes / "Dockerfile.base",
    )


@pytest.fixture
def fetch(settings: Settings, python: PythonFacts) -> Callable[..., tuple[WheelFile, ...]]:
    """`fetch_wheels` of a lock, and the address of an index for labelled builds, if there is one."""
    return lambda lock, *index: fetch_wheels(settings, lock, python, *index)


@pytest.fixture
def layout(settings: Settings) -> ImageLayout:
    return ImageLayout(settings.layout)


@pytest.fixture
def python() -> PythonFacts:
    return with_packages(torch="2.13.0+cpu", numpy="2.4.6")


@pytest.fixture
def program() -> Program:
    return Program(name="digits", command=("python", "train.py"), params={"lr": 0.1}, seed=7)


@pytest.fixture
def source() -> SourceTree:
    return SourceTree(files=(SourceFile(path="train.py", data=b"print('hello')\n"),))


@pytest.fixture
def make_base(layout: ImageLayout, python: PythonFacts) -> MakeBase:
    return partial(put_base, layout, python)


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """A wheel file with the given members; RECORD and metadata are written around them."""

    def make(
        name: str = "spam",
        version: str = "1.0",
        files: dict[str, bytes] | None = None,
        entry_points: str | None = None,
        tag: str = "py3-none-any",
        extra: list[tuple[zipfile.ZipInfo, bytes]] | None = None,
        folder: Path | None = None,
    ) -> Path:
        information = f"{name}-{version}.dist-info"
        members = dict(files if files is not None else {f"{name}/__init__.py": b"X = 1\n"})
        members[f"{information}/METADATA"] = (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        )
        members[f"{information}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
        if entry_points is not None:
            members[f"{information}/entry_points.txt"] = entry_points.encode()
        rows = []
        for path, data in members.items():
            encoded = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{path},sha256={encoded},{len(data)}\n")
        members[f"{information}/RECORD"] = "".join([*rows, f"{information}/RECORD,,\n"]).encode()
        target = (folder or tmp_path / "dist") / f"{name}-{version}-{tag}.whl"
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, data in members.items():
                archive.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED)
            for info, data in extra or []:
                archive.writestr(info, data)
        return target

    return make


@pytest.fixture
def wheel_file() -> Callable[[Path], WheelFile]:
    def made(path: Path) -> WheelFile:
        return WheelFile(filename=path.name, digest=Digest.of_file(path), size=path.stat().st_size, path=path)

    return made
