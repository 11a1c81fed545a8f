"""Assembles one fixed image and prints its digests as JSON. Run by test_golden.py under many interpreters
and surroundings; needs only orchestrator, pydantic and installer. Argument: an empty folder."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

from orchestrator.digest import Digest, canonical_json
from orchestrator.image import determinism_settings
from orchestrator.image.assembly.assemble import assemble
from orchestrator.image.base.make_base import base_from_parts
from orchestrator.image.image_model import MEDIA_CONFIG, MEDIA_LAYER, MEDIA_MANIFEST, Base, Image, PythonFacts
from orchestrator.image.wheels import wheel_layering
from orchestrator.image.wheels.fetch_wheels import WheelFile
from orchestrator.settings import Settings
from orchestrator.spec.jobfile.job_spec import Determinism, Level
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import SourceFile, SourceTree

FACTS = PythonFacts(
    executable="/opt/python/bin/python",
    version="3.11.2",
    purelib="/opt/python/lib/python3.11/site-packages",
    glibc="2.36",
    machine="x86_64",
    packages={"numpy": "2.4.6"},
)


def fixed_base() -> Base:
    layer = Digest.of(b"a layer")
    config = canonical_json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin", "LANG=C.UTF-8"]},
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        }
    )
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_MANIFEST,
            "config": {"mediaType": MEDIA_CONFIG, "digest": Digest.of(config), "size": len(config)},
            "layers": [{"mediaType": MEDIA_LAYER, "digest": layer, "size": 7}],
        }
    )
    return base_from_parts("cpu", "lab/base:1", manifest, config, None, FACTS)


def wheel(folder: Path, name: str, size: int) -> WheelFile:
    information = f"{name}-1.0.dist-info"
    members = {
        f"{name}/__init__.py": b"X = 1\n",
        f"{name}/donn\u00e9es.bin": bytes(range(256)) * size,
        f"{name}/" + "deep/" * 30 + "x.py": b"",
        f"{name}-1.0.data/scripts/tool": b"#!python\nprint(1)\n",
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{information}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n".encode(),
        f"{information}/RECORD": b"",
    }
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member.replace("scripts/tool", f"scripts/{name}-tool")), data)
    return WheelFile(filename=path.name, digest=Digest.of_file(path), size=path.stat().st_size, path=path)


def source() -> SourceTree:
    files = [
        SourceFile(path="train.py", data=b"print('hello')\n"),
        SourceFile(path="run.sh", data=b"#!/bin/sh\n", executable=True),
        SourceFile(path="lib/link", data=b"../train.py", symlink=True),
        SourceFile(path="lib-a/x", data=b"x"),
        SourceFile(path="donn\u00e9es/\U0001f600.txt", data=b"\xff\x00"),
        SourceFile(path="n" * 120, data=b"long"),
        *(SourceFile(path=f"pkg/{number}.py", data=b"%d" % number) for number in range(30)),
    ]
    return SourceTree(files=tuple(files))


def build(folder: Path, files: dict[str, bytes] | None) -> Image:
    settings = Settings(
        home=folder / "home",
        database_url="",
        store=folder / "store",
        recipes=folder,
        dockerfile=folder / "Dockerfile.base",
    )
    program = Program(
        name="digits",
        command=("python", "train.py", "--lr", "0.001", "\u00e9t\u00e9 \u4f60"),
        params={"lr": 1e-3, "big": 1e22, "n": 3, "on": True, "what": "\u00e9"},
        env={"ZED": "1", "ALPHA": "2"},
        seed=7,
        inputs={"data": Digest.of(b"data")},
        determinism=Determinism(level=Level.WARN, threads=2),
    )
    wheels = tuple(wheel(folder, name, size) for name, size in (("one", 1), ("two", 40), ("three", 1)))
    return assemble(settings, fixed_base(), program, source(), wheels, files)


def stand_in() -> dict[str, bytes]:
    """So that the golden digest is not that of one payload."""
    return {name: f"# {name}\n".encode() for name in ("start.py", "entry.py", "part/more.py", "reprise.pth")}


def main() -> None:
    folder = Path(sys.argv[1])
    wheel_layering.LARGE = 9000
    (folder / "real").mkdir()
    real = build(folder / "real", None)
    determinism_settings.SETS[1] = lambda **asked: {
        "SETTINGS": canonical_json(asked | {"number": 1}).decode()
    }
    (folder / "fixed").mkdir()
    fixed = build(folder / "fixed", stand_in())
    print(
        json.dumps(
            {
                "digest": fixed.digest,
                "config": fixed.config_digest,
                "layers": {layer.title: layer.digest for layer in fixed.layers},
                "real": real.digest,
            }
        )
    )


main()
