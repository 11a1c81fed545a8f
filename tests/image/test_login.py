"""Logging in as `docker login` left it, and TLS with a private CA; all against a real registry."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.local_server import Handler, LocalServer
from support.services import REGISTRY_PASSWORD, REGISTRY_USER, RegistryServer, free_port, registry_server

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import RegistryError
from orchestrator.image.assembly.assemble import manifest_of
from orchestrator.image.image_model import Layer, LayerKind
from orchestrator.image.registry import http_session, registry_client
from orchestrator.image.registry.fetch_manifest import has_manifest, read_by_digest
from orchestrator.image.registry.push import Pushed, check_push, push
from orchestrator.image.registry.registry_client import Client
from orchestrator.image.registry.repository import read_place

PAIR = f"{REGISTRY_USER}:{REGISTRY_PASSWORD}"


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for Docker's config.json; and a ~/.netrc, which nobody may read."""
    folder = tmp_path / "docker"
    folder.mkdir()
    home = tmp_path / "home-of-netrc"
    home.mkdir()
    (home / ".netrc").write_text("machine 127.0.0.1 login mallory password wrong\n")
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setattr(registry_client, "FIRST_PATIENCE", 0.3)
    return folder


def write_config(folder: Path, **config: Any) -> None:
    (folder / "config.json").write_text(json.dumps(config))


def auths(host: str, pair: str = PAIR) -> dict[str, Any]:
    return {host: {"auth": base64.b64encode(pair.encode()).decode()}}


def helper(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A docker-credential-lab that is this shell script."""
    path = folder / "docker-credential-lab"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def send_small(client: Client, mounts: tuple[str, ...] = (), data: bytes = b"a base") -> Pushed:
    """A one-layer image through push; its layer is a base's, so that it may be mounted."""
    folder = Path(os.environ["DOCKER_CONFIG"])
    (folder / "layer").write_bytes(data)
    digest = Digest.of(data)
    layer = Layer(kind=LayerKind.BASE, digest=digest, diff_id=digest, size=len(data))
    config = canonical_json({"nonce": os.urandom(8).hex()})
    manifest = manifest_of(config, (layer,))
    pushed = push(client, manifest, config, (layer,), lambda _: folder / "layer", mounts)
    found = read_by_digest(client, Digest.of(manifest))
    assert found.config == config
    return pushed


def open_client(server: RegistryServer, name: str = "team/reprise") -> Client:
    return Client(read_place(server.place(name)))


# A password


@pytest.fixture(scope="module")
def guarded() -> Iterator[RegistryServer]:
    with registry_server(password=True) as server:
        yield server


@pytest.mark.server
@pytest.mark.parametrize("form", ["{host}", "https://{host}", "https://{host}/v1/"])
def test_a_password_that_docker_login_wrote(guarded: RegistryServer, docker_config: Path, form: str) -> None:
    write_config(docker_config, auths=auths(form.format(host=guarded.host)))
    with open_client(guarded) as client:
        send_small(client)
        assert (client.login.kind, client.login.user) == ("basic", REGISTRY_USER)


@pytest.mark.server
@pytest.mark.parametrize(
    "config", [{}, {"auths": {}}, {"auths": auths("other.example")}, {"auths": {"HOST": {}}}]
)
def test_without_a_login_the_error_says_how(
    guarded: RegistryServer, docker_config: Path, config: dict[str, Any]
) -> None:
    (docker_config / "config.json").write_text(json.dumps(config).replace("HOST", guarded.host))
    with open_client(guarded) as client, pytest.raises(RegistryError, match="wants a login") as caught:
        check_push(client)
    assert caught.value.hint == f"run: docker login {guarded.host}"


@pytest.mark.server
def test_a_wrong_password_is_refused_at_once(guarded: RegistryServer, docker_config: Path) -> None:
    write_config(docker_config, auths=auths(guarded.host, "ada:wrong"))
    before = len(guarded.requests())
    with open_client(guarded) as client, pytest.raises(RegistryError, match="401") as caught:
        check_push(client)
    assert "logged in as ada" in (caught.value.hint or "")
    assert len(guarded.requests()) - before == 2, "never again on a 4xx"
    assert "wrong" not in caught.value.message + str(caught.value.hint)


@pytest.mark.server
@pytest.mark.parametrize("named", ["credsStore", "credHelpers"])
def test_a_credential_helper_is_asked(
    guarded: RegistryServer, docker_config: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    answer = json.dumps({"ServerURL": guarded.host, "Username": REGISTRY_USER, "Secret": REGISTRY_PASSWORD})
    script = f'[ "$1" = get ] && [ "$(cat)" = {guarded.host} ] && echo \'{answer}\''
    helper(docker_config, script, monkeypatch)
    write_config(docker_config, **{named: "lab" if named == "credsStore" else {guarded.host: "lab"}})
    with open_client(guarded) as client:
        send_small(client)


@pytest.mark.server
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo credentials not found in native keychain; exit 1", "wants a login"),
        ("echo the key ring is locked >&2; exit 1", "the key ring is locked"),
        ("echo nonsense", "not Username and Secret"),
        (None, "not on the PATH"),
    ],
)
def test_a_helper_that_fails_is_named(
    guarded: RegistryServer,
    docker_config: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    said: str,
) -> None:
    if script is not None:
        helper(docker_config, script, monkeypatch)
    write_config(docker_config, credsStore="lab")
    with open_client(guarded) as client, pytest.raises(RegistryError, match=said):
        check_push(client)


@pytest.mark.server
@pytest.mark.parametrize("text", ["not json", "[]", '{"auths": {"HOST": {"auth": "%%%"}}}'])
def test_a_config_that_cannot_be_read_is_named(
    guarded: RegistryServer, docker_config: Path, text: str
) -> None:
    path = docker_config / "config.json"
    path.write_text(text.replace("HOST", guarded.host))
    with open_client(guarded) as client, pytest.raises(RegistryError, match=str(path)):
        check_push(client)


# Tokens


def openssl(*words: str, data: bytes | None = None) -> bytes:
    return subprocess.run(["openssl", *words], input=data, check=True, capture_output=True).stdout


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    """Gives tokens that a real registry takes, for the repositories that a person may use."""

    def __init__(self, folder: Path) -> None:
        self.key, self.certificate = folder / "token.key", folder / "token.crt"
        openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab"),
            *("-keyout", str(self.key), "-out", str(self.certificate)),
        )
        self.rights: dict[str, tuple[str, ...]] = {}  # user -> repositories; "" is nobody in particular
        self.asked: list[tuple[str, dict[str, list[str]]]] = []  # user, query
        self.seconds = 300
        self.strict = False  # all that is asked for, or nothing
        server = self

        class TokenHandler(Handler):
            def do_GET(self) -> None:
                kind, _, pair = self.headers.get("Authorization", "").partition(" ")
                user, _, secret = base64.b64decode(pair).decode().partition(":")
                query = parse_qs(urlsplit(self.path).query)
                self.reply(user, query, kind == "" or secret == REGISTRY_PASSWORD)

            def do_POST(self) -> None:
                query = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                good = query["refresh_token"] == ["an identity"]
                good = good and query["grant_type"] == ["refresh_token"]
                query["scope"] = query.get("scope", [""])[0].split()
                self.reply("ada", query, good)

            def reply(self, user: str, query: dict[str, list[str]], good: bool) -> None:
                server.asked.append((user, query))
                body = json.dumps({"token": server.token(user, query)} if good else {}).encode()
                whole = not server.strict or all(server.grants(user, one) for one in query.get("scope", []))
                self.say((200 if whole else 403) if good else 401, body)

        self.http = LocalServer(TokenHandler)

    @property
    def auth(self) -> Mapping[str, Any]:
        """For the registry's configuration."""
        realm = f"{self.http.address}/token"
        bundle = str(self.certificate)
        return {"token": {"realm": realm, "service": "lab", "issuer": "lab", "rootcertbundle": bundle}}

    def grants(self, user: str, scope: str) -> bool:
        _, name, actions = scope.split(":")
        return name in self.rights.get(user, ()) and "delete" not in actions

    def token(self, user: str, query: dict[str, list[str]]) -> str:
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            if self.grants(user, scope):
                access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {"iss": "lab", "aud": "lab", "sub": user, "exp": now + self.seconds, "nbf": now - 90}
        claims |= {"iat": now, "jti": os.urandom(8).hex(), "access": access}
        der = openssl("x509", "-in", str(self.certificate), "-outform", "DER")
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        signed = f"{b64url(json.dumps(header).encode())}.{b64url(json.dumps(claims).encode())}"
        signature = openssl("dgst", "-sha256", "-sign", str(self.key), data=signed.encode())
        return f"{signed}.{b64url(signature)}"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    server = TokenServer(tmp_path_factory.mktemp("tokens"))
    with server.http:
        yield server


@pytest.fixture(scope="module")
def by_token(tokens: TokenServer) -> Iterator[RegistryServer]:
    with registry_server(auth=tokens.auth) as server:
        yield server


@pytest.fixture(autouse=True)
def fresh(request: pytest.FixtureRequest) -> None:
    if "tokens" in request.fixturenames or "by_token" in request.fixturenames:
        tokens: TokenServer = request.getfixturevalue("tokens")
        tokens.strict = False
        tokens.rights, tokens.asked[:] = {"ada": ("team/reprise", "team/bases")}, []


@pytest.mark.server
def test_tokens_are_got_with_the_password_and_for_what_is_done(
    by_token: RegistryServer, tokens: TokenServer, docker_config: Path
) -> None:
    write_config(docker_config, auths=auths(by_token.host))
    with open_client(by_token) as client:
        send_small(client)
        assert client.login.kind == "token"
    assert {user for user, _ in tokens.asked} == {"ada"}
    assert [query["service"] for _, query in tokens.asked] == [["lab"]] * len(tokens.asked)
    assert len(tokens.asked) == 2, "one to read, one to write; each for all that follows"
    assert "push" in tokens.asked[1][1]["scope"][0]


@pytest.mark.server
def test_an_identity_token_is_exchanged(
    by_token: RegistryServer, tokens: TokenServer, docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(docker_config, auths={by_token.host: {"auth": "eDo=", "identitytoken": "an identity"}})
    with open_client(by_token) as client:
        send_small(client)
    answer = '{"Username": "<token>", "Secret": "an identity"}'
    helper(docker_config, f"echo '{answer}'", monkeypatch)
    write_config(docker_config, credsStore="lab")
    with open_client(by_token) as client:
        send_small(client)


@pytest.mark.server
def test_an_expired_token_is_replaced(
    by_token: RegistryServer, tokens: TokenServer, docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry allows a minute of leeway, so these were never good for longer than that."""
    write_config(docker_config, auths=auths(by_token.host))
    with open_client(by_token) as client:
        monkeypatch.setattr(tokens, "seconds", -58)
        assert not has_manifest(client, Digest.of(b"nothing"))
        monkeypatch.setattr(tokens, "seconds", 300)
        time.sleep(2.1)
        assert not has_manifest(client, Digest.of(b"nothing"))
        assert not has_manifest(client, Digest.of(b"nothing"))
        assert len(tokens.asked) == 2


@pytest.mark.server
def test_who_may_not_push_is_told_so(
    by_token: RegistryServer, tokens: TokenServer, docker_config: Path
) -> None:
    write_config(docker_config, auths=auths(by_token.host))
    with (
        open_client(by_token, "others/secrets") as client,
        pytest.raises(RegistryError, match="401") as caught,
    ):
        check_push(client)
    assert "logged in as ada" in (caught.value.hint or "")


@pytest.mark.server
def test_a_wrong_password_is_refused_by_the_token_server(
    by_token: RegistryServer, docker_config: Path
) -> None:
    write_config(docker_config, auths=auths(by_token.host, "ada:wrong"))
    with open_client(by_token) as client, pytest.raises(RegistryError, match="the login of 'ada' is refused"):
        check_push(client)


@pytest.mark.server
@pytest.mark.parametrize("strict", [False, True])
def test_who_may_push_need_not_be_allowed_to_delete(
    by_token: RegistryServer, tokens: TokenServer, docker_config: Path, strict: bool
) -> None:
    write_config(docker_config, auths=auths(by_token.host))
    tokens.strict = strict
    with open_client(by_token) as client:
        check_push(client)
        assert "delete" in tokens.asked[-1][1]["scope"][0]
        send_small(client)


@pytest.mark.server
@pytest.mark.parametrize("strict", [False, True])
def test_a_mount_asks_for_both_repositories_and_misses_where_one_may_not_be_read(
    by_token: RegistryServer, tokens: TokenServer, docker_config: Path, strict: bool
) -> None:
    write_config(docker_config, auths=auths(by_token.host))
    tokens.rights["ada"] = ("team/reprise", "team/bases", "hidden/bases")
    tokens.strict = strict
    shown, hidden = f"shown {strict}".encode(), f"hidden {strict}".encode()
    for name, data in (("team/bases", shown), ("hidden/bases", hidden)):
        with open_client(by_token, name) as client:
            send_small(client, data=data)
    tokens.rights["ada"] = ("team/reprise", "team/bases")
    with open_client(by_token) as client:
        assert send_small(client, ("team/bases",), shown).mounted == len(shown)
    with open_client(by_token) as client:
        assert send_small(client, ("hidden/bases",), hidden).mounted == 0


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.crt, server.crt, server.key: a private CA, and a server at 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificates")
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Lab CA"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),  # Python asks for it since 3.13
        *("-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt")),
    )
    openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"),
        *("-keyout", str(folder / "server.key"), "-out", str(folder / "server.csr")),
    )
    (folder / "names").write_text(
        "subjectAltName=IP:127.0.0.1\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    openssl(
        *("x509", "-req", "-in", str(folder / "server.csr"), "-days", "2", "-CAcreateserial"),
        *("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key")),
        *("-extfile", str(folder / "names"), "-out", str(folder / "server.crt")),
    )
    return folder


@pytest.fixture(scope="module")
def encrypted(certificates: Path) -> Iterator[RegistryServer]:
    with registry_server(tls=(certificates / "server.crt", certificates / "server.key")) as server:
        yield server


@pytest.mark.server
def test_an_unknown_ca_is_refused_and_the_error_says_where_it_goes(encrypted: RegistryServer) -> None:
    with open_client(encrypted) as client, pytest.raises(RegistryError, match=r"(?i)certificate") as caught:
        check_push(client)
    assert f"certs.d/{encrypted.host}/ca.crt" in (caught.value.hint or "")


@pytest.mark.server
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_private_ca_from_the_environment(
    encrypted: RegistryServer, certificates: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(certificates / "ca.crt"))
    with open_client(encrypted) as client:
        send_small(client)


@pytest.mark.server
def test_a_private_ca_where_docker_has_it(
    encrypted: RegistryServer, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "certs.d" / encrypted.host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes((certificates / "ca.crt").read_bytes())
    monkeypatch.setattr(http_session, "CERTIFICATES", tmp_path / "certs.d")
    with open_client(encrypted) as client:
        send_small(client)
    (folder / "ca.crt").write_text("nothing")
    with pytest.raises(RegistryError, match=str(folder / "ca.crt")):
        open_client(encrypted)


@pytest.mark.server
def test_https_where_http_is_spoken_is_an_error_at_once(guarded: RegistryServer) -> None:
    began = time.monotonic()
    with (
        Client(read_place(f"https://{guarded.host}/a")) as client,
        pytest.raises(RegistryError, match=r"(?i)ssl"),
    ):
        check_push(client)
    assert time.monotonic() - began < 2


@pytest.mark.server
def test_a_proxy_of_the_environment_is_not_asked_for_this_box(
    guarded: RegistryServer, docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    write_config(docker_config, auths=auths(guarded.host))
    with open_client(guarded) as client:
        check_push(client)
