"""Origin, boxes and audit in a real browser."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page
from support.browser import *  # noqa: F403
from support.browser import axe
from support.seeded_record import PNG, seed
from support.services import PostgresServer
from support.web_fixtures import *  # noqa: F403
from support.web_fixtures import Site
from support.web_server import web_server

from orchestrator.settings import load

Visit = Callable[..., Page]


def test_a_file_is_hashed_in_the_browser_and_only_its_digest_is_sent(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    picture = tmp_path / "renamed by somebody.bin"
    picture.write_bytes(PNG)
    page = visit(site.server, "/origin")
    asked: list[str] = []
    page.on("request", lambda one: asked.append(f"{one.method} {one.url} {one.post_data}"))
    page.get_by_label("Choose a file").set_input_files(picture)
    page.wait_for_url("**/origin?digest=*")
    page.get_by_role("link", name=site.runs.grid[0]).wait_for()
    assert not [one for one in asked if "renamed" in one or not one.startswith("GET ")]
    assert hashlib.sha256(PNG).hexdigest() in page.url
    assert axe(page) == []
    for size in (0, 55, 56, 63, 64, 65, 119, (1 << 22) + 7):  # around the ends of a block and of a piece
        data = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
        picture.write_bytes(data)
        page.get_by_label("Choose a file").set_input_files(picture)
        page.wait_for_url(f"**digest={hashlib.sha256(data).hexdigest()}")


def test_boxes_and_audit_are_shown(site: Site, visit: Visit) -> None:
    page = visit(site.server, "/boxes", theme="dark")
    assert page.get_by_role("link", name=site.runs.running).count() == 2, "at its box, and in the queue"
    assert axe(page) == []
    page.get_by_role("link", name="Audit").click()
    page.get_by_text("this box has run no audit yet").wait_for()
    assert axe(page) == []


@pytest.mark.server
def test_the_same_pages_stand_over_postgres(tmp_path: Path, postgres: PostgresServer) -> None:
    settings = load({"REPRISE_HOME": str(tmp_path), "REPRISE_DATABASE_URL": postgres.new_record()})
    runs = seed(settings)
    with web_server(settings) as server:
        found = server.ask("/?where=params.lr+%3C+0.05&sort=-metrics.accuracy")
        assert found.text.index(runs.grid[5]) < found.text.index(runs.grid[0])
        for path in (f"/runs/{runs.best}", f"/runs/{runs.hostile}", "/?group=seed", "/boxes", "/audit"):
            assert server.ask(path).status == 200
        assert server.post(f"/runs/{runs.best}", {"do": "note", "text": "seen"}).status == 303
        assert "seen" in server.ask(f"/runs/{runs.best}").text
