"""Our own files for the browser: whole, small, with licences, and served for ever under what they hold."""

from __future__ import annotations

import hashlib
import json

from support.web_fixtures import Site

from orchestrator.web.static_files import FOLDER, static_files, static_path


def test_what_others_made_is_what_their_packages_hold() -> None:
    vendor = FOLDER / "vendor"
    manifest = json.loads((vendor / "manifest.json").read_text())
    told = {f"{name}/{file}": mark for name, held in manifest.items() for file, mark in held["files"].items()}
    there = {
        path.relative_to(vendor).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert told == there
    assert all(f"{name}/LICENSE" in told and held["licence"] for name, held in manifest.items())


def test_they_are_small() -> None:
    sizes = {name: len(found.data) for name, found in static_files().items()}
    assert sum(sizes.values()) < 300_000
    own = {name: size for name, size in sizes.items() if name.endswith(".css") and "vendor" not in name}
    assert own.pop("style.css") < 15_360, "every page loads it"
    assert all(size < 5_120 for size in own.values()), "a page that needs more loads one of these"


def test_they_are_kept_for_ever_under_their_hash_and_need_no_token(site: Site) -> None:
    for name, file in static_files().items():
        found = site.server.ask(static_path(name), token=None)
        assert found.status == 200
        assert found.data == file.data
        assert "immutable" in found.headers["cache-control"]
        assert found.headers["content-type"].startswith(file.media_type)
        assert site.server.ask(f"/static/{'0' * 16}/{name}", token=None).status == 404
