"""`make screenshots`: pages of the dashboard over the tests' own study, in docs/screenshots/.

A page that another change adds gets a line of SHOTS. Needs Debian's chromium-headless-shell.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from playwright.sync_api import Browser, sync_playwright
from support.fresh_record import plant
from support.seeded_record import Seeded, seed
from support.web_server import WebServer, web_server

from orchestrator.settings import load

ROOT = Path(__file__).resolve().parent.parent
STUDY = quote("job == 'digits'")


class Shot(NamedTuple):
    name: str
    said: str
    path: str  # {best} and the like are runs of the study, {grid} all of its grid
    theme: Any = "light"
    width: int = 1280
    height: int = 760
    empty: bool = False  # over a record without runs


SHOTS = (
    Shot("runs", "The runs of a study", f"/?where={STUDY}&sort=-metrics.accuracy"),
    Shot("runs-dark", "The same in the dark", f"/?where={STUDY}&sort=-metrics.accuracy", "dark"),
    Shot("seeds", "Runs that differ in the seed alone, together", f"/?where={STUDY}&group=seed", height=480),
    Shot("run", "A run", "/runs/{best}", height=1100),
    Shot("compare", "Runs beside each other", "/compare?runs={grid}", height=1100),
    Shot("failed", "A run that failed", "/runs/{failed}"),
    Shot("hostile", "A run whose every text is hostile", "/runs/{hostile}", "dark"),
    Shot("phone", "On a phone", "/runs/{best}", "dark", 360, 740),
    Shot("boxes", "Boxes and queue", "/boxes", height=420),
    Shot("empty", "Before the first run", "/", height=420, empty=True),
)


def take(browser: Browser, server: WebServer, runs: Seeded, shot: Shot, folder: Path) -> None:
    viewport = {"width": shot.width, "height": shot.height}
    context = browser.new_context(color_scheme=shot.theme, viewport=viewport)  # type: ignore[arg-type]
    name, value = server.cookie("annotate")["Cookie"].split("=", 1)
    context.add_cookies([{"name": name, "value": value, "url": server.origin}])
    page = context.new_page()
    page.goto(server.origin + shot.path.format_map(runs.named | {"grid": ",".join(runs.grid)}))
    page.wait_for_load_state("networkidle")
    page.screenshot(path=folder / f"{shot.name}.jpg", type="jpeg", quality=72)
    context.close()


def main() -> None:
    folder = ROOT / "docs" / "screenshots"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium-headless-shell", chromium_sandbox=os.geteuid() != 0
        )
        for empty in (False, True):
            home = Path(made) / ("empty" if empty else "study")
            plant(home / "reprise.db")
            settings = load({"REPRISE_HOME": str(home)})
            runs = Seeded() if empty else seed(settings)
            with web_server(settings) as server:
                for shot in (shot for shot in SHOTS if shot.empty is empty):
                    take(browser, server, runs, shot, folder)
        browser.close()
    lines = ["# The dashboard, seen", "", "Made by `make screenshots` over the tests' own study.", ""]
    for shot in SHOTS:
        lines += [f"## {shot.said}", "", f"![{shot.said}]({shot.name}.jpg)", ""]
    (folder / "README.md").write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main()
