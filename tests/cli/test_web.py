"""`reprise web`: it begins, tells its address, and ends."""

from __future__ import annotations

import http.client
import importlib.util
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.fresh_record import plant

from orchestrator.errors import ExitCode


def serving(home: Path, *words: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "orchestrator.cli", "web", "--port", "0", *words]
    environ = {"PATH": "/usr/bin:/bin", "REPRISE_HOME": str(home)}
    return subprocess.Popen(program, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_an_address_serves_and_ends_in_order(tmp_path: Path, end: signal.Signals) -> None:
    home = tmp_path / "home"
    plant(home / "reprise.db")
    server = serving(home, "--json")
    assert server.stdout is not None
    told = json.loads(server.stdout.readline())
    address = urlsplit(told["annotate"])
    connection = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=30)
    connection.request("GET", f"/?{address.query}")
    assert connection.getresponse().status == 303
    server.send_signal(end)
    _, said = server.communicate(timeout=30)
    assert server.returncode in ({0} if end is signal.SIGINT else {0, -end})
    assert said == ""
    assert (home / "web" / "read-token").stat().st_mode & 0o077 == 0
    assert told["read"] != told["annotate"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ["reprise web serves http://127.0.0.1:"]),
        (
            ["--name", "https://team.example"],
            ["reprise web serves https://team.example/", "to read only:      https://team.example/"],
        ),
        (
            ["--host", "0.0.0.0", "--name", "team.example"],
            [
                "reprise web serves http://team.example/",
                "to read only:      http://team.example/",
                "whoever reads along on the network reads the token",
            ],
        ),
    ],
    ids=["here", "proxy", "network"],
)
def test_it_prints_what_may_be_given_to_others(tmp_path: Path, words: list[str], said: list[str]) -> None:
    plant(tmp_path / "reprise.db")
    server = serving(tmp_path, *words)
    assert server.stdout is not None
    lines = []
    while not lines or not lines[-1].startswith("Ctrl-C"):
        lines.append(server.stdout.readline())
        assert lines[-1]
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=30)
    assert len(lines) == len(said) + 1
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=False))


def test_a_port_that_is_taken_is_told(reprise: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = reprise("web", "--port", str(taken.getsockname()[1]))
    assert found.code == ExitCode.INFRASTRUCTURE
    assert "--port 0" in found.err


def test_missing_packages_are_told(reprise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "starlette" else there(name, *more)
    )
    found = reprise("web")
    assert found.code == ExitCode.USAGE
    assert "checkout[web]" in found.err


@pytest.mark.parametrize("path", ["reprise", "/a/", "//evil.example", "/a//b"])
def test_a_path_that_no_proxy_serves_is_refused(reprise: Callable[..., Any], path: str) -> None:
    assert reprise("web", "--port", "0", "--root-path", path).code == ExitCode.USAGE
