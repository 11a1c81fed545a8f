"""Reading from a real registry process, and from a small server that misbehaves."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import RegistryError
from orchestrator.image import registry as module
from orchestrator.image.model import MEDIA_MANIFEST, Base
from orchestrator.image.registry import read_image

INDEX = "application/vnd.oci.image.index.v1+json"


class Real:
    """A docker-registry of this test's own, with a client that pushes."""

    def __init__(self, host: str, storage: Path) -> None:
        self.host = host
        self.storage = storage

    def put_blob(self, data: bytes) -> Digest:
        digest = Digest.of(data)
        start = requests.post(f"http://{self.host}/v2/team/base/blobs/uploads/", timeout=10)
        location = start.headers["Location"]
        done = requests.put(f"{location}&digest={digest}", data=data, timeout=10)
        assert done.status_code == 201, done.text
        return digest

    def put_manifest(self, data: bytes, media: str) -> Digest:
        digest = Digest.of(data)
        url = f"http://{self.host}/v2/team/base/manifests/{digest}"
        done = requests.put(url, data=data, headers={"Content-Type": media}, timeout=10)
        assert done.status_code == 201, done.text
        return digest

    def name(self, digest: Digest) -> str:
        return f"{self.host}/team/base@{digest}"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    program = shutil.which("docker-registry")
    if program is None:
        pytest.fail("docker-registry is not installed (Debian's package of that name has it)")
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "config.json"
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    config.write_text(json.dumps({"version": 0.1, "storage": storage, "http": {"addr": host}}))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait(host, process, folder / "log")
        yield Real(host, folder / "data")
    finally:
        process.kill()
        process.wait(10)


def _wait(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(100):
        assert process.poll() is None, log.read_text()
        try:
            requests.get(f"http://{host}/v2/", timeout=1)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the registry does not answer: {log.read_text()}")


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


def test_an_image_is_read_by_its_digest(real: Real, base: Base) -> None:
    found = read_image(real.name(base.ref.digest))
    assert (found.digest, found.manifest, found.config) == (base.ref.digest, base.manifest, base.config)
    assert found.via is None


def test_an_index_leads_to_its_platform_and_says_so(real: Real, base: Base) -> None:
    attestation = entry(base, "unknown", "unknown")
    index = push_index(real, attestation, entry(base, variant="v3"), entry(base))
    found = read_image(real.name(index))
    assert (found.digest, found.via, found.manifest) == (base.ref.digest, index, base.manifest)


@pytest.mark.parametrize("count", [0, 2])
def test_an_index_without_one_image_for_us_is_refused(real: Real, base: Base, count: int) -> None:
    index = push_index(real, entry(base, "windows"), *[entry(base)] * count)
    with pytest.raises(RegistryError, match=f"{count} images for linux/amd64"):
        read_image(real.name(index))


def test_a_digest_that_is_not_there_is_an_error_with_the_address(real: Real) -> None:
    with pytest.raises(RegistryError, match="404") as caught:
        read_image(real.name(Digest.of(b"nothing")))
    assert real.host in caught.value.message


def test_bytes_flipped_in_the_storage_are_refused(real: Real, base: Base) -> None:
    digest = base.ref.config_digest
    path = real.storage / "docker/registry/v2/blobs/sha256" / digest.hex[:2] / digest.hex / "data"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"linux", b"linuX"))
    try:
        with pytest.raises(RegistryError, match="other bytes"):
            read_image(real.name(base.ref.digest))
    finally:
        path.write_bytes(data)


def test_a_registry_that_does_not_answer_is_an_error(base: Base) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(RegistryError, match=str(port)):
        read_image(f"127.0.0.1:{port}/a@{base.ref.digest}")


@pytest.mark.parametrize(
    "name", ["host.example/a:tag", "a@sha256:" + "0" * 64, "host.example/a", "h/a@sha256:12"]
)
def test_only_digests_at_a_named_host_are_read(name: str) -> None:
    with pytest.raises(RegistryError, match="not HOST/NAME"):
        read_image(name)


Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def server() -> Iterator[Callable[[Answer], str]]:
    """A registry whose answers a test writes."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(made)
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        return f"127.0.0.1:{made.server_address[1]}"

    yield start
    for one in servers:
        one.shutdown()
        one.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def serve(base: Base, handler: BaseHTTPRequestHandler) -> None:
    blobs = {base.ref.digest: base.manifest, base.ref.config_digest: base.config}
    send(handler, 200, blobs[Digest(handler.path.rpartition("/")[2])], Content_Type=MEDIA_MANIFEST)


def test_a_token_is_fetched_where_one_is_asked_for(server: Any, make_base: Any) -> None:
    base: Base = make_base("cpu")
    scopes: list[Any] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        if parts.path == "/token":
            scopes.append(parse_qs(parts.query))
            send(handler, 200, b'{"token":"secret"}')
        elif handler.headers.get("Authorization") != "Bearer secret":
            realm = f"http://{handler.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="lab",scope="repository:a/b:pull"'
            send(handler, 401, WWW_Authenticate=challenge)
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
    host = server(lambda handler: send(handler, 401, WWW_Authenticate=challenge))
    with pytest.raises(RegistryError, match=said):
        read_image(f"{host}/a@{Digest.of(b'x')}")


def test_other_bytes_under_the_digest_are_refused(server: Any) -> None:
    host = server(lambda handler: send(handler, 200, b"{}"))
    with pytest.raises(RegistryError, match="other bytes"):
        read_image(f"{host}/a@{Digest.of(b'x')}")


def test_an_answer_without_end_is_cut(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 1000)
    host = server(lambda handler: send(handler, 200, bytes(100_000)))
    with pytest.raises(RegistryError, match="more than 1000 bytes"):
        read_image(f"{host}/a@{Digest.of(bytes(100_000))}")


def test_a_manifest_without_a_config_is_refused(server: Any) -> None:
    index = b'{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"x"},1]}'
    for body in (b"{}", b"[]", b"not json", b'{"mediaType":"text/plain"}', index):
        host = server(lambda handler, body=body: send(handler, 200, body, Content_Type=MEDIA_MANIFEST))
        with pytest.raises(RegistryError):
            read_image(f"{host}/a@{Digest.of(body)}")
