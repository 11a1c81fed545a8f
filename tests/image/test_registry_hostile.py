"""A registry that lies, leads astray, or sends without end or a byte at a time: one clear error, no more."""

from __future__ import annotations

import base64
import json
import re
import resource
import shutil
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import tries
from support.hostile_registry import Asked, Hostile, answer, hostile_registry

from orchestrator.digest import Digest
from orchestrator.disk_room import RESERVE
from orchestrator.errors import RegistryError, RepriseError, StoreError
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import MEDIA_CONFIG, MEDIA_LAYER, MEDIA_MANIFEST, Layer, LayerKind
from orchestrator.image.registry import bounded_sockets, referrers, registry_answers, registry_client
from orchestrator.image.registry.fetch_manifest import read_by_digest
from orchestrator.image.registry.pull import pull
from orchestrator.image.registry.push import check_push, push
from orchestrator.image.registry.referrers import MEDIA_INDEX
from orchestrator.image.registry.registry_client import Client
from orchestrator.image.registry.repository import read_place

SECRET, IDENTITY = "a password of ours", "an identity of ours"
DATA = b"private code"
BLOB = Digest.of(DATA)
DEEP = b"[" * 200_000
EMPTY = Digest.of(b"{}")
Act = Callable[[Client], Any]


@pytest.fixture
def registry() -> Iterator[Hostile]:
    with hostile_registry() as made:
        yield made


@pytest.fixture
def inner() -> Iterator[Hostile]:
    """What stands on an address that a registry may not lead to."""
    with hostile_registry("127.0.0.2") as made:
        yield made


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


def log_in(config: Path, host: str, *, identity: bool = False) -> None:
    pair = base64.b64encode(f"ada:{SECRET}".encode()).decode()
    config.write_text(
        json.dumps({"auths": {host: {"identitytoken": IDENTITY} if identity else {"auth": pair}}})
    )


def open_client(registry: Hostile) -> Client:
    return Client(read_place(f"http://{registry.host}/x"), patient=False)


def read(client: Client) -> Any:
    return read_by_digest(client, EMPTY)


def send(client: Client) -> Any:
    layer = Layer(kind=LayerKind.WHEEL, digest=BLOB, diff_id=BLOB, size=len(DATA))
    with tempfile.NamedTemporaryFile() as file:
        file.write(DATA)
        file.flush()
        return push(client, b'{"a":1}', b"{}", (layer,), lambda _: Path(file.name))


def list_attached(client: Client) -> Any:
    return referrers._listed(client, EMPTY, "text/plain")


def list_tags(client: Client) -> Any:
    return referrers._own_tags(client, EMPTY)


def token_at(realm: str, token: bytes = b'{"token":"t"}') -> Callable[[Asked], bytes]:
    def answers(asked: Asked) -> bytes:
        if asked.path.startswith("/token"):
            return answer(200, token)
        return answer(401, WWW_Authenticate=f'Bearer realm="{realm}",service="s"')

    return answers


def upload(
    step: Callable[[Asked], bytes], location: str = "/v2/x/blobs/uploads/1"
) -> Callable[[Asked], bytes]:
    """Nothing is there, an upload begins; then `step`."""

    def answers(asked: Asked) -> bytes:
        if asked.method == "HEAD":
            return answer(404)
        return answer(202, Location=location) if asked.method == "POST" else step(asked)

    return answers


def broken(**headers: str) -> Callable[[Asked], bytes]:
    """Uploads break off; how far they came is said in `headers`."""
    return upload(lambda asked: answer(204, **headers) if asked.method == "GET" else b"")


STRANGE: dict[str, tuple[Callable[[Asked], bytes], Act]] = {
    "manifest of 200,000 brackets": (
        lambda _: answer(200, DEEP),
        lambda c: read_by_digest(c, Digest.of(DEEP)),
    ),
    "refusal of 200,000 brackets": (lambda _: answer(403, DEEP), read),
    "length that is none": (
        lambda a: answer(200 if "/blobs/" in a.path else 404, head=True, Content_Length="1e1"),
        send,
    ),
    "upload at http://[": (upload(lambda _: b"", "http://["), send),
    "range with a strange digit": (broken(Range="0-\xb2"), send),
    "range of 10^5000": (broken(Range="0-1" + "0" * 5000), send),
    "redirect to http://[": (lambda _: answer(302, Location="http://["), read),
    "redirect to a file": (lambda _: answer(302, Location="file:///etc/passwd"), read),
    "redirect without an address": (lambda _: answer(302), read),
    "redirect to itself": (lambda a: answer(302, Location=a.path), read),
    "realm http://[": (token_at("http://["), read),
    "realm of a file": (token_at("file:///etc/passwd"), read),
    "realm without a host": (token_at("https://"), read),
    "retry after nan": (lambda _: answer(429, Retry_After="nan"), read),
    "retry after inf": (lambda _: answer(429, Retry_After="inf"), read),
    "retry after no date": (lambda _: answer(429, Retry_After="Mon, 99 Foo 99999 99:99:99 GMT"), read),
    "retry after a far date": (lambda _: answer(429, Retry_After="Fri, 31 Dec 9999 23:59:59 -9999"), read),
    "tags: a list": (lambda _: answer(200, b"[]"), list_tags),
    "tags: numbers": (lambda _: answer(200, b'{"tags":[1]}'), list_tags),
    "tags: a number": (lambda _: answer(200, b'{"tags":7}'), list_tags),
    "next page http://[": (
        lambda _: answer(200, b'{"manifests":[]}', Link='<http://[>; rel="next"'),
        list_attached,
    ),
    "next page at another host": (
        lambda _: answer(200, b'{"manifests":[]}', Link='<https://other.example/>; rel="next"'),
        list_attached,
    ),
    "pages in a circle": (
        lambda _: answer(200, b'{"manifests":[]}', Link='</v2/x/tags/list?n=1>; rel="next"'),
        list_attached,
    ),
    "referrers: a number": (lambda _: answer(200, b"7"), list_attached),
    "referrers: numbers": (lambda _: answer(200, b'{"manifests":[7]}'), list_attached),
    "answers of 100 without end": (lambda _: b"HTTP/1.1 100 X\r\n\r\n" * 200_000, read),
    "a head of a megabyte and more": (lambda _: b"HTTP/1.1 200 X\r\n" + b"A: " + b"b" * (2 << 20), read),
    "a status line of nothing": (lambda _: b"\r\n\r\n", read),
    "packed bytes": (lambda _: answer(200, zlib.compress(bytes(1 << 20)), Content_Encoding="deflate"), read),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_answer_is_one_clear_error(registry: Hostile, name: str) -> None:
    registry.answers, act = STRANGE[name]
    with open_client(registry) as client, pytest.raises(RegistryError) as caught:
        act(client)
    message = caught.value.message
    assert registry.host.partition(":")[0] in message or str(EMPTY) in message or "sha256:" in message
    assert message.isprintable()
    assert len(message) < 1000


@pytest.mark.parametrize("token", [b'["a"]', b"7", b'{"token":["a"]}', b'{"token":"a\\r\\nX: y"}', DEEP, b""])
def test_what_is_no_token_is_not_sent(registry: Hostile, token: bytes) -> None:
    registry.answers = token_at(f"http://{registry.host}/token", token)
    with open_client(registry) as client, pytest.raises(RegistryError, match="no token"):
        read(client)


# Where requests, bodies and logins go


def lead(asked: Asked, to: str) -> bytes:
    return answer(307, Location=f"http://{to}/latest/meta-data?x=1")


@pytest.mark.parametrize("act", [read, check_push, send, lambda c: b"".join(c.blob(BLOB, len(DATA)))])
def test_a_redirect_is_checked_before_it_is_followed(registry: Hostile, inner: Hostile, act: Act) -> None:
    registry.answers = lambda asked: lead(asked, inner.host)
    with open_client(registry) as client, pytest.raises(RegistryError, match=r"plain http|another host"):
        act(client)
    assert inner.asked == []


@pytest.mark.parametrize("where", ["redirect", "location"])
def test_no_body_goes_to_another_host(registry: Hostile, where: str) -> None:
    with hostile_registry() as other:  # of this box, which a registry on it may lead to
        if where == "redirect":
            registry.answers = upload(lambda asked: lead(asked, other.host))
        else:
            registry.answers = upload(lambda asked: answer(201), f"http://{other.host}/upload")
        with open_client(registry) as client, pytest.raises(RegistryError, match="another host"):
            send(client)
        assert other.asked == []


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("way", ["redirect", "realm", "challenge of a stranger"])
def test_no_login_goes_to_another_host(
    registry: Hostile, inner: Hostile, docker_config: Path, identity: bool, way: str
) -> None:
    with hostile_registry() as other:
        other.answers = token_at(f"http://{other.host}/token")
        if way == "redirect":
            leads = token_at(f"http://{registry.host}/token")
            registry.answers = lambda a: lead(a, other.host) if a.path.startswith("/token") else leads(a)
        elif way == "realm":
            registry.answers = token_at(f"http://{inner.host}/token")
        else:
            registry.answers = lambda asked: lead(asked, other.host)
        log_in(docker_config, registry.host, identity=identity)
        with open_client(registry) as client, pytest.raises(RegistryError):
            read(client)
        everything = repr([*other.asked, *inner.asked])
    assert IDENTITY not in everything
    assert base64.b64encode(f"ada:{SECRET}".encode()).decode() not in everything
    assert inner.asked == []


def test_the_login_is_not_sent_to_a_token_server_of_another_domain(
    registry: Hostile, docker_config: Path
) -> None:
    registry.answers = token_at("https://token.elsewhere.example/token")
    log_in(docker_config, registry.host)
    with open_client(registry) as client, pytest.raises(RegistryError, match="host of another domain"):
        read(client)


def test_a_redirect_s_own_body_is_not_read(registry: Hostile) -> None:
    """requests reads it whole, unpacked, even where it follows nothing."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(128)) + packer.flush()
    registry.answers = lambda a: answer(302, bomb, Content_Encoding="gzip", Location=f"{a.path}x")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_client(registry) as client, pytest.raises(RegistryError, match="from address to address"):
        read(client)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


# Bytes and time


def without_end(asked: Asked, head: bytes = b"") -> Iterator[bytes]:
    yield head or b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n\r\n"
    while True:
        yield b" " * (1 << 16)


@pytest.mark.parametrize("what", ["manifest", "token", "refusal", "chunks", "trailers"])
def test_an_answer_without_end_ends(
    registry: Hostile, docker_config: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_answers, "LIMIT", 1 << 20)
    heads = {
        "refusal": b"HTTP/1.1 403 X\r\n\r\n",
        "chunks": b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\n",
        "trailers": b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    }
    tokens = token_at(f"http://{registry.host}/token")

    def answers(asked: Asked) -> bytes | Iterator[bytes]:
        if what == "token" and not asked.path.startswith("/token"):
            return tokens(asked)
        if what == "trailers":
            return (piece.replace(b"  ", b"a\n") for piece in without_end(asked, heads["trailers"]))
        return without_end(asked, heads.get(what, b""))

    registry.answers = answers
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_client(registry) as client, pytest.raises(RegistryError, match=r"more than|far more"):
        read(client)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_client, "ANSWER", 0.4)
    monkeypatch.setattr(registry_client, "BREAKS", 2)
    monkeypatch.setattr(registry_answers, "READ_SECONDS", 0.4)
    monkeypatch.setattr(bounded_sockets, "WINDOW", 0.4)


DRIPS = {
    "head": b"HTTP/1.1 200 X\r\nA: ",
    "body": b"HTTP/1.1 200 X\r\nContent-Length: 1000000\r\n\r\n",
    "refusal": b"HTTP/1.1 401 X\r\nContent-Length: 1000000\r\n\r\n",
    "chunk": b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
    "chunk's size": b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("where", DRIPS)
@pytest.mark.parametrize("act", [read, lambda c: b"".join(c.blob(BLOB, 1 << 50))], ids=["whole", "blob"])
def test_a_byte_at_a_time_is_given_up(registry: Hostile, where: str, act: Act) -> None:
    """A drip never meets the time that one call of a socket has."""
    done = threading.Event()

    def answers(asked: Asked) -> Iterator[bytes]:
        yield DRIPS[where]
        while not done.wait(0.05):
            yield b"0"

    registry.answers = answers
    result: list[BaseException | None] = []

    def work() -> None:
        with open_client(registry) as client:
            try:
                act(client)
            except RegistryError as error:
                result.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(120)  # a drip would go on for ever
    done.set()
    assert len(result) == 1


@pytest.mark.usefixtures("short")
def test_who_does_not_read_what_is_sent_is_given_up(
    registry: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = threading.Event()
    monkeypatch.setattr(Hostile, "_one", lambda self, connection: wait.wait(120))
    with open_client(registry) as client, pytest.raises(RegistryError, match="bytes a second"):
        client.request("PUT", "manifests/x", (201,), data=bytes(64 << 20), again=False)
    wait.set()


def test_a_slow_line_may_take_longer_than_the_time_to_connect(
    registry: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """urllib3 sends a whole body within the time to connect."""
    monkeypatch.setattr(registry_client, "CONNECT", 0.3)
    real = bounded_sockets._PacedSocket.send
    monkeypatch.setattr(
        bounded_sockets._PacedSocket, "send", lambda self, *args: (time.sleep(0.05), real(self, *args))[1]
    )
    registry.answers = lambda _: answer(201)
    with open_client(registry) as client:
        assert client.request("PUT", "manifests/x", (201,), data=bytes(1 << 20)).status == 201


SLOW_TAG = f"sha256-{EMPTY.hex}.{'0' * 47}"


def slow(asked: Asked) -> bytes:
    """Every request is answered in its time, and there is always one more to ask."""
    time.sleep(0.1)
    if asked.method == "HEAD":
        return answer(404)
    if asked.method in ("POST", "PATCH"):
        return answer(202, Location="/v2/x/blobs/uploads/1")
    if asked.method == "PUT":
        return answer(201)
    if "/blobs/" in asked.path:
        return answer(200, DATA)
    if "/tags/" in asked.path:
        return answer(200, json.dumps({"tags": [f"{SLOW_TAG}{i:x}" for i in range(16)]}).encode())
    return answer(404)


LAYERS = [
    Layer(kind=LayerKind.WHEEL, digest=Digest.of(bytes(i)), diff_id=BLOB, size=i) for i in range(1, 500)
]


def push_many(client: Client) -> Any:
    with tempfile.NamedTemporaryFile() as file:
        return push(client, b"{}", b"{}", LAYERS, lambda _: Path(file.name))


def ask_again(client: Client) -> None:
    while True:
        client.request("GET", "manifests/x", (404,))


def wait_again(client: Client) -> None:
    while True:
        referrers._own_tags(client, EMPTY)


@pytest.mark.parametrize("act", [push_many, ask_again, wait_again])
def test_many_slow_answers_have_one_budget(
    registry: Hostile, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_sockets, "BUDGET", 1.0)
    registry.answers = slow
    with open_client(registry) as client, pytest.raises(RegistryError, match="too slow"):
        act(client)
    assert len(registry.asked) <= 30


def test_a_pull_has_one_budget(registry: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece of each blob comes within the least rate of its own request."""
    monkeypatch.setattr(bounded_sockets, "BUDGET", 1.0)

    def answers(asked: Asked) -> Iterator[bytes]:
        wanted = next(layer for layer in LAYERS if layer.digest in asked.path)
        yield answer(200, bytes(wanted.size))[: -wanted.size]
        time.sleep(0.1)
        yield bytes(wanted.size)

    registry.answers = answers
    with open_client(registry) as client, pytest.raises(RegistryError, match="too slow"):
        pull(client, ImageLayout(tmp_path), LAYERS)
    assert len(registry.asked) <= 90


def test_time_spent_elsewhere_is_not_the_registrys(
    registry: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_sockets, "BUDGET", 1.0)
    registry.answers = lambda _: answer(200, bytes(1 << 20))
    with open_client(registry) as client:
        pieces = client.blob(BLOB, 1 << 20)
        next(pieces)
        time.sleep(1.2)
        assert sum(map(len, pieces)) > 0


def test_bytes_that_are_expected_have_their_time(registry: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_sockets, "BUDGET", 0.2)

    def answers(_: Asked) -> Iterator[bytes]:
        yield answer(200, bytes(1 << 20), head=True)
        time.sleep(0.5)
        yield bytes(1 << 20)

    registry.answers = answers
    with open_client(registry) as client:
        assert sum(map(len, client.blob(BLOB, 1 << 20))) == 1 << 20


def test_a_list_has_a_budget(registry: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    page = json.dumps({"manifests": [{"digest": str(BLOB)}] * 1000}).encode()
    monkeypatch.setattr(referrers, "_LIST_BYTES", 5 * len(page))

    def answers(asked: Asked) -> bytes:
        return answer(200, page, Link=f'</v2/x/referrers/y?n={len(registry.asked)}>; rel="next"')

    registry.answers = answers
    with open_client(registry) as client, pytest.raises(RegistryError, match="a list of more than"):
        referrers.attached(client, EMPTY, "a/b", 1000)
    assert len(registry.asked) == 6


def test_a_page_of_very_many_is_not_kept(registry: Hostile) -> None:
    page = json.dumps({"manifests": [{"digest": str(BLOB)}] * 80_000}).encode()
    registry.answers = lambda _: answer(200, page, Link='</v2/x/referrers/y?n=1>; rel="next"')
    with open_client(registry) as client, pytest.raises(RegistryError, match="things attached to it"):
        referrers.attached(client, EMPTY, "a/b", 1000)
    assert len(registry.asked) == 1


def test_what_does_not_fit_on_the_disk_is_not_begun(registry: Hostile, tmp_path: Path) -> None:
    size = shutil.disk_usage(tmp_path).free - RESERVE + (1 << 30)
    layer = Layer(kind=LayerKind.WHEEL, digest=BLOB, diff_id=BLOB, size=size)
    with open_client(registry) as client, pytest.raises(StoreError, match="bytes more are to be written"):
        pull(client, ImageLayout(tmp_path / "not" / "there"), [layer])
    assert registry.asked == []


# Anything


TEXT = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20)
LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), TEXT,
    st.sampled_from([str(BLOB), str(EMPTY), "sha256:", MEDIA_MANIFEST, MEDIA_CONFIG, "a/b", MEDIA_INDEX]),
)  # fmt: skip
NAMES = st.sampled_from(
    ["config", "digest", "layers", "manifests", "mediaType", "size", "tags", "token", "errors", "subject"]
) | st.sampled_from(["annotations", "artifactType", "platform", "os", "architecture", "variant", "code"])
TREES = st.recursive(
    LEAF,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(NAMES, inside, max_size=5),
    max_leaves=12,
)
BODIES = st.one_of(
    TREES.map(lambda tree: json.dumps(tree).encode()),
    st.binary(max_size=60),
    st.just(DEEP),
    st.just(DATA),
    st.just(b"{}"),
)
PLACES = (
    TEXT
    | st.sampled_from(["/v2/x/blobs/uploads/1", "http://SELF/v2/x/u", "?a=b", "http://OTHER/x", "//INNER/x"])
    | st.sampled_from(["http://INNER/x", "https://INNER/x", "http://SELF\\@INNER/", "http://ada:b@OTHER/"])
    | st.sampled_from(["http://[", "file:///x", "http://SELF:99999/", "http:///"])
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Location": PLACES,
        "Link": PLACES.map(lambda place: f'<{place}>; rel="next"') | TEXT,
        "WWW_Authenticate": PLACES.map(lambda place: f'Bearer realm="{place}",service="s",scope="a b"')
        | TEXT,
        "Retry_After": st.sampled_from(["nan", "inf", "-1", "1e999", "0", "Fri, 31 Dec 9999 23:59:59 -9999"])
        | TEXT,
        "Range": st.sampled_from(["0-0", "0-5", "0-\xb2", "5-", "bytes=0-99999999999999999999"]) | TEXT,
        "Content_Length": st.sampled_from(["0", "5", "-1", "1e3", "12", "99999999999999999999"]),
        "Content_Encoding": st.sampled_from(["gzip", "deflate", "identity", "br", "x"]),
        "Content_Type": st.sampled_from([MEDIA_MANIFEST, MEDIA_LAYER, MEDIA_INDEX]) | TEXT,
        "Transfer_Encoding": st.sampled_from(["chunked", "gzip", "x"]),
        "Set_Cookie": TEXT,
    },
)
STATUSES = st.sampled_from(
    [200, 200, 200, 201, 202, 204, 206, 301, 302, 307, 308, 400, 401, 401, 403, 404, 404, 416, 429, 500, 600]
)
ANSWERS = st.builds(lambda status, body, headers: (status, body, headers), STATUSES, BODIES, HEADERS)
ACTS: dict[str, Act] = {
    "read": read,
    "push": send,
    "check": check_push,
    "blob": lambda c: b"".join(c.blob(BLOB, len(DATA))),
    "attached": lambda c: referrers.attached(c, EMPTY, "a/b", 1000),
    "attach": lambda c: referrers.attach(c, EMPTY, "a/b", DATA, {}),
}


@pytest.mark.property
@pytest.mark.parametrize("name", ACTS)
def test_any_answers_are_an_error_or_a_result(name: str, docker_config: Path) -> None:
    with hostile_registry() as registry, hostile_registry() as other, hostile_registry("127.0.0.2") as inner:
        log_in(docker_config, registry.host)

        @settings(max_examples=tries(100), suppress_health_check=list(HealthCheck))
        @given(st.lists(ANSWERS, min_size=1, max_size=8))
        def look(script: list[tuple[int, bytes, dict[str, str]]]) -> None:
            turn = iter(script * 4)

            def answers(asked: Asked) -> bytes:
                status, body, headers = next(turn, (404, b"", {}))
                hosts = {"SELF": registry.host, "OTHER": other.host, "INNER": inner.host}
                named = {
                    key: re.sub("SELF|OTHER|INNER", lambda match: hosts[match[0]], text)
                    for key, text in headers.items()
                }
                return answer(status, body, head=asked.method == "HEAD", **named)

            registry.answers = other.answers = inner.answers = answers
            with open_client(registry) as client:
                try:
                    ACTS[name](client)
                except RepriseError as error:
                    assert error.exit_code == 5
                    assert SECRET not in error.message + str(error.hint)

        look()
        assert all(one.method in ("GET", "HEAD") and not one.body for one in other.asked)
        assert all("authorization" not in one.headers for one in other.asked)
        assert inner.asked == []


@pytest.mark.parametrize("size", ["-1", "-5"])
def test_a_chunk_of_less_than_nothing_fills_no_memory(registry: Hostile, size: str) -> None:
    """-1 read all that came, at once: the registry of a layer of gigabytes had as much of the memory."""
    head = f"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n".encode()
    registry.answers = lambda _: (piece for piece in [head, *[bytes(1 << 20)] * 100])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Client(read_place(f"{registry.host}/a"), patient=False) as client, pytest.raises(RegistryError):
        list(client.blob(BLOB, 1 << 30))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10  # KiB
