"""A page that proves itself, opened from a disk in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from support.browser import *  # noqa: F403
from support.browser import axe
from support.changed_page import SHOWN_AND_PROVEN, changed
from support.web_fixtures import *  # noqa: F403
from support.web_fixtures import Site

from orchestrator.audit.keys import signing_key
from orchestrator.launch.session import Session
from orchestrator.web.proof_page import PageRequest, write_page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.on("request", lambda asked: pytest.fail(asked.url) if asked.url.startswith("http") else None)
    yield page
    context.close()


def test_it_holds_and_one_changed_byte_of_any_part_is_said(site: Site, page: Page, tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    with Session(site.server.settings) as session:
        write_page(session, session.record.run(site.runs.hostile), PageRequest(path=path))
    page.goto(f"file://{path}")
    page.wait_for_selector("html[data-verified=true]")
    assert axe(page) == []
    known = signing_key(site.server.settings).public.fingerprint
    page.get_by_label("The fingerprint that you know").fill(known)
    assert page.inner_text("#fits") == "the same"
    page.get_by_label("The fingerprint that you know").fill(known[:-1])
    assert "NOT the same" in page.inner_text("#fits")
    with Session(site.server.settings) as session:
        write_page(session, session.record.run(site.runs.best), PageRequest(path=path, force=True))
    html = path.read_text()
    for part, pattern in SHOWN_AND_PROVEN.items():
        path.write_text(changed(html, pattern))
        page.goto(f"file://{path}")
        page.wait_for_selector("html[data-verified=false]")
        assert "altered" in page.inner_text("#verdict"), part
    path.write_text(changed(html, r"DOES NOT (H)OLD"))
    page.goto(f"file://{path}")
    assert "not verified" in page.inner_text("#checks"), "its policy lets no altered script run"
