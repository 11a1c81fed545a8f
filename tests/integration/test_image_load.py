"""Assembled images in a real engine: loaded thin and full, verified, run."""

from __future__ import annotations

import contextlib
import gzip
import io
import secrets
import struct
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound
from support.base_python import PYTHON
from support.services import registry_server

from orchestrator.digest import Digest, canonical_json
from orchestrator.image.assembly.assemble import assemble, manifest_of
from orchestrator.image.assembly.load_archive import full_archive, thin_archive
from orchestrator.image.base.make_base import base_from_parts
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import MEDIA_LAYER, Base, Image, Layer, LayerKind
from orchestrator.image.registry.push import push
from orchestrator.image.registry.registry_client import Client
from orchestrator.image.registry.repository import read_place
from orchestrator.settings import Settings
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import SourceFile, SourceTree

pytestmark = pytest.mark.engine

# open, read, write, exit: prints the job's source and ignores its arguments. A base of one such file needs
# no Python and no network, and still runs as the image's entry point.
PRINTER = bytes.fromhex(
    "b802000000 488d3d00000000 31f6 31d2 0f05 89c7 31c0 4881ec00100000 4889e6 ba00100000 0f05"
    "89c2 b801000000 bf01000000 0f05 b83c000000 31ff 0f05"
)
PRINTED = b"/opt/reprise/source/train.py\0"
INTERPRETER = "/bin/printer"


def executable() -> bytes:
    code = PRINTER[:8] + struct.pack("<i", len(PRINTER) - 12) + PRINTER[12:] + PRINTED
    size = 64 + 56 + len(code)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return identity + header + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 4096) + code


def base_layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("bin", "opt"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info)
        for name, data in (("bin/printer", executable()), ("nonce", secrets.token_bytes(16))):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Lab:
    """An engine, and a base in it that no other test has."""

    def __init__(self, client: Any, settings: Settings, packed: bool) -> None:
        self.client = client
        self.settings = settings
        self.layout = ImageLayout(settings.layout)
        self.name = f"lab-image-{secrets.token_hex(4)}:base"
        layer = base_layer()
        self.base = self._base(layer, gzip.compress(layer) if packed else layer)
        self.client.api.import_image_from_data(layer, *self.name.split(":"))
        self.tags = [self.name]

    def _base(self, layer: bytes, blob: bytes) -> Base:
        digest = self.layout.put_bytes(blob)
        media = MEDIA_LAYER if blob == layer else f"{MEDIA_LAYER}+gzip"
        config = canonical_json(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": [Digest.of(layer)]},
            }
        )
        size, kind = len(blob), LayerKind.BASE
        held = Layer(kind=kind, digest=digest, diff_id=Digest.of(layer), size=size, media_type=media)
        manifest = manifest_of(config, (held,))
        python = PYTHON.model_copy(update={"executable": INTERPRETER})
        return base_from_parts("tiny", self.name, manifest, config, None, python)

    def build(self, text: bytes) -> Image:
        source = SourceTree(files=(SourceFile(path="train.py", data=text),))
        image = assemble(self.settings, self.base, Program(name="tiny", command=("x",)), source)
        self.tags.append(image.tag)
        return image

    def load(self, archive: Iterable[bytes]) -> list[str]:
        """Load; the errors that the engine put into its answer."""
        lines = list(self.client.api.load_image(archive))
        return [line["error"] for line in lines if "error" in line]

    def run(self, image: Image) -> bytes:
        output: bytes = self.client.containers.run(
            image.tag, remove=True, network_mode="none", read_only=True
        )
        return output

    def forget(self) -> None:
        for tag in self.tags:
            with contextlib.suppress(ImageNotFound):
                self.client.images.remove(tag, force=True)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    try:
        made = docker.from_env(version="auto")
        made.ping()
    except docker.errors.DockerException as error:
        pytest.fail(f"no container engine answers ({error}); make test starts one")
    yield made
    made.close()


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def lab(client: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    settings = Settings(
        home=tmp_path, database_url="", store=tmp_path / "store", recipes=tmp_path, dockerfile=tmp_path / "x"
    )
    made = Lab(client, settings, request.param)
    yield made
    made.forget()


def check(lab: Lab, image: Image) -> None:
    """The engine has exactly this image: overlay2 names it by its config, containerd by its manifest."""
    found = lab.client.api.inspect_image(image.tag)
    assert found["Id"] in (image.config_digest, image.digest)
    assert found["RootFS"]["Layers"] == [layer.diff_id for layer in image.layers]


def test_a_thin_load_gives_the_image_and_a_same_size_edit_is_seen(lab: Lab) -> None:
    first = lab.build(b"print(1)\n")
    assert lab.load(thin_archive(first)) == []
    check(lab, first)
    assert lab.run(first) == b"print(1)\n"
    second = lab.build(b"print(2)\n")
    held = len(second.layers) - 1  # the engine has all but the source by now
    assert lab.load(thin_archive(second, held=held)) == []
    check(lab, second)
    assert lab.run(second) == b"print(2)\n"
    assert lab.run(first) == b"print(1)\n"


def test_without_the_base_a_thin_load_fails_and_a_full_one_works(lab: Lab) -> None:
    image = lab.build(b"print(3)\n")
    lab.client.images.remove(lab.name)
    errors = lab.load(thin_archive(image))
    try:
        check(lab, image)
    except (ImageNotFound, AssertionError):
        pass
    else:
        pytest.fail(f"the image is there without its base; the engine said {errors}")
    assert lab.load(full_archive(lab.settings, image)) == []
    check(lab, image)
    assert lab.run(image) == b"print(3)\n"


def test_folders_of_the_job_have_the_modes_they_were_given(lab: Lab) -> None:
    image = lab.build(b"x")
    assert lab.load(thin_archive(image)) == []
    container = lab.client.containers.create(image.tag)
    try:
        stream, _ = container.get_archive("/workspace")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            assert archive.getmember("workspace").mode & 0o777 == 0o777
        stream, _ = container.get_archive("/opt/reprise")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            assert {info.mtime for info in archive.getmembers()} == {315619200}
            assert {(info.uid, info.gid) for info in archive.getmembers()} == {(0, 0)}
    finally:
        container.remove()


def test_docker_itself_pulls_and_runs_what_was_pushed(lab: Lab) -> None:
    image = lab.build(b"print(4)\n")
    with registry_server() as server, Client(read_place(server.place("lab/images"))) as registry:
        push(registry, image.manifest, image.config, image.layers, lambda one: lab.layout.path(one.digest))
        name = f"{server.host}/lab/images@{image.digest}"
        lab.client.images.remove(lab.name)
        lab.client.api.pull(f"{server.host}/lab/images", tag=image.digest)
    try:
        found = lab.client.api.inspect_image(name)
        assert found["Id"] in (image.config_digest, image.digest)
        assert lab.client.containers.run(name, remove=True, network_mode="none") == b"print(4)\n"
    finally:
        lab.client.images.remove(name, force=True)
