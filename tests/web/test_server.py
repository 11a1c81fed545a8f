"""How the server is reached: names, a path below a proxy, two boxes' tokens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.web_fixtures import Site

from orchestrator.web.server import allowed_hosts


def test_the_names_that_are_answered() -> None:
    assert allowed_hosts("127.0.0.1", 81, ()) == {"127.0.0.1:81", "localhost:81", "[::1]:81"}
    assert allowed_hosts("10.0.0.7", 81, ("Team.example",)) == {
        "10.0.0.7:81",
        "team.example",
        "team.example:81",
    }
    assert "127.0.0.1" in allowed_hosts("127.0.0.1", 80, ())
    assert "0.0.0.0:81" not in allowed_hosts("0.0.0.0", 81, ("team.example",))


def test_below_a_path_every_address_has_it(site_of: Callable[..., Site]) -> None:
    site = site_of(root_path="/reprise", names=["team.example"])
    proxied = {"Host": "team.example"}
    found = site.server.ask(f"/?token={site.server.bound.tokens.read}", token=None, headers=proxied)
    assert found.headers["location"] == "/reprise/"
    assert "Path=/reprise/" in found.headers["set-cookie"]
    for path in ("/", f"/runs/{site.runs.best}", "/boxes", "/audit", "/origin"):
        text = site.server.ask(path, headers=proxied).text
        for start in ('href="/', 'src="/', 'action="/', 'data-live="/'):
            parts = text.split(start)[1:]
            assert all(part.startswith("reprise/") for part in parts), (path, start)
    note = {"do": "note", "text": "through the proxy"}
    said = site.server.post(
        f"/runs/{site.runs.best}", note, headers={**proxied, "Origin": "https://team.example"}
    )
    assert (said.status, said.headers["location"]) == (303, f"/reprise/runs/{site.runs.best}#said")


def test_a_page_that_fails_says_so_and_the_server_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from orchestrator.web.pages import last_audit

    def broken(_home: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(last_audit, "kept_audit", broken)
    found = site.server.ask("/audit")
    assert found.status == 500
    assert "planted" not in found.text
    assert "default-src 'none'" in found.headers["content-security-policy"]
    monkeypatch.undo()
    assert site.server.ask("/audit").status == 200
