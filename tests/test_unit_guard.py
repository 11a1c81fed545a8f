"""A unit test that reaches for an engine or a server is told so, wherever it does."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from support.unit_guard import ENGINE_SOCKETS


def connect() -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(ENGINE_SOCKETS[0])


@pytest.mark.parametrize(
    ("reach", "named"),
    [
        (connect, "the Docker Engine"),
        (lambda: subprocess.run(["docker", "ps"], check=False), "docker"),
        (lambda: subprocess.run(["/usr/bin/sudo", "true"], check=False), "sudo"),
    ],
)
def test_a_unit_test_reaches_nothing(reach: Callable[[], object], named: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=named):
        reach()


def test_nor_do_the_processes_that_it_starts() -> None:
    asks = "from orchestrator.run.engine.engine import Engine; Engine.connect()"
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=False)
    assert done.returncode and "a-unit-test-has-no-engine" in done.stderr
