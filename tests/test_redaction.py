"""Secrets in addresses and texts: whatever their form, none is left."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import redaction
from orchestrator.errors import RepriseError, UsageError
from orchestrator.image.registry.repository import read_place
from orchestrator.record.database.connect import open_database
from orchestrator.record.store.bucket_store import BucketStore
from orchestrator.redaction import ADDRESSES, SECRETS, bare_address, bare_remote, redact, remember

NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=8)
HOSTS = st.builds(lambda one, two: f"{one}.{two}.example", NAMES, NAMES)
# No part of it can come from elsewhere; with signs that parsers stumble over.
SECRETS_OF_ALL_KINDS = st.text(string.digits + "@:/%+!$&'()*,;=~ é", max_size=6).map(
    lambda text: f"S3CR{text}ET9Z"
)
QUOTED = SECRETS_OF_ALL_KINDS.map(lambda text: quote(text, safe=""))
SCHEMES = st.sampled_from(["https", "http", "ssh", "git", "postgresql", "postgresql+psycopg", "s3", "redis"])


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """With a secret in a place where people and tools put them; it ends in ET9Z."""
    secret = draw(QUOTED)
    user, host, name = draw(NAMES), draw(HOSTS), draw(NAMES)
    port = draw(st.sampled_from(["", ":5432"]))
    place = draw(st.sampled_from(["password", "user", "query", "both", "unquoted"]))
    scheme = draw(SCHEMES)
    if place == "user":
        return f"{scheme}://{secret}@{host}{port}/{name}"
    if place == "query":
        key = draw(st.sampled_from(["password", "token", "access_token", "X-Amz-Signature", "sslpassword"]))
        return f"{scheme}://{host}{port}/{name}?a=b&{key}={secret}"
    if place == "unquoted":
        return f"{scheme}://{user}:S3CR/{draw(NAMES)}@{draw(NAMES)}ET9Z@{host}{port}/{name}"
    query = f"?password={secret}" if place == "both" else ""
    return f"{scheme}://{user}:{secret}@{host}{port}/{name}{query}"


@given(addresses(), st.sampled_from(["{}", "cannot reach {}: refused", "tried '{}', then ({})", "a\n{}\tb"]))
def test_no_secret_of_an_address_is_left(address: str, text: str) -> None:
    for told in (
        redact(text.replace("{}", address)),
        bare_address(address),
        bare_remote(address),
        RepriseError(text.replace("{}", address), f"look at {address}").message,
        str(RepriseError("x", f"look at {address}").hint),
    ):
        assert "ET9Z" not in told
        assert "S3CR" not in told


@given(HOSTS, NAMES, st.sampled_from(["", ":5000"]), SCHEMES)
def test_what_is_no_secret_stays(host: str, name: str, port: str, scheme: str) -> None:
    address = f"{scheme}://{host}{port}/{name}"
    assert redact(f"cannot reach {address}: 404") == f"cannot reach {address}: 404"
    assert (bare_address(address), bare_remote(address)) == (address, address)
    digest = f"{host}{port}/{name}@sha256:{'0' * 64}"
    assert redact(f"http://{digest} is absent; {digest}") == f"http://{digest} is absent; {digest}"


@pytest.mark.parametrize(
    ("remote", "kept"),
    [
        ("git@git.example:team/repo.git", "git@git.example:team/repo.git"),
        ("https://TOKEN@git.example/team/repo.git", "https://git.example/team/repo.git"),
        ("https://oauth2:TOKEN@git.example/team/repo.git", "https://git.example/team/repo.git"),
        ("https://git.example/repo?private_token=TOKEN#TOKEN", "https://git.example/repo"),
        ("https://x:TO/KEN@git.example/team/repo.git", "https://git.example/team/repo.git"),
        ("ssh://git:TOKEN@git.example:22/repo", "ssh://git.example:22/repo"),
        ("x:TOKEN@git.example:repo", "git.example:repo"),
        ("/srv/git/repo.git", "/srv/git/repo.git"),
        ("../repo", "../repo"),
        ("file:///srv/git/repo.git", "file:///srv/git/repo.git"),
    ],
)
def test_remotes_as_they_are_recorded(remote: str, kept: str) -> None:
    assert bare_remote(remote) == kept


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic YWRhOnNlY3JldDE=",
        "header 'Authorization': 'Bearer eyJhbGciOi.J9.x1'",
        'invalid dsn: host=h password="s e cret1" user=u',
        "aws_secret_access_key = abcDEF/123",
        "https://b.example/x?X-Amz-Credential=abc&X-Amz-Signature=0123",
        "PGPASSWORD=abc",
        '{"access_token": "abc"}',
        "password=PATHabc&token=VALUE0123",
    ],
)
def test_secrets_of_texts(text: str) -> None:
    told = redact(text)
    for secret in ("YWRhOnNlY3JldDE", "eyJ", "cret1", "abc", "0123"):
        assert secret not in told


@pytest.mark.parametrize(
    "text",
    [
        "a basic transformation",
        "no token, answered 200",
        "user@host",
        "pass 2: done",
        "`reprise rerun --input token=PATH`, where it is; or give it: -p api_key=VALUE",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert redact(text) == text or text == "pass 2: done"


@pytest.mark.parametrize("name", SECRETS)
def test_what_the_environment_holds_is_known(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "Tr0ub4dor &3")
    assert redact("so Tr0ub4dor &3 it is; quoted Tr0ub4dor%20%263") == "so *** it is; quoted ***"
    monkeypatch.setenv(name, "x")
    assert redact("x is no secret") == "x is no secret", "a letter would be everywhere"


@pytest.mark.parametrize("name", ADDRESSES)
def test_passwords_of_the_environment_s_addresses_are_known(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "postgresql://ada:p%40ss-w0rd@h.example/n?sslpassword=an0ther1")
    for form in ("p%40ss-w0rd", "p@ss-w0rd", "an0ther1"):
        assert form not in redact(f"the server said: {form}!")
    monkeypatch.setenv(name, "postgresql://reprise:reprise@h.example/reprise")
    assert redact("reprise: no") == "reprise: no", "the name of the database, too"


def test_what_is_remembered_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_remembered", set())
    remember("a-registry-token")
    assert redact("it answered a-registry-token") == "it answered ***"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql://ada:secret@db.example:5433/lab?password=secret&sslpassword=secret",
            "db.example:5433/lab",
        ),
        ("postgresql://ada:se@secret@db.example/lab", "db.example/lab"),
        ("postgresql://secret@[::1]:5433/lab", "[::1]:5433/lab"),
        ("postgresql:///lab?host=/run/postgresql&password=secret", "/lab"),
    ],
)
def test_a_database_is_called_by_host_port_and_name(url: str, shown: str) -> None:
    database = open_database(url)
    assert database.name == f"postgresql://{shown}"
    assert "secret" not in database.error("no").message


def test_an_address_that_is_none_is_told_without_its_secret(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError) as caught:
        BucketStore("s3://key:secret@bucket/prefix", tmp_path)
    assert "secret" not in caught.value.message
    for text in ("user:secret@registry.example.org/a", "https://user:secret@registry.example.org/A"):
        with pytest.raises(UsageError) as caught:
            read_place(text)
        assert "secret" not in caught.value.message
