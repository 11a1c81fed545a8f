"""The executors of this package that need no cluster, held to the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import make_box
from support.executor_conformance import *  # noqa: F403
from support.executor_conformance import Lab
from support.services import PostgresServer
from support.team import start_worker

from orchestrator.launch.dispatch import dispatch_run
from orchestrator.launch.executors.executor import Launcher
from orchestrator.launch.executors.kinds import KINDS
from orchestrator.settings import Settings


@pytest.fixture(params=["local", pytest.param("processes", marks=pytest.mark.acceptance), "worker"])
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
    worker = start_worker(box, "--name", "alpha", "--lease", "15")  # so often it looks for what is left
    yield Lab(box, "worker")
    worker.end()
