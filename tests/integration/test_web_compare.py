"""Runs compared, and what mattered, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from support.browser import *  # noqa: F403
from support.browser import axe
from support.web_fixtures import *  # noqa: F403
from support.web_fixtures import Site

Visit = Callable[..., Page]


def test_runs_are_compared_narrowed_and_drawn(site: Site, visit: Visit) -> None:
    """The way of a reader with a keyboard: a range on an axis, an axis moved, a chart read."""
    page = visit(site.server, f"/compare?runs={','.join(site.runs.grid)}")
    expect(page.locator("#beside tbody tr:visible")).to_have_count(9)
    page.get_by_role("button", name="lr", exact=True).click()
    page.get_by_label("from").fill("0.05")
    page.get_by_label("from").press("Tab")
    expect(page.locator("#beside tbody tr:visible")).to_have_count(3)
    expect(page.locator("#parallel-count")).to_have_text("3 of 9 runs are kept")
    page.get_by_role("button", name="lr", exact=True).press("ArrowRight")
    assert page.locator(".lanes li").all_inner_texts()[:2] == ["accuracy", "lr"]
    page.reload()
    expect(page.locator("#beside tbody tr:visible")).to_have_count(3), "the address is the state"
    chart = page.get_by_role("img", name="Chart of loss")
    chart.scroll_into_view_if_needed()
    expect(chart.locator("canvas")).to_be_visible()
    chart.focus()
    chart.press("Home")
    expect(page.locator("[data-metric=loss] .readout")).to_contain_text(
        re.compile("|".join(site.runs.grid[6:]))
    )
    page.get_by_label("log up").check()
    page.get_by_label("Smoothing").fill("0.9")
    page.wait_for_url("**smooth=0.9**")
    page.get_by_role("button", name="All runs").click()
    expect(page.locator("#beside tbody tr:visible")).to_have_count(9)
    page.locator(".chart-controls select[name=x]").select_option("time")
    page.wait_for_url("**x=time**")
    accuracy = page.locator("[data-metric=accuracy] .readout")
    accuracy.scroll_into_view_if_needed()
    expect(accuracy).to_contain_text("360 points of 9 of 9 runs not drawn: no time is recorded with them")
    assert axe(page) == []


@pytest.mark.acceptance
def test_an_axis_is_brushed_by_the_mouse(site: Site, visit: Visit) -> None:
    page = visit(site.server, f"/compare?runs={','.join(site.runs.grid)}")
    canvas = page.locator(".lanes canvas")
    box = canvas.bounding_box()
    assert box is not None
    first = box["x"] + box["width"] / 6  # the middle of the first of three axes
    page.mouse.move(first, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(first, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(page.locator("#beside tbody tr:visible")).to_have_count(3)
    page.mouse.click(first, box["y"] + 200)
    expect(page.locator("#beside tbody tr:visible")).to_have_count(9)


@pytest.mark.acceptance
def test_hostile_runs_are_compared_in_both_themes(site: Site, visit: Visit) -> None:
    asked = f"/compare?runs={site.runs.hostile},{site.runs.best},{site.runs.failed}"
    page = visit(site.server, asked, theme="dark", width=400)
    expect(page.locator(".lanes canvas")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert axe(page) == []
    plain = visit(site.server, asked, scripts=False)
    expect(plain.get_by_text("Charts need JavaScript")).to_be_visible()
    expect(plain.get_by_text("<script>alert(1)</script>").first).to_be_visible()


def test_what_mattered_is_reached_and_readable(site: Site, visit: Visit) -> None:
    page = visit(site.server, "/", theme="dark")
    page.get_by_role("link", name="What mattered").click()
    page.locator("select[name=metric]").select_option("accuracy")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("cannot be told")).to_be_visible()
    expect(page.get_by_role("img", name="accuracy over lr")).to_be_visible()
    assert axe(page) == []
