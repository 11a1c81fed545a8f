"""A command line run in this process, and one run for real."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.programs import ran
from support.records import digest_of as digest
from support.records import run_record

from orchestrator.cli.main import run
from orchestrator.launch.session import Session
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import (
    Fingerprint,
    Log,
    MetricPoint,
    Output,
    OutputStatus,
    Readback,
)
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState


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


@pytest.fixture
def reprise(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`reprise("show", "abcd")`: the command in this process, with what it printed."""

    def call(*args: str) -> Ran:
        capsys.readouterr()
        code = run(args)
        printed = capsys.readouterr()
        return Ran(int(code), printed.out, printed.err)

    return call


@pytest.fixture
def process(home: Path) -> Callable[..., Ran]:
    """The same in a process of its own, as users start it."""

    def call(*args: str, **environ: str) -> Ran:
        command = (sys.executable, "-m", "orchestrator.cli", *args)
        done = ran(*command, code=None, env=os.environ | environ, timeout=180)
        return Ran(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def make_run() -> Callable[..., RunRecord]:
    """A run that succeeded; keyword arguments change its fields."""

    def make(**changes: Any) -> RunRecord:
        program = Program(
            name="digits", command=("python", "train.py"), params={"lr": 0.1, "epochs": 3}, seed=7
        )
        fields: dict[str, Any] = {
            "program": program,
            "seconds": 12.3,
            "metrics": {"accuracy": 0.9812345678, "loss": float("nan")},
            "series": (MetricPoint(name="loss", step=1, value=float("inf")),),
            "outputs": (
                Output(path="model.pt", status=OutputStatus.KEPT, digest=digest("model"), size=2048),
                Output(path="shadow", status=OutputStatus.REJECTED, reason="symlink"),
            ),
            "packages": {"numpy": "2.1", "torch": "2.13.0"},
            "source": {"train.py": "ab" * 32},
            "fingerprint": Fingerprint(
                bit_class={"cpu": "x86_64"}, perf_class={}, identity={}, bit_digest=digest("bits")
            ),
            "git": GitState(commit="c" * 40, branch="main", subject="Better lr", dirty=True),
            "readbacks": (
                Readback(
                    pid=7, argv=("python",), start={"cudnn.benchmark": False}, end={"cudnn.benchmark": True}
                ),
            ),
            "log": Log(digest=digest("log"), size=100, truncated=False),
        }
        return run_record(**(fields | changes))

    return make
