"""The table of runs and the page of one run, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
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


def test_outputs_are_looked_at_and_the_log_is_searched(site: Site, visit: Visit) -> None:
    page = visit(site.server, f"/runs/{site.runs.best}")
    page.get_by_role("link", name="plot.png", exact=True).click()
    picture = page.get_by_role("img", name="plot.png")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") == 1
    page.go_back()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download report.html").click()
    assert download.value.suggested_filename == "report.html"
    page.get_by_role("searchbox").or_(page.get_by_label("Search the log")).fill("epoch 7:")
    page.keyboard.press("Enter")
    page.get_by_text("epoch 7: loss 0.1250").wait_for()
    page.get_by_role("link", name="8", exact=True).click()
    page.wait_for_url("**/log?at=8#L8")
    assert axe(page) == []


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 320)])
def test_a_hostile_run_is_only_text(site: Site, visit: Visit, theme: str, width: int) -> None:
    page = visit(site.server, f"/runs/{site.runs.hostile}", theme=theme, width=width)
    for part in page.locator("details > summary").all():
        part.click()
    assert page.get_by_text("<script>alert(1)</script>").count() > 5
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert axe(page) == []


def test_a_note_is_written_without_scripts(site_of: Callable[..., Site], visit: Visit) -> None:
    site = site_of()
    page = visit(site.server, f"/runs/{site.runs.failed}", scripts=False)
    page.get_by_text("Say something of this run").click()
    page.get_by_role("textbox", name="Note").fill("<b>too high</b>")
    page.get_by_role("button", name="Add the note").click()
    page.get_by_text("<b>too high</b>", exact=True).wait_for()
