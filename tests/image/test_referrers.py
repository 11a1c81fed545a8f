"""Things attached to images, in a real registry that has no referrers API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support.local_server import Handler, LocalServer
from support.services import RegistryServer, registry_server

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import RegistryError
from orchestrator.image.assembly.assemble import manifest_of
from orchestrator.image.image_model import MEDIA_MANIFEST
from orchestrator.image.registry import referrers
from orchestrator.image.registry.fetch_manifest import read_manifest
from orchestrator.image.registry.push import push, put_manifest
from orchestrator.image.registry.referrers import MEDIA_INDEX, attach, attached
from orchestrator.image.registry.registry_client import AbsentError, Client
from orchestrator.image.registry.repository import read_place

pytestmark = pytest.mark.server

KIND = "application/vnd.test+text"
LIMIT = 1000


@pytest.fixture(scope="module")
def server() -> Iterator[RegistryServer]:
    with registry_server() as made:
        yield made


@pytest.fixture
def client(server: RegistryServer) -> Iterator[Client]:
    with Client(read_place(server.place("team/attached"))) as made:
        yield made


@pytest.fixture
def image(client: Client, request: pytest.FixtureRequest) -> Digest:
    """An image without layers, one per test."""
    config = canonical_json({"of": request.node.name})
    manifest = manifest_of(config, ())
    push(client, manifest, config, (), lambda layer: layer.path)  # type: ignore[arg-type,return-value]
    return Digest.of(manifest)


@pytest.fixture
def modern(server: RegistryServer, client: Client) -> Iterator[Client]:
    """The same registry behind one that has the referrers API, in pages of one, as OCI 1.1 has it."""
    real, referring = client.place.url, {}

    class Referring(Handler):
        def answer(self) -> None:
            path, _, query = self.path.partition("?")
            length = int(self.headers.get("Content-Length") or 0)
            if "/referrers/" in path:
                self.refer(path, int(query.removeprefix("n=") or 0))
                return
            sent = self.rfile.read(length)
            kept = {name: self.headers[name] for name in ("Content-Type", "Accept") if name in self.headers}
            got = requests.request(self.command, real + self.path, data=sent, headers=kept, timeout=60)
            if self.command == "PUT" and "/manifests/sha256:" in path and b'"subject"' in sent:
                parsed = json.loads(sent)
                entry = {"mediaType": MEDIA_MANIFEST, "digest": Digest.of(sent), "size": len(sent)}
                entry["artifactType"] = parsed["artifactType"]
                referring.setdefault(parsed["subject"]["digest"], []).append(entry)
            names = ("Content-Type", "Content-Length", "Location", "Link", "Range", "Docker-Content-Digest")
            headers = {name: got.headers[name].replace(real, "") for name in names if name in got.headers}
            self.say(got.status_code, got.content, headers)

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = answer

        def refer(self, path: str, first: int) -> None:
            found = referring.get(path.rpartition("/")[2], [])
            index = {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": found[first : first + 1]}
            more = {"Link": f'<{path}?n={first + 1}>; rel="next"'} if found[first + 1 :] else {}
            self.say(200, canonical_json(index), {"Content-Type": MEDIA_INDEX, **more})

    with LocalServer(Referring) as front, Client(read_place(f"{front.address}/team/attached")) as made:
        yield made


def test_a_registry_with_the_referrers_api_keeps_the_list_itself(
    modern: Client, client: Client, image: Digest
) -> None:
    attach(modern, image, KIND, b"one", {})
    attach(modern, image, KIND, b"two", {})
    attach(modern, image, "application/vnd.other", b"three", {})
    assert texts(modern, image) == [b"one", b"two"]
    assert texts(client, image) == [], "no tag was written"


def texts(client: Client, image: Digest, kind: str = KIND) -> list[bytes]:
    return sorted(one.data for one in attached(client, image, kind, LIMIT))


def fallback(client: Client, image: Digest) -> dict[str, object]:
    path = f"manifests/sha256-{image.hex}"
    body = client.request("GET", path, (200,), headers={"Accept": MEDIA_INDEX}).body
    return dict(json.loads(body))


def test_what_is_attached_is_found_from_the_image(client: Client, image: Digest) -> None:
    assert texts(client, image) == []
    digest = attach(client, image, KIND, b"one", {"by": "ada"})
    attach(client, image, KIND, b"two", {})
    attach(client, image, "application/vnd.other", b"three", {})
    assert texts(client, image) == [b"one", b"two"]
    assert texts(client, image, "application/vnd.other") == [b"three"]
    # As the distribution specification has it, for tools that were not written here.
    index = fallback(client, image)
    entries = {entry["digest"]: entry for entry in index["manifests"]}  # type: ignore[attr-defined]
    assert len(entries) == 3
    assert (entries[digest]["artifactType"], entries[digest]["annotations"]) == (KIND, {"by": "ada"})
    manifest = json.loads(read_manifest(client, digest))
    assert manifest["subject"]["digest"] == image
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"


def test_the_same_again_changes_nothing(client: Client, image: Digest) -> None:
    first = attach(client, image, KIND, b"one", {})
    before = fallback(client, image)
    assert attach(client, image, KIND, b"one", {}) == first
    assert fallback(client, image) == before


def test_an_image_that_is_not_there_has_nothing_attached(client: Client) -> None:
    with pytest.raises(AbsentError, match="has no image"):
        attach(client, Digest.of(b"nothing"), KIND, b"one", {})


def test_many_at_once_are_all_listed(server: RegistryServer, image: Digest) -> None:
    start = threading.Barrier(8)

    def one(number: int) -> None:
        with Client(read_place(server.place("team/attached"))) as own:
            start.wait(120)
            attach(own, image, KIND, b"%d" % number, {})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    with Client(read_place(server.place("team/attached"))) as own:
        assert texts(own, image) == [b"%d" % number for number in range(8)]


def test_one_that_died_before_the_index_is_listed_by_the_next(
    client: Client, image: Digest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(referrers, "_list_in_tag", die)
        attach(client, image, KIND, b"died", {})
    assert texts(client, image) == []
    attach(client, image, KIND, b"next", {})
    assert texts(client, image) == [b"died", b"next"]


def test_an_index_that_others_wrote_over_is_mended(client: Client, image: Digest) -> None:
    attach(client, image, KIND, b"one", {})
    empty = canonical_json({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": []})
    put_manifest(client, f"sha256-{image.hex}", empty, MEDIA_INDEX)
    manifest = read_manifest(client, image)
    put_manifest(client, f"sha256-{image.hex}.{'0' * 48}", manifest)  # a tag of somebody else's
    attach(client, image, KIND, b"two", {})
    assert texts(client, image) == [b"one", b"two"]


def test_what_is_listed_is_not_believed(server: RegistryServer, client: Client, image: Digest) -> None:
    digest = attach(client, image, KIND, b"one", {})
    with pytest.raises(RegistryError, match="more than 2"):
        attached(client, image, KIND, 2)
    other = Digest.of(b"another image")
    index = canonical_json(fallback(client, image))
    put_manifest(client, f"sha256-{other.hex}", index, MEDIA_INDEX)
    with pytest.raises(RegistryError, match="but is of"):
        attached(client, other, KIND, LIMIT)
    for flipped in (Digest.of(b"one"), digest):
        server.flip(flipped)
        with pytest.raises(RegistryError):
            attached(client, image, KIND, LIMIT)
        server.flip(flipped)
    assert texts(client, image) == [b"one"]
