"""Reading from a real registry process, and from a small server that misbehaves."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from support.local_server import Handler, LocalServer
from support.services import RegistryServer, free_port, registry_server

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import RegistryError
from orchestrator.image.image_model import MEDIA_MANIFEST, Base
from orchestrator.image.registry import registry_client
from orchestrator.image.registry.fetch_manifest import read_image
from orchestrator.image.registry.push import check_push
from orchestrator.image.registry.repository import read_place

INDEX = "application/vnd.oci.image.index.v1+json"


class Real:
    """A docker-registry of this test's own, with a client that pushes."""

    def __init__(self, server: RegistryServer) -> None:
        self.host = server.host
        self.server = server

    def put_blob(self, data: bytes) -> Digest:
        digest = Digest.of(data)
        start = requests.post(f"http://{self.host}/v2/team/base/blobs/uploads/", timeout=60)
        location = start.headers["Location"]
        done = requests.put(f"{location}&digest={digest}", data=data, timeout=60)
        assert done.status_code == 201, done.text
        return digest

    def put_manifest(self, data: bytes, media: str) -> Digest:
        digest = Digest.of(data)
        url = f"http://{self.host}/v2/team/base/manifests/{digest}"
        done = requests.put(url, data=data, headers={"Content-Type": media}, timeout=60)
        assert done.status_code == 201, done.text
        return digest

    def name(self, digest: Digest) -> str:
        return f"{self.host}/team/base@{digest}"


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    with registry_server() as server:
        yield Real(server)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_client, "FIRST_PATIENCE", 0.3)


@pytest.fixture
def base(make_base: Any, real: Real, layout: Any) -> Base:
    made: Base = make_base("cpu")
    real.put_blob(layout.read(made.layers[0].digest))
    real.put_blob(made.config)
    real.put_manifest(made.manifest, MEDIA_MANIFEST)
    return made


def push_index(real: Real, *entries: dict[str, Any]) -> Digest:
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}
    return real.put_manifest(canonical_json(index), INDEX)


def entry(base: Base, os: str = "linux", architecture: str = "amd64", **more: str) -> dict[str, Any]:
    platform = {"os": os, "architecture": architecture, **more}
    return {
        "mediaType": MEDIA_MANIFEST,
        "digest": base.ref.digest,
        "size": len(base.manifest),
        "platform": platform,
    }


@pytest.mark.server
def test_an_image_is_read_by_its_digest(real: Real, base: Base) -> None:
    found = read_image(real.name(base.ref.digest))
    assert (found.digest, found.manifest, found.config) == (base.ref.digest, base.manifest, base.config)
    assert found.via is None


@pytest.mark.server
def test_an_index_leads_to_its_platform_and_says_so(real: Real, base: Base) -> None:
    attestation = entry(base, "unknown", "unknown")
    index = push_index(real, attestation, entry(base, variant="v3"), entry(base))
    found = read_image(real.name(index))
    assert (found.digest, found.via, found.manifest) == (base.ref.digest, index, base.manifest)


@pytest.mark.server
@pytest.mark.parametrize("count", [0, 2])
def test_an_index_without_one_image_for_us_is_refused(real: Real, base: Base, count: int) -> None:
    index = push_index(real, entry(base, "windows"), *[entry(base)] * count)
    with pytest.raises(RegistryError, match=f"{count} images for linux/amd64"):
        read_image(real.name(index))


@pytest.mark.server
def test_a_digest_that_is_not_there_is_an_error_with_the_address(real: Real) -> None:
    with pytest.raises(RegistryError, match="404") as caught:
        read_image(real.name(Digest.of(b"nothing")))
    assert real.host in caught.value.message


@pytest.mark.server
def test_a_registry_that_does_not_answer_is_an_error(base: Base) -> None:
    port = free_port()
    with pytest.raises(RegistryError, match=str(port)):
        read_image(f"127.0.0.1:{port}/a@{base.ref.digest}")


@pytest.mark.parametrize(
    "name", ["host.example/a:tag", "a@sha256:" + "0" * 64, "host.example/a", "h/a@sha256:12"]
)
def test_only_digests_at_a_named_host_are_read(name: str) -> None:
    with pytest.raises(RegistryError, match="not HOST/NAME"):
        read_image(name)


Answer = Callable[[Handler], None]


@pytest.fixture
def server() -> Iterator[Callable[[Answer], str]]:
    """A registry whose answers a test writes."""
    with ExitStack() as stack:

        def start(answer: Answer) -> str:
            class Answering(Handler):
                def do_GET(self) -> None:
                    answer(self)

                do_POST = do_GET

            return stack.enter_context(LocalServer(Answering)).host

        yield start


def serve(base: Base, handler: Handler) -> None:
    blobs = {base.ref.digest: base.manifest, base.ref.config_digest: base.config}
    handler.say(200, blobs[Digest(handler.path.rpartition("/")[2])], {"Content-Type": MEDIA_MANIFEST})


def test_a_token_is_fetched_where_one_is_asked_for(server: Any, make_base: Any) -> None:
    base: Base = make_base("cpu")
    scopes: list[Any] = []

    def answer(handler: Handler) -> None:
        parts = urlsplit(handler.path)
        if parts.path == "/token":
            scopes.append(parse_qs(parts.query))
            handler.say(200, b'{"token":"secret"}')
        elif handler.headers.get("Authorization") != "Bearer secret":
            realm = f"http://{handler.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="lab",scope="repository:a/b:pull"'
            handler.say(401, headers={"WWW-Authenticate": challenge})
        else:
            serve(base, handler)

    found = read_image(f"{server(answer)}/a/b@{base.ref.digest}")
    assert found.manifest == base.manifest
    assert scopes[0] == {"service": ["lab"], "scope": ["repository:a/b:pull"]}


@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        ('Basic realm="x"', "wants a login"),
        ('Bearer realm="http://elsewhere.example/token"', "plain http"),
        ("", "wants a login"),
    ],
)
def test_a_login_that_cannot_be_anonymous_is_an_error(server: Any, challenge: str, said: str) -> None:
    host = server(lambda handler: handler.say(401, headers={"WWW-Authenticate": challenge}))
    with pytest.raises(RegistryError, match=said):
        read_image(f"{host}/a@{Digest.of(b'x')}")


def test_other_bytes_under_the_digest_are_refused(server: Any) -> None:
    host = server(lambda handler: handler.say(200, b"{}"))
    with pytest.raises(RegistryError, match="other bytes"):
        read_image(f"{host}/a@{Digest.of(b'x')}")


def test_a_manifest_without_a_config_is_refused(server: Any) -> None:
    index = b'{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"x"},1]}'
    for body in (b"{}", b"[]", b"not json", b'{"mediaType":"text/plain"}', index):
        host = server(lambda handler, body=body: handler.say(200, body, {"Content-Type": MEDIA_MANIFEST}))
        with pytest.raises(RegistryError):
            read_image(f"{host}/a@{Digest.of(body)}")


# What comes and goes is asked for again; what is refused is not.


def blob_of(host: str, data: bytes) -> bytes:
    with registry_client.Client(read_place(f"{host}/a")) as client:
        return b"".join(client.blob(Digest.of(data), len(data)))


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_passing_trouble_is_waited_for(server: Any, make_base: Any, status: int) -> None:
    base: Base = make_base("cpu")
    answers: list[float] = []

    def answer(handler: Handler) -> None:
        answers.append(time.monotonic())
        if len(answers) == 1:
            handler.say(status, headers={"Retry-After": "0.2"})
        else:
            serve(base, handler)

    assert read_image(f"{server(answer)}/a@{base.ref.digest}").manifest == base.manifest
    assert answers[1] - answers[0] >= 0.2, "as it asked"


@pytest.mark.parametrize("after", ["3600", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_nobody_waits_for_an_hour(server: Any, after: str) -> None:
    host = server(lambda handler: handler.say(503, headers={"Retry-After": after}))
    began = time.monotonic()
    with pytest.raises(RegistryError, match="503"):
        read_image(f"{host}/a@{Digest.of(b'x')}")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_a_refusal_is_not_asked_for_again(server: Any, status: int) -> None:
    asked: list[str] = []

    def answer(handler: Handler) -> None:
        asked.append(handler.path)
        handler.say(status, b'{"errors":[{"code":"DENIED","message":"its own words"}]}')

    with pytest.raises(RegistryError, match=rf"{status}.*its own words"):
        read_image(f"{server(answer)}/a@{Digest.of(b'x')}")
    assert len(asked) == 1


def test_a_blob_from_a_registry_without_ranges(server: Any) -> None:
    data = bytes(range(256)) * 8000
    asked: list[str | None] = []

    def answer(handler: Handler) -> None:
        asked.append(handler.headers.get("Range"))
        part = data[: 1_000_000 * len(asked)]  # it breaks off twice
        handler.say(200, part, {"Content-Length": str(len(data))})

    assert blob_of(server(answer), data) == data
    assert asked[0] is None
    assert asked[1] is not None


def test_a_blob_that_never_comes_further_is_given_up(server: Any) -> None:
    host = server(lambda handler: handler.say(200, headers={"Content-Length": "1000"}))
    with pytest.raises(RegistryError, match="0 bytes read"):
        blob_of(host, bytes(1000))


def test_a_blob_longer_than_its_manifest_says_is_cut(server: Any) -> None:
    host = server(lambda handler: handler.say(200, bytes(100_000)))
    with pytest.raises(RegistryError, match="longer than the 1000 bytes"):
        blob_of(host, bytes(1000))


def test_a_blob_that_lies_elsewhere_is_got_there_without_the_login(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, seen = b"far away", []

    def store(handler: Handler) -> None:
        seen.append(handler.headers.get("Authorization"))
        handler.say(200, data)

    other = server(store)

    def answer(handler: Handler) -> None:
        if handler.headers.get("Authorization") is None:
            handler.say(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        else:
            handler.say(307, headers={"Location": f"http://{other.replace('127.0.0.1', 'localhost')}/blob"})

    host = server(answer)
    config = {"auths": {host: {"auth": base64.b64encode(b"ada:secret").decode()}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert blob_of(host, data) == data
    assert seen == [None]


def test_a_way_to_plain_http_is_not_followed(server: Any) -> None:
    host = server(lambda handler: handler.say(202, headers={"Location": "http://elsewhere.example/upload"}))
    with (
        registry_client.Client(read_place(f"{host}/a")) as client,
        pytest.raises(RegistryError, match="plain http"),
    ):
        check_push(client)
