"""The table of runs and the page of one run, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page
from support.browser import *  # noqa: F403
from support.browser import axe
from support.records import finish_run, new_run
from support.web_fixtures import *  # noqa: F403
from support.web_fixtures import Site

from orchestrator.record.record import open_record

Visit = Callable[..., Page]


def test_a_run_is_found_and_opened(site: Site, visit: Visit) -> None:
    page = visit(site.server)
    page.get_by_role("link", name=site.runs.best).first.click()
    page.wait_for_url(f"**/runs/{site.runs.best}")
    assert "digits" in page.title()
    assert page.get_by_text("identical").count() == 0
    assert "production" in page.inner_text("main")
    assert axe(page) == []


@pytest.mark.acceptance
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
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
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


def test_a_study_is_filtered_sorted_selected_and_compared(site: Site, visit: Visit) -> None:
    page = visit(site.server)
    assert axe(page) == []
    page.keyboard.press("/")
    page.keyboard.type("params.optimizer == 'adam'")
    page.keyboard.press("Enter")
    page.wait_for_url("**where=params.optimizer*")
    page.get_by_role("link", name="accuracy").click()
    page.wait_for_url("**sort=-metrics.accuracy*")
    rows = page.locator("tr[data-row]")
    assert rows.count() == 9
    assert site.runs.grid[5] in rows.first.inner_text()
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert page.get_by_role("checkbox", checked=True).count() == 2
    page.reload()
    assert page.get_by_role("checkbox", checked=True).count() == 2, "a reload keeps the selection"
    with page.expect_request("**/select?*") as asked:
        page.keyboard.press("c")
    assert asked.value.url.count("run=") == 2


def test_a_new_run_appears_and_place_and_selection_stay(site_of: Callable[..., Site], visit: Visit) -> None:
    site = site_of()
    page = visit(site.server, width=700, height=420)
    box = page.get_by_role("checkbox", name=f"Select {site.runs.grid[0]}")
    box.check()
    box.focus()
    place = page.locator(".tall").evaluate("part => part.scrollTop")
    assert place > 0
    with open_record(site.server.settings) as record:
        run = finish_run(record, new_run())
    page.locator(f"#r-{run}").wait_for(state="attached")
    assert box.is_checked()
    assert box.evaluate("box => box === document.activeElement")
    assert page.locator(".tall").evaluate("part => part.scrollTop") >= place


@pytest.mark.acceptance
def test_a_view_has_a_name_in_this_browser(site: Site, visit: Visit) -> None:
    page = visit(site.server, "/?where=params.lr+%3C+1&group=seed")
    page.get_by_role("button", name="Save this view").click()
    page.get_by_label("Name").fill("small <b>rates</b>")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("link", name="small <b>rates</b>").click()
    page.wait_for_url("**group=seed*")
    assert page.get_by_role("checkbox", name="Group seeds").is_checked()
    assert axe(page) == []


def test_columns_are_chosen_without_scripts(site: Site, visit: Visit) -> None:
    page = visit(site.server, scripts=False)
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("link", name="All", exact=True).click()
    page.wait_for_url("**columns=all*")
    page.get_by_role("checkbox", name=f"Select {site.runs.best}").check()
    page.get_by_role("link", name="created").click()
    page.wait_for_url("**sort=-created*")


@pytest.mark.parametrize(
    ("theme", "width"), [("dark", 320), pytest.param("light", 3840, marks=pytest.mark.acceptance)]
)
def test_the_table_fits_any_screen(site: Site, visit: Visit, theme: str, width: int) -> None:
    page = visit(site.server, theme=theme, width=width, height=900)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert axe(page) == []


def test_an_empty_record_says_how_to_begin(empty_site: Site, visit: Visit) -> None:
    page = visit(empty_site.server)
    page.get_by_text("No run is recorded yet").wait_for()
    assert axe(page) == []
