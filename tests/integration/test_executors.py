"""The executors of this package that need no cluster, held to the conformance suite."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.box import Box, make_box
from support.executor_conformance import *  # noqa: F403
from support.executor_conformance import Lab
from support.services import PostgresServer

from orchestrator.launch.dispatch import dispatch_run
from orchestrator.launch.executors.executor import Launcher
from orchestrator.launch.executors.kinds import KINDS
from orchestrator.settings import Settings


@contextmanager
def working(box: Box, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A worker; at the end it is killed with what it executes."""
    process = box.start("worker", "start", *words)
    assert process.stderr is not None
    assert "takes runs" in process.stderr.readline()
    try:
        yield process
    finally:
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@pytest.fixture(params=["local", "processes", "worker"])
def lab(
    request: pytest.FixtureRequest, tmp_path: Path, shared_base: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lab]:
    """`processes` is what adding an executor takes: its file, and its line in kinds.py."""
    if request.param != "worker":
        monkeypatch.setitem(KINDS, "processes", (Launcher, "support.process_executor:ProcessExecutor"))
        monkeypatch.setattr(dispatch_run, "SETTLING", 1.0)
        yield Lab(make_box(tmp_path / "own", shared_base), request.param)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    box = make_box(tmp_path / "team", shared_base, REPRISE_DATABASE_URL=server.new_record())
    with working(box, "--name", "alpha"):
        yield Lab(box, "worker")
