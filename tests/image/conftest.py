"""Parts to assemble images from: a tiny base, wheels, a source, a program."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.base_python import with_packages

from orchestrator.digest import Digest, canonical_json
from orchestrator.image.base.make_base import base_from_parts
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import MEDIA_CONFIG, MEDIA_LAYER, MEDIA_MANIFEST, Base, PythonFacts
from orchestrator.image.wheels.fetch_wheels import WheelFile
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
    """A base of one small layer; `config` is merged into the config's `config`."""

    def make(name: str = "cpu", config: dict[str, Any] | None = None, **top: Any) -> Base:
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("etc/base"))
        digest = layout.put_bytes(layer.getvalue())
        described = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin:/bin", "BASE=1"], **(config or {})},
            "rootfs": {"type": "layers", "diff_ids": [digest]},
            **top,
        }
        config_bytes = canonical_json(described)
        config_digest = layout.put_bytes(config_bytes)
        size = len(layer.getvalue())
        manifest = canonical_json(
            {
                "schemaVersion": 2,
                "mediaType": MEDIA_MANIFEST,
                "config": {"mediaType": MEDIA_CONFIG, "digest": config_digest, "size": len(config_bytes)},
                "layers": [{"mediaType": MEDIA_LAYER, "digest": digest, "size": size}],
            }
        )
        layout.put_bytes(manifest)
        return base_from_parts(name, f"lab/{name}:1", manifest, config_bytes, None, python)

    return make


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


@pytest.fixture
def members() -> Callable[[Path], dict[str, tarfile.TarInfo]]:
    """A layer's entries by path."""

    def read(path: Path) -> dict[str, tarfile.TarInfo]:
        with tarfile.open(path) as archive:
            return {info.name: info for info in archive.getmembers()}

    return read


@pytest.fixture
def content() -> Callable[[Path, str], bytes]:
    """One file's bytes in a layer."""

    def read(path: Path, name: str) -> bytes:
        with tarfile.open(path) as archive:
            stream = archive.extractfile(name)
            assert stream is not None
            return stream.read()

    return read


@pytest.fixture
def config_of() -> Callable[[bytes], dict[str, Any]]:
    return lambda data: json.loads(data)["config"]
