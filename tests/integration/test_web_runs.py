"""The table of runs and the page of one run, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page
from support.browser import *  # noqa: F403
from support.browser import axe
from support.web_fixtures import *  # noqa: F403
from support.web_fixtures import Site

Visit = Callable[..., Page]


def test_a_run_is_found_and_opened(site: Site, visit: Visit) -> None:
    page = visit(site.server)
    page.get_by_role("link", name=site.runs.best).first.click()
    page.wait_for_url(f"**/runs/{site.runs.best}")
    assert "digits" in page.title()
    assert page.get_by_text("identical").count() == 0
    assert "production" in page.inner_text("main")
    assert axe(page) == []


def test_a_theme_is_chosen_and_kept(site: Site, visit: Visit) -> None:
    page = visit(site.server, theme="dark")
    assert axe(page) == []
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != dark
    page.reload()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != dark
    assert axe(page) == []
