"""How the server is reached: names, a path below a proxy, two boxes' tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.routing import Route
from support.failing_disk import hanging_store
from support.web_fixtures import Site

from orchestrator.errors import UsageError
from orchestrator.launch.session import Session
from orchestrator.settings import load
from orchestrator.web.routes import routes
from orchestrator.web.server import allowed_hosts, prepare


def test_the_names_that_are_answered() -> None:
    assert allowed_hosts("127.0.0.1", 81, ()) == {"127.0.0.1:81", "localhost:81", "[::1]:81"}
    assert allowed_hosts("10.0.0.7", 81, ("Team.example",)) == {
        "10.0.0.7:81",
        "team.example",
        "team.example:81",
    }
    assert "127.0.0.1" in allowed_hosts("127.0.0.1", 80, ())
    assert "0.0.0.0:81" not in allowed_hosts("0.0.0.0", 81, ("team.example",))


@pytest.mark.parametrize(
    ("names", "start"),
    [
        (["team.example"], "http://team.example/reprise/?token="),
        (["https://team.example"], "https://team.example/reprise/?token="),
        (["https://team.example:8443/", "alpha:8100"], "https://team.example:8443/reprise/?token="),
        (["[::7]:8100"], "http://[::7]:8100/reprise/?token="),
    ],
)
def test_people_are_given_the_address_of_the_proxy(
    site_of: Callable[..., Site], names: list[str], start: str
) -> None:
    site = site_of(seeded=False, root_path="/reprise", names=names)
    assert site.server.bound.address("TOKEN") == f"{start}TOKEN"
    assert not site.server.bound.local
    for name in names:
        host = name.removeprefix("https://").removesuffix("/")
        assert site.server.ask("/", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "name", ["", "https://", "team example", "team.example/reprise", "a@b", "ftp://a", "a:b", "a\n"]
)
def test_what_is_no_name_of_a_host_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no name of a host"):
        prepare(load({"REPRISE_HOME": str(tmp_path)}), port=0, names=[name], ready=lambda _: None)


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


def test_no_page_waits_for_a_store_that_hangs(
    site_of: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of each request that waits is one of forty, and no page is left when all of them wait."""
    site = site_of()
    best, rerun = site.runs.best, site.runs.rerun
    with Session(site.server.settings) as session:
        held = session.record.run(best).outputs[2].digest
    assert held
    places = {"run": best, "hex": held.hex}
    named = [one.path for one in routes if isinstance(one, Route) and "GET" in (one.methods or ())]
    pages = [re.sub(r"\{(\w+)[^}]*\}", lambda found: places.get(found[1], "x"), path) for path in named]
    pages = [
        *pages,
        f"/runs/{rerun}/reproduction",
        f"/compare?runs={best},{rerun}",
        f"/runs/{best}/log?find=x",
    ]
    with hanging_store(monkeypatch) as asked:
        said = {page: site.server.ask(page) for page in pages}
        assert len(asked) == 1, "while one question has no answer no other is asked"
    assert {
        page for page, answer in said.items() if answer.status not in (200, 204, 303, 400, 404, 503)
    } == set()
    of_store = {page for page, answer in said.items() if "does not answer" in answer.text}
    log, output = f"/runs/{best}/log", f"/runs/{best}/outputs/{held.hex}"
    assert of_store == {
        f"/runs/{best}",
        log,
        f"{log}?find=x",
        output,
        f"{output}/image",
        f"{output}/download",
    }
