"""Debian's Chromium, driven by Playwright: `from support.browser import *` brings `visit` and `axe`.

A page fails its test where a script fails, a policy is broken, a dialog opens, or another host is asked.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from support.web_server import WebServer

__all__ = ["browser", "visit"]

AXE = Path(__file__).with_name("axe") / "axe.min.js"
# docs/web.md claims these.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


# Of one file: while Playwright is there, its loop runs in this thread, and no other could.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # The shell takes 0.6 of the CPU that the whole browser takes.
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if found is None:
        pytest.fail("no Chromium: `make test` installs Debian's package chromium-headless-shell")
    # Chromium's own sandbox needs namespaces that root in a container has not; every page here is ours.
    sandboxed = os.geteuid() != 0
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=found, chromium_sandbox=sandboxed, args=["--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """`visit(server, path, theme="dark", width=…, height=…, scripts=True)`: a page of its own, logged in."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_page(
        server: WebServer,
        path: str = "/",
        *,
        token: str = "annotate",
        theme: Any = "light",
        width: int = 1280,
        height: int = 800,
        scripts: bool = True,
    ) -> Page:
        context = browser.new_context(
            color_scheme=theme,
            viewport={"width": width, "height": height},
            java_script_enabled=scripts,
            bypass_csp=False,
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        page.on("console", lambda said: wrong.append(said.text) if _is_wrong(said.type, said.text) else None)
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request", lambda asked: None if _ours(asked.url, server) else wrong.append(f"asked {asked.url}")
        )
        context.add_cookies(
            [
                {
                    "name": f"reprise-web-{server.bound.port}",
                    "value": getattr(server.bound.tokens, token),
                    "url": server.origin,
                    "httpOnly": True,
                    "sameSite": "Strict",
                }
            ]
        )
        page.goto(server.origin + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def _is_wrong(kind: str, text: str) -> bool:
    """A refused answer (404 and the like) is said on the console, too; a test asks for the status itself."""
    return kind == "error" and "Failed to load resource" not in text


def _ours(url: str, server: WebServer) -> bool:
    return url.startswith((server.origin + "/", "data:", "blob:", "about:"))


@cache
def _axe() -> str:
    return AXE.read_text("utf-8")


def axe(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA. It comes in through the debugger: our policy lets no script in."""
    page.evaluate(_axe())
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    return [
        f"{broken['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for broken in found["violations"]
        for node in broken["nodes"]
    ]
