"""Images and bases between a box and registries, without any engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.services import RegistryServer, registry_server

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import BaseNotPinnedError, RegistryError, StoreError, UsageError
from orchestrator.image.assembly.assemble import assemble
from orchestrator.image.base.base_pins import write_pin
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import MEDIA_MANIFEST, Base, Image
from orchestrator.image.registry import registry_client
from orchestrator.image.registry.push import push
from orchestrator.image.registry.registry_client import Client
from orchestrator.image.registry.repository import read_place
from orchestrator.image.stored_image import image_of, stored_image
from orchestrator.launch.move_images import base_here, fetch_base, pull_image, push_image, read_remote
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.settings import Settings
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import SourceTree

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def team() -> Iterator[RegistryServer]:
    with registry_server() as server:
        yield server


@pytest.fixture(scope="module")
def origin() -> Iterator[RegistryServer]:
    """Where bases come from."""
    with registry_server() as server:
        yield server


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_client, "FIRST_PATIENCE", 0.3)


@pytest.fixture
def image(settings: Settings, make_base: Any, program: Program, source: SourceTree) -> Image:
    """Over a base that no other test has."""
    base: Base = make_base("cpu", {"Labels": {"nonce": str(settings.home)}})
    write_pin(settings.pins, "cpu", base)
    return assemble(settings, base, program, source)


def at(settings: Settings, server: RegistryServer, name: str = "team/reprise") -> Session:
    return Session(replace(settings, registry=server.place(name)))


def elsewhere(settings: Settings, folder: Path) -> Settings:
    """Another box's home, with the same pins and nothing else."""
    made = replace(settings, home=folder)
    folder.mkdir()
    if settings.pins.exists():
        made.pins.write_bytes(settings.pins.read_bytes())
    return made


def thin(settings: Settings, image: Image, server: RegistryServer) -> None:
    """As if the base had been pinned from a registry: its layer is there and not here."""
    layout = ImageLayout(settings.layout)
    layer = image.layers[0]
    manifest, config = layout.read(image.base.digest), layout.read(image.base.config_digest)
    with Client(read_place(server.place("public/base"))) as client:
        push(client, manifest, config, (layer,), lambda one: layout.path(one.digest))
    text = settings.pins.read_text()
    reference = json.dumps(f"{server.host}/public/base@{image.base.digest}")
    lines = [f'"reference" = {reference}' if "reference" in line else line for line in text.splitlines()]
    settings.pins.write_text("\n".join(lines) + "\n")
    layout.path(layer.digest).unlink()


def test_an_image_is_pushed_and_pulled_with_what_is_its_own(
    settings: Settings, image: Image, team: RegistryServer, tmp_path: Path
) -> None:
    pushed = push_image(at(settings, team), image, Silent())
    assert pushed.sent > sum(layer.size for layer in image.layers)
    assert push_image(at(settings, team), image, Silent()).sent == 0
    far = at(elsewhere(settings, tmp_path / "far"), team)
    pulled = pull_image(far, image.digest, Silent())
    assert (pulled.digest, pulled.manifest, pulled.config) == (image.digest, image.manifest, image.config)
    assert [layer.path is None for layer in pulled.layers] == [True, False, False]
    assert stored_image(far.settings, image.digest) == pulled
    fetch_base(far, pulled, Silent())
    layout = ImageLayout(far.settings.layout)
    for layer in image.layers:
        layout.open(layer.digest, verify=True).close()


def test_a_thin_base_comes_out_of_its_origin(
    settings: Settings, image: Image, team: RegistryServer, origin: RegistryServer
) -> None:
    thin(settings, image, origin)
    fresh = at(settings, team, "fresh/images")
    push_image(fresh, image, Silent())
    with Client(read_place(str(fresh.settings.registry))) as client:
        layer = image.layers[0]
        assert Digest.of_chunks(client.blob(layer.digest, layer.size)) == layer.digest


def test_a_thin_base_is_mounted_where_its_origin_is_the_same_registry(
    settings: Settings, image: Image, origin: RegistryServer
) -> None:
    thin(settings, image, origin)
    pushed = push_image(at(settings, origin, "private/images"), image, Silent())
    assert pushed.mounted == image.layers[0].size
    assert not ImageLayout(settings.layout).has(image.layers[0].digest, image.layers[0].size)


def test_a_base_that_nobody_has_is_an_error_that_says_what_to_do(
    settings: Settings, image: Image, team: RegistryServer
) -> None:
    ImageLayout(settings.layout).path(image.layers[0].digest).unlink()
    lonely = at(settings, team, "lonely/images")
    with pytest.raises(StoreError, match="base cpu") as caught:
        push_image(lonely, image, Silent())
    assert "reprise base build cpu" in (caught.value.hint or "")
    assert read_remote(lonely, image.digest) is None, "nothing names what was sent before"


def test_a_base_is_built_over_from_its_pin_alone(
    settings: Settings,
    image: Image,
    team: RegistryServer,
    tmp_path: Path,
    program: Program,
    source: SourceTree,
) -> None:
    push_image(at(settings, team), image, Silent())
    far = at(elsewhere(settings, tmp_path / "far"), team)
    base = base_here(far, "cpu", Silent())
    assert assemble(far.settings, base, program, source).digest == image.digest
    nowhere = Session(elsewhere(settings, tmp_path / "nowhere"))
    with pytest.raises(BaseNotPinnedError, match="not usable here"):
        base_here(nowhere, "cpu", Silent())


def test_a_pinned_base_is_read_from_where_it_was_pinned(
    settings: Settings, image: Image, origin: RegistryServer, tmp_path: Path
) -> None:
    thin(settings, image, origin)
    far = Session(elsewhere(settings, tmp_path / "far"))
    assert base_here(far, "cpu", Silent()).ref.digest == image.base.digest


def test_what_is_no_image_of_ours_is_an_error_of_usage(
    settings: Settings, image: Image, team: RegistryServer
) -> None:
    push_image(at(settings, team), image, Silent())
    with pytest.raises(UsageError, match="not assembled by Reprise"):
        read_remote(at(settings, team), image.base.digest)


def test_a_pull_of_other_bytes_leaves_no_image(
    settings: Settings, image: Image, team: RegistryServer, tmp_path: Path
) -> None:
    push_image(at(settings, team), image, Silent())
    team.flip(image.layers[-1].digest)
    far = at(elsewhere(settings, tmp_path / "far"), team)
    with pytest.raises(RegistryError, match=image.layers[-1].digest):
        pull_image(far, image.digest, Silent())
    assert stored_image(far.settings, image.digest) is None


@pytest.mark.parametrize("part", ["layers", "history", "config"])
def test_a_manifest_that_does_not_fit_its_config_is_refused(
    layout: ImageLayout, image: Image, part: str
) -> None:
    manifest, config = json.loads(image.manifest), json.loads(image.config)
    if part == "layers":
        manifest["layers"].pop()
    elif part == "history":
        config["history"] = ["x"]
    else:
        manifest["config"]["digest"] = Digest.of(b"other")
    assert manifest["mediaType"] == MEDIA_MANIFEST
    with pytest.raises(StoreError):
        image_of(layout, canonical_json(manifest), canonical_json(config))


def test_no_registry_is_an_error_of_usage(settings: Settings, image: Image) -> None:
    with pytest.raises(UsageError, match="no registry is set"):
        push_image(Session(settings), image, Silent())
