"""A command line run in this process, and one run for real."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.programs import ran

from orchestrator.cli.main import run
from orchestrator.launch.session import Session


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty REPRISE_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("REPRISE_HOME", str(folder))
    monkeypatch.delenv("REPRISE_DATABASE_URL", raising=False)
    monkeypatch.delenv("REPRISE_STORE", raising=False)
    return folder


@pytest.fixture
def session(home: Path) -> Iterator[Session]:
    with Session.open() as session:
        yield session


class Reprise:
    """`reprise("show", "abcd")`: the command in this process, with what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: str) -> Ran:
        self._capsys.readouterr()
        code = run(args)
        printed = self._capsys.readouterr()
        return Ran(int(code), printed.out, printed.err)

    def json(self, *args: str) -> Any:
        """The document that it prints with `--json`."""
        return json.loads(self(*args, "--json").out)


@pytest.fixture
def reprise(home: Path, capsys: pytest.CaptureFixture[str]) -> Reprise:
    return Reprise(capsys)


@pytest.fixture
def process(home: Path) -> Callable[..., Ran]:
    """The same in a process of its own, as users start it."""

    def call(*args: str, **environ: str) -> Ran:
        command = (sys.executable, "-m", "orchestrator.cli", *args)
        done = ran(*command, code=None, env=os.environ | environ, timeout=180)
        return Ran(done.returncode, done.stdout, done.stderr)

    return call
