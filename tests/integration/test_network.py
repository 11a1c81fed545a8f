"""`resources.network`: a job on the bridge reaches what listens there, and any other reaches nothing."""

from __future__ import annotations

import errno
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support import Box, write_job

pytestmark = pytest.mark.engine
PORT = 7007

LISTENER = f"""
import socket, sys
server = socket.create_server(('', {PORT}))
print('listening', flush=True)
while True:
    with server.accept()[0] as client:
        client.sendall(sys.argv[1].encode())
"""

CALLER = """
import os, socket
print('interfaces', sorted(set(os.listdir('/sys/class/net')) - {{'lo'}}))
try:
    with socket.create_connection(({host!r}, {port}), timeout=10) as client:
        heard = client.makefile().read()
        print('heard', heard)
        open('heard.txt', 'w').write(heard)
except OSError as error:
    print('unreached', error.errno)
"""


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def listener(box: Box, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of a container on the engine's own bridge, and the word that it says to who calls."""
    word = secrets.token_hex(8)
    spec = write_job(tmp_path / "listener", "pass")
    digest = box.type("build", str(spec), "--load").out.splitlines()[-1]
    image = f"reprise:{digest.removeprefix('sha256:')}"
    name = docker("run", "--detach", "--init", "--entrypoint", "python", image, "-c", LISTENER, word)
    try:
        deadline = time.monotonic() + 30
        while "listening" not in docker("logs", name):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield docker("inspect", "--format", "{{.NetworkSettings.Networks.bridge.IPAddress}}", name), word
    finally:
        docker("rm", "--force", name)


def test_only_a_job_that_asks_for_the_bridge_reaches_its_neighbours(
    box: Box, tmp_path: Path, listener: tuple[str, str]
) -> None:
    host, word = listener
    script = CALLER.format(host=host, port=PORT)
    bridged = box.json("submit", str(write_job(tmp_path / "a", script, "resources: {network: bridge}")))
    said = box.type("logs", bridged["id"]).out
    assert f"heard {word}" in said
    assert "interfaces ['eth0']" in said

    alone = box.json("submit", str(write_job(tmp_path / "b", script)))
    said = box.type("logs", alone["id"]).out
    assert f"unreached {errno.ENETUNREACH}" in said
    assert "interfaces []" in said
    assert word not in said


def test_a_rerun_is_given_the_network_that_the_run_had(
    box: Box, tmp_path: Path, listener: tuple[str, str]
) -> None:
    """The network is no part of the image, so the record must remember it."""
    host, word = listener
    script = CALLER.format(host=host, port=PORT)
    run = box.json("submit", str(write_job(tmp_path / "job", script, "resources: {network: bridge}")))
    again = box.json("rerun", run["id"])
    assert again["verdict"]["outcome"] == "identical"
    assert f"heard {word}" in box.type("logs", again["run"]["id"]).out
