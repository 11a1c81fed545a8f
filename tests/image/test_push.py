"""Pushing to a real registry and pulling from it: over a cable that breaks, and while it is restarted."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.services import RegistryServer, Wire, registry_server, wire_to

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import RegistryError, StoreError
from orchestrator.image.assembly.assemble import manifest_of
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import MEDIA_MANIFEST, Layer, LayerKind
from orchestrator.image.registry import push as push_module
from orchestrator.image.registry import registry_client
from orchestrator.image.registry.fetch_manifest import has_manifest, read_by_digest
from orchestrator.image.registry.pull import pull
from orchestrator.image.registry.push import Pushed, check_push, push
from orchestrator.image.registry.registry_client import AbsentError, Client
from orchestrator.image.registry.repository import read_place

pytestmark = pytest.mark.server

KIB = 1 << 10


class Made(NamedTuple):
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def digest(self) -> Digest:
        return Digest.of(self.manifest)


@pytest.fixture(scope="module")
def server() -> Iterator[RegistryServer]:
    with registry_server() as made:
        yield made


@pytest.fixture
def wire(server: RegistryServer) -> Iterator[Wire]:
    with wire_to(server.port) as made:
        yield made


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_client, "FIRST_PATIENCE", 0.3)
    monkeypatch.setattr(registry_client, "PATIENCE", 10.0)
    monkeypatch.setattr(push_module, "CHUNK", 64 * KIB)


def make(layout: ImageLayout, *sizes: int, kind: LayerKind = LayerKind.WHEEL) -> Made:
    """An image of layers that nobody has seen before."""
    layers = []
    for size in sizes:
        digest = layout.put_bytes(os.urandom(size))
        layers.append(Layer(kind=kind, digest=digest, diff_id=digest, size=size, path=layout.path(digest)))
    config = canonical_json({"nonce": os.urandom(8).hex()})
    manifest = manifest_of(config, tuple(layers))
    return Made(manifest, config, tuple(layers))


@pytest.fixture
def client(server: RegistryServer) -> Iterator[Client]:
    with Client(read_place(server.place("team/reprise"))) as made:
        yield made


def send(client: Client, layout: ImageLayout, image: Made, **more: object) -> Pushed:
    return push(client, *image, lambda layer: layout.path(layer.digest), **more)  # type: ignore[arg-type]


def take(client: Client, folder: Path, image: Made) -> int:
    """Pull into a layout of its own; the bytes moved. What came is what was made."""
    found = read_by_digest(client, image.digest)
    assert (found.manifest, found.config) == (image.manifest, image.config)
    layout = ImageLayout(folder)
    moved = pull(client, layout, image.layers)
    for layer in image.layers:
        layout.open(layer.digest, verify=True).close()
    return moved


def test_an_image_goes_and_comes_back_and_a_second_push_sends_nothing(
    client: Client, layout: ImageLayout, tmp_path: Path
) -> None:
    image = make(layout, 200 * KIB, 1, 0)
    over: list[tuple[int, int]] = []
    pushed = send(client, layout, image, moved=lambda *at: over.append(at))
    size = 200 * KIB + 1 + len(image.config)
    assert pushed == Pushed(sent=size + len(image.manifest), mounted=0, found=0)
    assert over[-1] == (size, size)
    assert over == sorted(over)
    assert send(client, layout, image).sent == 0
    assert take(client, tmp_path / "there", image) == 200 * KIB + 1
    assert take(client, tmp_path / "there", image) == 0


def test_only_missing_blobs_are_sent(client: Client, layout: ImageLayout, tmp_path: Path) -> None:
    first = make(layout, 300 * KIB)
    send(client, layout, first)
    second = make(layout, 5 * KIB)
    both = Made(
        second.manifest.replace(
            b'"layers":[', b'"layers":[' + first.manifest.split(b'"layers":[')[1].split(b"]")[0] + b","
        ),
        second.config,
        (*first.layers, *second.layers),
    )
    pushed = send(client, layout, both)
    assert pushed.found == 300 * KIB
    assert pushed.sent == 5 * KIB + len(both.config) + len(both.manifest)
    assert take(client, tmp_path / "there", both) == 305 * KIB


def test_a_base_is_mounted_from_another_repository(
    server: RegistryServer, client: Client, layout: ImageLayout, tmp_path: Path
) -> None:
    image = make(layout, 300 * KIB, kind=LayerKind.BASE)
    send(client, layout, image)
    with Client(read_place(server.place("other/team"))) as other:
        before = len(server.requests())
        pushed = send(other, layout, image, mounts=("nobody/there", "team/reprise"))
        assert pushed.mounted == 300 * KIB
        assert pushed.sent == len(image.config) + len(image.manifest)
        mounts = [one.status for one in server.requests()[before:] if "mount=" in one.path]
        assert mounts == [202, 201]
        take(other, tmp_path / "there", image)


def test_a_mount_that_misses_is_an_upload(
    server: RegistryServer, layout: ImageLayout, tmp_path: Path
) -> None:
    image = make(layout, 100 * KIB, kind=LayerKind.BASE)
    with Client(read_place(server.place("third/team"))) as client:
        pushed = send(client, layout, image, mounts=("nobody/there",))
        assert (pushed.mounted, pushed.sent > 100 * KIB) == (0, True)
        take(client, tmp_path / "there", image)


def test_a_large_blob_goes_in_chunks(
    server: RegistryServer, client: Client, layout: ImageLayout, tmp_path: Path
) -> None:
    before = len(server.requests())
    image = make(layout, 300 * KIB)  # four whole chunks and a rest
    send(client, layout, image)
    methods = [one.method for one in server.requests()[before:] if "/uploads/" in one.path]
    assert methods == ["POST", "PATCH", "PATCH", "PATCH", "PATCH", "PUT", "POST", "PUT"]
    take(client, tmp_path / "there", image)


@pytest.mark.parametrize("cut", [30, 100, 170, 230, 299])
def test_a_cable_that_breaks_during_a_push(
    server: RegistryServer, wire: Wire, layout: ImageLayout, tmp_path: Path, cut: int
) -> None:
    image = make(layout, 300 * KIB)
    with Client(read_place(wire.place("team/reprise"))) as client:
        wire.cut_up = cut * KIB
        send(client, layout, image)
        assert wire.cut_up is None, "the cable did break"
        take(client, tmp_path / "there", image)


@pytest.mark.parametrize("cut", [1, 3, 5, 6, 7, 8])
def test_a_lost_answer_during_a_push(wire: Wire, layout: ImageLayout, tmp_path: Path, cut: int) -> None:
    """The registry did what it was asked, and nobody heard: about half a kilobyte is one answer."""
    image = make(layout, 300 * KIB)
    with Client(read_place(wire.place("team/reprise"))) as client:
        wire.cut_down = cut * 500
        send(client, layout, image)
        assert wire.cut_down is None
        take(client, tmp_path / "there", image)


@pytest.mark.parametrize("cut", [1, 700, 1900])
def test_a_cable_that_breaks_during_a_pull_is_taken_up_where_it_broke(
    client: Client, wire: Wire, layout: ImageLayout, tmp_path: Path, cut: int
) -> None:
    image = make(layout, 2000 * KIB)
    send(client, layout, image)
    with Client(read_place(wire.place("team/reprise"))) as far:
        wire.cut_down = cut * KIB
        take(far, tmp_path / "there", image)
        assert wire.cut_down is None
    # What was on the cable when it broke is lost; the rest is not sent twice.
    assert wire.down < 2300 * KIB


def restarted(server: RegistryServer, seconds: float, share: int = 3) -> Callable[[int, int], None]:
    """Once one in `share` bytes is over: stop the registry, and start it again a little later."""
    done: list[int] = []

    def moved(over: int, total: int) -> None:
        if not done and over > total // share:
            done.append(over)
            server.stop()
            threading.Timer(seconds, server.start).start()

    return moved


def test_a_registry_that_is_restarted_during_push_and_pull(layout: ImageLayout, tmp_path: Path) -> None:
    said: list[str] = []
    with (
        registry_server() as server,
        wire_to(server.port) as wire,
        Client(read_place(wire.place("team/reprise")), said.append) as client,
    ):
        image = make(layout, 700 * KIB, 300 * KIB)
        send(client, layout, image, moved=restarted(server, 1.0))
        assert take(client, tmp_path / "there", image) == 1000 * KIB
        assert "trying again" in said[0]
        big = make(layout, 30 << 20)
        send(client, layout, big)
        for number in range(6):
            there = ImageLayout(tmp_path / str(number))
            began = time.monotonic()
            pull(client, there, big.layers, restarted(server, 1.0, 60))
            there.open(big.layers[0].digest, verify=True).close()
            if time.monotonic() - began > 0.9:
                break
            time.sleep(1.5)  # all of it was on its way when the server went: once more, when it is back
        else:
            pytest.fail("it was never down in the middle of a pull")


def test_a_registry_that_stays_away_is_an_error_after_a_while(
    layout: ImageLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_client, "PATIENCE", 1.0)
    with registry_server() as server, Client(read_place(server.place("team/reprise"))) as client:
        image = make(layout, 500 * KIB)

        def gone(over: int, total: int) -> None:
            server.stop()

        with pytest.raises(RegistryError, match=str(server.port)) as caught:
            send(client, layout, image, moved=gone)
        assert "does it run" in (caught.value.hint or "")
        server.start()
        assert not has_manifest(client, image.digest), "half an image has no name"


def test_flipped_bytes_in_the_registry_are_found_and_not_stored(
    server: RegistryServer, client: Client, layout: ImageLayout, tmp_path: Path
) -> None:
    image = make(layout, 50 * KIB, 60 * KIB)
    send(client, layout, image)
    bad = image.layers[1].digest
    server.flip(bad)
    there = ImageLayout(tmp_path / "there")
    with pytest.raises(RegistryError, match="other bytes") as caught:
        pull(client, there, image.layers)
    assert bad in caught.value.message, "refused by name"
    assert not there.path(bad).exists()
    assert [path.name for path in there.path(bad).parent.iterdir()] in ([], [image.layers[0].digest.hex])


@pytest.mark.parametrize("which", ["manifest", "config"])
def test_a_flipped_manifest_or_config_is_refused(
    server: RegistryServer, client: Client, layout: ImageLayout, which: str
) -> None:
    image = make(layout, KIB)
    send(client, layout, image)
    server.flip(image.digest if which == "manifest" else Digest.of(image.config))
    with pytest.raises(RegistryError):
        read_by_digest(client, image.digest)


def test_a_cut_blob_in_the_registry_is_found_by_push_and_pull(
    server: RegistryServer, client: Client, layout: ImageLayout, tmp_path: Path
) -> None:
    image = make(layout, 50 * KIB)
    send(client, layout, image)
    (layer,) = image.layers
    server.blob(layer.digest).write_bytes(b"short")
    with pytest.raises(RegistryError, match=layer.digest):
        pull(client, ImageLayout(tmp_path / "there"), image.layers)
    other = make(layout, KIB)
    again = Made(
        canonical_json({"schemaVersion": 2, "mediaType": MEDIA_MANIFEST}), other.config, image.layers
    )
    with pytest.raises(RegistryError, match="has 5 bytes") as caught:
        send(client, layout, again)
    assert layer.digest in caught.value.message


def test_a_blob_that_is_not_there_is_absent(client: Client, tmp_path: Path, layout: ImageLayout) -> None:
    image = make(layout, KIB)
    with pytest.raises(AbsentError, match="404"):
        pull(client, ImageLayout(tmp_path / "there"), image.layers)


@pytest.mark.parametrize("size", [KIB, 200 * KIB])
def test_a_damaged_blob_of_this_box_is_not_pushed(client: Client, layout: ImageLayout, size: int) -> None:
    image = make(layout, size)
    path = layout.path(image.layers[0].digest)
    path.write_bytes(bytes(size))
    with pytest.raises(StoreError, match=str(path)):
        send(client, layout, image)
    assert not has_manifest(client, image.digest)


def test_whether_a_push_is_taken_leaves_nothing_behind(server: RegistryServer, client: Client) -> None:
    check_push(client)
    assert [(one.method, one.status) for one in server.requests()[-2:]] == [("POST", 202), ("DELETE", 204)]


def test_a_layer_whose_digest_is_another_blobs_is_refused_by_the_registry(
    client: Client, layout: ImageLayout, tmp_path: Path
) -> None:
    """The manifest names a blob that was never sent: the registry takes no such manifest."""
    image = make(layout, KIB)
    with pytest.raises(RegistryError, match="MANIFEST_BLOB_UNKNOWN"):
        push(client, image.manifest, image.config, (), lambda layer: tmp_path)
