"""Podman's service is killed under a job: its containers have no daemon, so the job's end is believed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import WAITS, Box, let_go, make_box, write_job

from orchestrator.settings import Settings

pytestmark = pytest.mark.engine

SCRIPT = Path(__file__).parent / "engine.sh"
NAME = "podman-5.8"


@pytest.fixture
def host() -> Iterator[str]:
    up = subprocess.run([SCRIPT, "up", NAME], capture_output=True, text=True, check=False)
    assert up.returncode == 0, up.stderr
    yield up.stdout.strip()
    subprocess.run([SCRIPT, "down", NAME], check=True, capture_output=True)


def monitor(room: Path) -> int:
    """The process that Podman leaves with a container, in the namespaces of the service."""
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                words = (place / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it ended meanwhile
                continue
            if words[0].endswith(b"conmon") and any(os.fsencode(room) in word for word in words):
                return int(place.name)
    raise AssertionError("no container is running")


def test_a_job_that_outlives_podmans_service_succeeds(
    tmp_path: Path, shared_base: Settings, host: str
) -> None:
    box = make_box(tmp_path / "home", shared_base, DOCKER_HOST=host)
    room, socket = Path(os.environ["REPRISE_ENGINES"]) / NAME, Path(host.removeprefix("unix://"))
    process = submitted(box, tmp_path)
    service = int((room / "engine.pid").read_text())
    words = Path(f"/proc/{service}/cmdline").read_bytes().split(b"\0")[:-1]
    inside = ["nsenter", "--mount", "--net", "--target", str(monitor(room)), *map(os.fsdecode, words)]
    os.kill(service, signal.SIGKILL)
    assert process.stderr is not None
    while "waiting for it" not in process.stderr.readline():
        assert process.poll() is None
    socket.unlink()
    with (room / "log").open("ab") as log:
        again = subprocess.Popen(inside, stdout=log, stderr=log, start_new_session=True)
    (room / "engine.pid").write_text(str(again.pid))
    end = time.monotonic() + 60
    while subprocess.run(["docker", "-H", host, "version"], capture_output=True, check=False).returncode:
        assert time.monotonic() < end
        time.sleep(0.2)
    (line,) = box.json("history")["runs"]
    let_go(box, line["id"])
    process.communicate(timeout=180)
    assert process.returncode == 0
    shown = box.json("show", line["id"])
    assert (shown["state"], shown["attempt"], shown["log"]["truncated"]) == ("succeeded", 1, False)


def submitted(box: Box, tmp_path: Path) -> subprocess.Popen[str]:
    """A submission whose job has printed its line."""
    process = box.start("submit", str(write_job(tmp_path / "job", WAITS)))
    assert process.stdout is not None
    while "up" not in process.stdout.readline():
        assert process.poll() is None
    return process
