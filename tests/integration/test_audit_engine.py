"""Images that were changed where they lie: on the engine's disk, in a box's layout, in a registry."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.altered import flipped as flipped_byte
from support.box import Box, make_box, small_job
from support.records import new_run
from support.services import SecondEngine, engine_server, registry_server

from orchestrator.digest import Digest
from orchestrator.image.assembly.assemble import documents
from orchestrator.image.base.resolve_base import resolve_base
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import LABEL_PROGRAM
from orchestrator.image.stored_image import image_of, stored_image
from orchestrator.record.record import open_record
from orchestrator.settings import load

pytestmark = pytest.mark.engine

NO_ENGINE = "unix:///nowhere/docker.sock"
LARGE = 8 << 20  # bytes of a file that images share


def findings(box: Box, *parts: str, code: int = 6) -> set[tuple[str, str]]:
    """What is wrong, by kind and subject."""
    only = [word for part in parts for word in ("--only", part)]
    told = box.json("audit", *only, code=code)
    return {(one["kind"], one["subject"]) for one in told["findings"] if one["wrong"]}


def blob(box: Box, digest: str) -> Path:
    return box.settings.layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def manifest_of(box: Box, digest: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(blob(box, digest).read_bytes())
    return found


def replace(path: Path, data: bytes) -> None:
    """A new file: the old one may have other names."""
    path.unlink()
    path.write_bytes(data)


# The engine: one that nobody else uses


@pytest.fixture(scope="module")
def second() -> Iterator[SecondEngine]:
    with engine_server("audit") as engine:
        yield engine


def docker(engine: SecondEngine, *words: str, given: bytes | None = None) -> bytes:
    command = ["docker", "-H", engine.host, *words]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def put_image(engine: SecondEngine, box: Box, text: str) -> str:
    """A small image with our label in the engine, and a run of it in the record: its digest."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in (("main.py", text.encode()), ("large", bytes(LARGE))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    digest = Digest.of(text.encode())
    words = ("import", "--change", f"LABEL {LABEL_PROGRAM}={{}}", "-", f"reprise:{digest.hex}")
    config = Digest(docker(engine, *words, given=data.getvalue()).decode().strip())
    new = new_run().model_copy(update={"image": digest, "config_digest": config})
    with open_record(box.settings) as record:
        record.submit(new)
    return digest


@pytest.fixture
def engine_box(tmp_path: Path, second: SecondEngine) -> Box:
    return Box(load({"REPRISE_HOME": str(tmp_path / "home")}), {"DOCKER_HOST": second.host})


def test_a_layer_that_was_edited_on_the_engines_disk_is_named(engine_box: Box, second: SecondEngine) -> None:
    altered, whole = (
        put_image(second, engine_box, f"print({text!r})") for text in ("looked for", "as it was")
    )
    assert findings(engine_box, "engine", code=0) == set()
    data = second.folder / "data"
    (path,) = [
        one for one in data.rglob("main.py") if "diff" in one.parts and "looked for" in one.read_text()
    ]
    # Of the same length: nothing but the bytes tells it.
    path.write_text(path.read_text().replace("looked for", "not here :"))
    container = docker(second, "create", f"reprise:{altered[7:]}", "x").decode().strip()
    there = docker(second, "cp", f"{container}:/main.py", "-")
    docker(second, "rm", container)
    assert b"not here :" in there, "the engine itself sees nothing: this is what it would run"
    assert findings(engine_box, "engine") == {("engine's image altered", f"image {altered}")}

    # A file that is gone, and another image under its name.
    path.unlink()
    assert findings(engine_box, "engine") == {("engine's image altered", f"image {altered}")}
    docker(second, "rmi", "--force", f"reprise:{altered[7:]}")
    docker(second, "tag", f"reprise:{whole[7:]}", f"reprise:{altered[7:]}")
    assert findings(engine_box, "engine") == {("engine's image altered", f"image {altered}")}
    # One that does not say that it is ours. What another record's images are is not this record's to tell.
    docker(second, "import", "-", f"reprise:{altered[7:]}", given=bytes(10240))
    assert findings(engine_box, "engine") == {("engine's image altered", f"image {altered}")}
    another = Box(load({"REPRISE_HOME": str(engine_box.settings.home / "another")}), engine_box.variables)
    assert findings(another, "engine", code=0) == set()


def test_many_images_are_exported_at_about_the_cost_of_one(engine_box: Box, second: SecondEngine) -> None:
    from orchestrator.run.engine.engine import Engine

    one = put_image(second, engine_box, "print('shared')")
    container = docker(second, "create", f"reprise:{one[7:]}", "x").decode().strip()
    tags = [f"reprise:{one[7:]}"]
    for number in range(5):
        tags.append(f"reprise:{Digest.of(str(number).encode()).hex}")
        docker(second, "commit", "--change", f"LABEL number={number}", container, tags[-1])
    docker(second, "rm", container)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", second.host)
        engine = Engine.connect()
    alone, together = (sum(map(len, engine.save_all(some))) for some in (tags[:1], tags))
    engine.close()
    assert LARGE < alone < together < 1.2 * alone
    docker(second, "rmi", "--force", *tags)


# The box's layout


@pytest.fixture
def box(small: Box, tmp_path: Path) -> Box:
    return make_box(tmp_path / "home", small.settings)


def test_what_was_changed_in_the_boxs_layout_is_named(box: Box, tmp_path: Path) -> None:
    """One audit of everything: it hashes the base, too."""
    images = []
    for number in range(4):
        spec = small_job(tmp_path / f"job{number}", f"print({number})", "params: {lr: 0.1}")
        images.append(Digest(box.json("build", str(spec))["digest"]))
    flipped, swapped, configured, lying = images
    forged = claim_another_parameter(box, lying)
    with open_record(box.settings) as record:
        for digest in (flipped, swapped, configured, forged):
            record.submit(run_of(box, digest))
    without = Box(box.settings, {"DOCKER_HOST": NO_ENGINE})
    sound = findings(without, "images")
    assert sound == {("image is not what it claims", f"image {forged}")}

    source = manifest_of(box, flipped)["layers"][-1]["digest"]
    data = blob(box, source).read_bytes()
    replace(blob(box, source), flipped_byte(data, len(data) // 2))
    config = manifest_of(box, configured)["config"]["digest"]
    replace(blob(box, config), blob(box, manifest_of(box, swapped)["config"]["digest"]).read_bytes())
    replace(blob(box, swapped), blob(box, flipped).read_bytes())
    found = findings(without, "images", "rows")
    assert found - sound == {("layer altered", f"blob {digest}") for digest in (source, config, swapped)}


def run_of(box: Box, digest: Digest) -> Any:
    """A queued run of an image in the layout, as `submit` records it; what it claims is not looked at."""
    from orchestrator.launch.submit.rerun_target import facts_of

    layout = ImageLayout(box.settings.layout)
    manifest = layout.read(digest)
    image = image_of(layout, manifest, layout.read(Digest(json.loads(manifest)["config"]["digest"])))
    return new_run(image=facts_of(image), program=image.program)


def claim_another_parameter(box: Box, digest: Digest) -> Digest:
    """Assembled by hand: the label claims what the settings do not run, and every digest is right."""
    layout = ImageLayout(box.settings.layout)
    image = stored_image(box.settings, digest)
    assert image is not None
    base = resolve_base(box.settings, f"any@{image.base.digest}")
    lying = image.program.model_copy(update={"params": {"lr": 0.001}})
    base = base.model_copy(update={"ref": image.base})
    claimed = json.loads(documents(base, lying, image.packages, image.layers)[0])
    real = json.loads(image.config)
    assert real["config"] != claimed["config"]
    real["config"]["Labels"] = claimed["config"]["Labels"]
    config = json.dumps(real).encode()
    manifest = manifest_of(box, digest)
    manifest["config"] |= {"digest": layout.put_bytes(config), "size": len(config)}
    return layout.put_bytes(json.dumps(manifest).encode())


# A registry


def test_what_was_changed_in_the_registry_is_named(tmp_path: Path, small: Box) -> None:
    with registry_server() as hub:
        box = make_box(tmp_path / "home", small.settings, REPRISE_REGISTRY=hub.place("audit/reprise"))
        images = []
        for number in range(4):
            spec = small_job(tmp_path / f"job{number}", f"print({number})")
            images.append(Digest(box.json("build", "--push", str(spec))["digest"]))
        with open_record(box.settings) as record:
            for digest in images:
                record.submit(run_of(box, digest))
        assert findings(box, "registry", code=0) == set()
        flipped, swapped, gone, whole = images
        hub.flip(manifest_of(box, flipped)["layers"][-1]["digest"])
        hub.blob(swapped).write_bytes(hub.blob(whole).read_bytes())
        shutil.rmtree(hub.blob(gone).parent)
        assert findings(box, "registry") == {
            ("registry's image altered", f"image {flipped}"),
            ("registry's image altered", f"image {swapped}"),
            ("registry's image missing", f"image {gone}"),
        }
