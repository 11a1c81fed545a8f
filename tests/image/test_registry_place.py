"""How a registry's repository is written, and which addresses are followed."""

from __future__ import annotations

import pytest

from orchestrator.errors import RegistryError, UsageError
from orchestrator.image.registryplace import Place, direct, place_of, read_place

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
        ("registry.example.org/a", "http://127.0.0.1:9000/x", True),
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
