"""Outputs: looked at and downloaded, by digest, where a row of the run names it."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from starlette.exceptions import HTTPException
from support.records import finish_run, new_run, no_run_is_read, stored_output
from support.seeded_record import PNG
from support.web_fixtures import Site

from orchestrator.digest import Digest
from orchestrator.launch.session import Session
from orchestrator.web.pages import run_outputs
from orchestrator.web.pages.run_outputs import attachment

PAGE = Digest.of(b"<script>alert(document.cookie)</script>").hex
DRAWING = Digest.of(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>").hex
PICTURE = Digest.of(PNG).hex


@pytest.mark.parametrize("mark", [PAGE, DRAWING, PICTURE])
def test_a_download_is_never_shown(site: Site, mark: str) -> None:
    found = site.server.ask(f"/runs/{site.runs.best}/outputs/{mark}/download")
    assert found.status == 200
    assert Digest.of(found.data).hex == mark
    assert found.headers["content-disposition"].startswith("attachment;")
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in found.headers["content-security-policy"]


def test_bytes_are_served_only_where_a_row_of_that_run_names_them(site: Site) -> None:
    log = site.server.ask(f"/runs/{site.runs.best}?format=json").text.partition('"log"')[2]
    of_log = log.partition("sha256:")[2][:64]
    for run, mark in (
        (site.runs.best, of_log),  # in the store, and no output
        (site.runs.failed, PICTURE),  # of another run
        (site.runs.best, "0" * 64),
        (site.runs.best, "..%2f..%2fetc%2fpasswd"),
        (site.runs.best, PICTURE.upper()),
    ):
        for what in ("", "/image", "/download"):
            assert site.server.ask(f"/runs/{run}/outputs/{mark}{what}").status == 404


def test_one_output_is_asked_for_and_not_the_whole_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may have 100,000 outputs and as many source files."""
    no_run_is_read(monkeypatch)
    for what in ("", "/image", "/download"):
        assert site.server.ask(f"/runs/{site.runs.best}/outputs/{PICTURE}{what}").status == 200
    assert "digits" in site.server.ask(f"/runs/{site.runs.best[:8]}/outputs/{PAGE}").text


def test_only_an_image_by_its_bytes_is_one(site: Site) -> None:
    found = site.server.ask(f"/runs/{site.runs.best}/outputs/{PICTURE}/image")
    assert (found.status, found.headers["content-type"]) == (200, "image/png")
    for mark in (PAGE, DRAWING):
        assert site.server.ask(f"/runs/{site.runs.best}/outputs/{mark}/image").status == 404
        text = site.server.ask(f"/runs/{site.runs.best}/outputs/{mark}").text
        assert "<svg" not in text
        assert "<script>alert" not in text
        assert "alert(" in text


@pytest.mark.parametrize(
    "path", ['a/"; x="', "a\r\nSet-Cookie: x=1", "../../.bashrc", "\u202etxt.exe", "é.pt", "", "x" * 300]
)
def test_a_name_cannot_leave_its_header(path: str) -> None:
    found = attachment(path)
    assert found.isascii()
    assert "\r" not in found
    assert "\n" not in found
    assert found.count('"') == 2
    assert "filename*=UTF-8''." not in found
    assert len(found) < 1100


def test_what_is_read_for_a_client_that_is_gone_ends(
    empty_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint is hashed before its first byte is sent, and who sees nothing asks again, and again."""
    monkeypatch.setattr(run_outputs, "LOOK", 0.0)
    settings = empty_site.server.settings
    large = b"x" * (3 << 20)
    with Session(settings) as session:
        run = finish_run(session.record, new_run(), outputs=(stored_output(session.store, "w.pt", large),))
    reading, gone, ended = threading.Event(), threading.Event(), threading.Event()
    real = run_outputs._Waiting.__call__

    def between(waiting: run_outputs._Waiting) -> None:
        reading.set()
        gone.wait(10)
        try:
            real(waiting)
        except HTTPException:
            ended.set()
            raise

    monkeypatch.setattr(run_outputs._Waiting, "__call__", between)
    head = "".join(f"{name}: {value}\r\n" for name, value in empty_site.server.cookie("read").items())
    path = f"/runs/{run}/outputs/{Digest.of(large).hex}/download"
    with socket.create_connection(("127.0.0.1", empty_site.server.bound.port)) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {empty_site.server.host}\r\n{head}\r\n".encode())
        assert reading.wait(10)
    time.sleep(0.2)  # until the server has seen the end of the connection
    gone.set()
    assert ended.wait(10)
    assert empty_site.server.ask(path).data == large
