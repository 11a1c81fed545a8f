"""How a registry's repository is written, and which addresses are followed."""

from __future__ import annotations

import pytest

from orchestrator.errors import RegistryError, UsageError
from orchestrator.image.registry.repository import Place, direct, place_of, read_place

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("registry.example.org/team/reprise", Place("registry.example.org", "team/reprise", True)),
        ("registry.example.org:5000/a", Place("registry.example.org:5000", "a", True)),
        ("registry:5000/a-b__c.d/e", Place("registry:5000", "a-b__c.d/e", True)),
        ("localhost/a", Place("localhost", "a", False)),
        ("127.0.0.1:5000/a", Place("127.0.0.1:5000", "a", False)),
        ("[::1]:5000/a", Place("[::1]:5000", "a", False)),
        ("https://localhost:5000/a", Place("localhost:5000", "a", True)),
        ("http://registry/a", Place("registry", "a", False)),
        ("http://10.0.0.7:5000/a", Place("10.0.0.7:5000", "a", False)),
    ],
)
def test_places(text: str, place: Place) -> None:
    assert read_place(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "reprise",
        "team/reprise",
        "registry.example.org",
        "registry.example.org/",
        "registry.example.org/Team",
        "registry.example.org/a:latest",
        "registry.example.org/a/../b",
        f"registry.example.org/a@{DIGEST}",
        "ftp://registry.example.org/a",
        "user:secret@registry.example.org/a",
        "registry.example.org/a?b=c",
    ],
)
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError, match="REPRISE_REGISTRY") as caught:
        read_place(text)
    assert caught.value.exit_code == 2
    assert "HOST" in (caught.value.hint or "")


def test_where_a_base_came_from() -> None:
    assert place_of(f"registry.example.org/a/b@{DIGEST}") == Place("registry.example.org", "a/b", True)
    assert place_of("reprise-base:" + "0" * 64) is None
    assert place_of(f"debian@{DIGEST}") is None


@pytest.mark.parametrize(
    ("named", "url", "followed"),
    [
        ("registry.example.org/a", "https://storage.example.org/x", True),
        ("registry.example.org/a", "http://registry.example.org/x", False),
        ("127.0.0.1:5000/a", "http://localhost:9000/x", True),
        ("http://registry.example.org/a", "http://registry.example.org:5001/x", True),
        ("http://registry.example.org/a", "http://storage.example.org/x", False),
    ],
)
def test_plain_http_is_only_for_this_box_or_where_it_was_named(named: str, url: str, followed: bool) -> None:
    place = read_place(named)
    if followed:
        place.check_address(url)
    else:
        with pytest.raises(RegistryError, match="plain http"):
            place.check_address(url)


def test_only_this_box_is_asked_without_a_proxy() -> None:
    assert direct("http://127.0.0.1:5000/v2/") == {"no_proxy": "127.0.0.1"}
    assert direct("https://registry.example.org/v2/") is None


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:9000/x",
        "https://localhost/x",
        "https://a.localhost/x",
        "https://127.1/x",
        "https://2130706433/x",
        "https://0x7f.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://0.0.0.0/x",
        "http://127.0.0.1:2375/containers",
    ],
)
def test_a_registry_elsewhere_leads_nowhere_on_this_box(url: str) -> None:
    with pytest.raises(RegistryError, match=r"on this box|plain http"):
        read_place("registry.example.org/a").check_address(url)
    with pytest.raises(RegistryError):
        read_place("http://registry.example.org/a").check_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "https://",
        "http://[",
        "https://ada:secret@storage.example.org/x",
        "https://good.example.org\\@evil.example.org/x",
        "https://storage.example.org:99999/x",
        "https://storage.example.org/ x",
        "https://storage.example.org/\r\nX: y",
        "https://storage.exämple.org/x",
        "//storage.example.org/x",
        "https://storage.example.org/" + "x" * 9000,
        "",
    ],
)
def test_what_two_parsers_could_read_in_two_ways_is_no_address(url: str) -> None:
    place = read_place("registry.example.org/a")
    with pytest.raises(RegistryError, match="not followed") as caught:
        place.check_address(url)
    assert "secret" not in caught.value.message
    assert not place.owns(url)


@pytest.mark.parametrize(
    ("named", "url", "owns"),
    [
        ("registry.example.org/a", "https://registry.example.org/x", True),
        ("registry.example.org/a", "https://REGISTRY.example.org.:443/x", True),
        ("registry.example.org/a", "https://registry.example.org:444/x", False),
        ("registry.example.org/a", "https://registry.example.org.evil.example/x", False),
        ("http://registry.example.org/a", "https://registry.example.org/x", True),
        ("http://registry.example.org:5000/a", "https://registry.example.org/x", False),
        ("[::1]:5000/a", "http://[::1]:5000/x", True),
        ("127.0.0.1:5000/a", "http://127.0.0.1:5001/x", False),
    ],
)
def test_which_addresses_are_the_registry_s_own(named: str, url: str, owns: bool) -> None:
    assert read_place(named).owns(url) is owns


@pytest.mark.parametrize(
    ("named", "realm", "trusted"),
    [
        ("registry-1.example.org/a", "https://auth.example.org/token", True),
        ("registry.lab.example/a", "https://lab.example/jwt/auth", True),
        ("registry.example.org:5000/a", "https://registry.example.org/token", True),
        ("127.0.0.1:5000/a", "http://127.0.0.1:5001/token", True),
        ("registry.example.org/a", "https://auth.example.net/token", False),
        ("registry.example.org/a", "https://badexample.org/token", False),
        ("example.org/a", "https://other.org/token", False),
        ("10.0.0.7:5000/a", "https://1.0.0.7/token", False),
    ],
)
def test_who_may_see_a_login(named: str, realm: str, trusted: bool) -> None:
    assert read_place(named).trusts(realm) is trusted
