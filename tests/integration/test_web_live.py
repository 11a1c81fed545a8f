"""A run watched in a real browser: two tabs, a server that is killed, and a rerun beside its original."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page
from support.browser import *  # noqa: F403
from support.browser import axe
from support.records import finish_run, new_run
from support.running_run import HEADER, RunningJob, running_job, step_lines
from support.web_fixtures import *  # noqa: F403
from support.web_fixtures import Site
from support.web_server import web_server

from orchestrator.launch.session import Session
from orchestrator.record.record import Record
from orchestrator.run.attempt_model import TraceFile

Visit = Callable[..., Page]


def test_two_tabs_follow_a_run_of_1000_points_a_second_through_a_restart_of_the_server(
    empty_site: Site, job: RunningJob, visit: Visit
) -> None:
    over = threading.Event()

    def work() -> None:
        step = 0
        while not over.wait(0.05):
            job.measures(*({"step": 50 * step + number, "loss": 1 / (step + 1)} for number in range(50)))
            job.traces(*step_lines(step, 1 / (step + 1)))
            job.prints(f"step {step} <b>of</b> many\n")
            step += 1

    worker = threading.Thread(target=work)
    worker.start()
    try:
        tabs = [visit(empty_site.server, f"/runs/{job.run}", theme=theme) for theme in ("light", "dark")]
        for tab in tabs:
            tab.get_by_role("status").get_by_text("live").wait_for()
            tab.get_by_role("img", name="loss: ").first.wait_for()
            tab.locator("#live-log").get_by_text("step 20 <b>of</b> many").wait_for()
        assert axe(tabs[0]) == []
        seen = [points(tab) for tab in tabs]
        time.sleep(2)
        grown = [points(tab) - before for tab, before in zip(tabs, seen, strict=True)]
        assert min(grown) > 500, grown
    finally:
        over.set()
        worker.join()
    job.ends()
    for tab in tabs:
        tab.get_by_text("succeeded").first.wait_for()
        assert tab.locator("[data-live]").count() == 0


def test_points_with_times_are_drawn_by_seconds_and_so_are_those_of_the_run_that_is_over(
    empty_site: Site, job: RunningJob, visit: Visit
) -> None:
    job.measures(*({"step": step, "loss": 1 / (step + 1), "time": 1.79e9 + step**2} for step in range(5)))
    job.traces(*step_lines(0, 0.5))
    tab = visit(empty_site.server, f"/runs/{job.run}")
    caption = tab.locator("figure[data-name=loss] figcaption")
    caption.get_by_text("the last at 16 s").wait_for()
    line = tab.locator("figure[data-name=loss] path.line")
    assert line.get_attribute("d").startswith("M0.0 2.0L75.0 ")
    tab.get_by_label("Across").select_option("time")
    assert line.get_attribute("d").startswith("M0.0 2.0L18.8 ")
    traced = tab.locator("figure[data-name='trace.loss'] figcaption").inner_text()
    assert traced.endswith("by step: they have no times")
    job.ends()
    tab.get_by_text("succeeded").first.wait_for()
    assert "x=time" in tab.url


def points(tab: Page) -> int:
    text = tab.locator("figure[data-name=loss] figcaption").inner_text()
    return int(text.split(" points")[0].split()[-1].replace(",", ""))


@pytest.mark.acceptance
def test_a_server_that_is_started_again_is_found_by_open_tabs(
    empty_site: Site, job: RunningJob, visit: Visit
) -> None:
    settings = empty_site.server.settings
    with web_server(settings) as first:
        port = first.bound.port
        tab = visit(first, f"/runs/{job.run}")
        tab.get_by_role("status").get_by_text("live").wait_for()
    tab.get_by_role("status").get_by_text("the server does not answer").wait_for()
    job.prints("while it was away\n")
    with web_server(settings, port=port):
        tab.locator("#live-log").get_by_text("while it was away").wait_for(timeout=30_000)
        tab.get_by_role("status").get_by_text("live").wait_for()


def test_a_run_that_is_not_over_is_read_without_scripts(
    empty_site: Site, job: RunningJob, visit: Visit
) -> None:
    job.prints("one line\n")
    page = visit(empty_site.server, f"/runs/{job.run}", scripts=False)
    assert "reload it" in page.inner_text("[data-live]")
    assert "one line" in page.inner_text("#log")


def traced(session: Session, *lines: dict[str, Any]) -> TraceFile:
    steps = 1 + max(line["s"] for line in lines if "e" in line)
    whole = [HEADER, {"table": 0, "of": "SGD", "tensors": [["w", "float32[2]"]]}, *lines]
    whole.append({"end": True, "steps": steps, "events": len(lines)})
    data = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in whole)
    with session.store.batch() as sink:
        digest = sink.add(io.BytesIO(data), len(data))
    facts: dict[str, Any] = {"digest": digest, "size": len(data), "steps": steps, "events": len(lines)}
    return TraceFile(rank=0, world=1, pid=7, complete=True, **facts)


@pytest.fixture
def original(empty_site: Site, record: Record) -> str:
    """A run of six steps, whose trace is in the store."""
    with Session(empty_site.server.settings) as session:
        file = traced(session, *(line for step in range(6) for line in step_lines(step, 0.5)))
    return finish_run(record, new_run(), traces=(file,))


def test_a_rerun_is_seen_to_part_from_its_original_while_it_runs(
    empty_site: Site, record: Record, original: str, visit: Visit
) -> None:
    with running_job(empty_site.server.settings, record, rerun_of=original) as job:
        page = visit(empty_site.server, f"/runs/{job.run}/reproduction")
        for step in range(3):
            job.traces(*step_lines(step, 0.5))
        page.get_by_text("all equal to the original so far").wait_for()
        job.traces(*step_lines(3, 0.5, "f" * 16))
        page.get_by_text("differs from the original from step 3 on (forward)").wait_for()
        assert axe(page) == []


@pytest.mark.parametrize(("theme", "width", "scripts"), [("light", 1280, True), ("dark", 320, False)])
def test_how_a_difference_spread_is_read_without_scripts(
    empty_site: Site, record: Record, original: str, visit: Visit, theme: str, width: int, scripts: bool
) -> None:
    with Session(empty_site.server.settings) as session:
        lines = (
            line
            for step in range(6)
            for line in step_lines(step, 0.5, "f" * 16 if step > 2 else "0123456789abcdef")
        )
        rerun = finish_run(record, new_run(rerun_of=original), traces=(traced(session, *lines),))
    page = visit(empty_site.server, f"/runs/{rerun}", theme=theme, width=width, scripts=scripts)
    page.get_by_role("link", name="Beside its original").click()
    page.wait_for_url("**/reproduction")
    rows = page.locator("section", has=page.get_by_role("heading", name="Steps and phases")).locator(
        "tbody tr"
    )
    assert [row.inner_text().split("\t") for row in rows.all()] == [
        ["batch", "6", "0", "-"],
        ["forward", "6", "3", "3"],
        ["backward", "6", "3", "3"],
        ["optimizer", "6", "3", "3"],
    ]
    page.get_by_text("As numbers").click()
    assert page.get_by_role("cell", name="w", exact=True).count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if scripts:
        assert axe(page) == []
    document = empty_site.server.json(f"/runs/{rerun}/reproduction?format=json")
    assert [row["first"] for row in document["map"]["tensors"]] == [3, 3]


def test_what_is_no_rerun_has_nothing_beside_it(empty_site: Site, original: str) -> None:
    refused = empty_site.server.ask(f"/runs/{original}/reproduction")
    assert refused.status == 400
    assert "is no rerun" in refused.text
