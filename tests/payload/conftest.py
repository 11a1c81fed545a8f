"""A fake image root: the runtime's files, a virtual environment with reprise.pth in it, real processes."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.programs import ran

import orchestrator.payload
from orchestrator.image.determinism_settings import environment

RUNTIME = Path(orchestrator.payload.__path__[0])
IN_IMAGE = "/opt/reprise/runtime"


@dataclass
class Finished:
    """A process that ended, and the reports that it and its children left."""

    code: int
    out: str
    err: str
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Reports of a kind: start, end, error."""
        return [report for name, report in self.reports.items() if name.startswith(f"{kind}-")]

    def one(self, kind: str) -> dict[str, Any]:
        found = self.all(kind)
        assert len(found) == 1, (kind, sorted(self.reports), self.err)
        return found[0]

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """As orchestrator.run.attempt_model.Readback.changed."""
        start, end = self.one("start")["flags"], self.one("end")["flags"]
        names = start.keys() | end.keys()
        return {name: (start.get(name), end.get(name)) for name in names if start.get(name) != end.get(name)}


@dataclass
class FakeImage:
    root: Path
    python: str

    def env(
        self, level: str = "strict", threads: int = 1, seed: int = 7, **extra: str | None
    ) -> dict[str, str]:
        values: dict[str, str | None] = {
            # Not every distribution has a `python`.
            "PATH": f"{Path(self.python).parent}:{os.environ['PATH']}",
            **environment(level, threads, True, seed),
            "REPRISE_SITE": str(self.root / "site"),
            "REPRISE_REPORT": str(self.root / "report"),
            "REPRISE_SOURCE": str(self.root / "source"),
            "REPRISE_MAIN": "1",
            **extra,
        }
        return {name: value for name, value in values.items() if value is not None}

    def run(self, *argv: str, cwd: Path | None = None, timeout: float = 180, **env: Any) -> Finished:
        """Run the image's Python with these arguments."""
        return self.execute([self.python, *argv], cwd=cwd, timeout=timeout, **env)

    def execute(self, argv: list[str], cwd: Path | None = None, timeout: float = 180, **env: Any) -> Finished:
        report = self.root / "report"
        for path in report.glob("*"):
            path.unlink()
        there = cwd or self.root / "empty"
        done = ran(*argv, code=None, env=self.env(**env), cwd=there, timeout=timeout)
        reports = {path.name: json.loads(path.read_text()) for path in sorted(report.glob("*.json"))}
        return Finished(done.returncode, done.stdout, done.stderr, reports)


@pytest.fixture
def image(venv: Path) -> FakeImage:
    """The session's root with its folders empty; the virtual environment and its reprise.pth are shared."""
    root = venv.parent
    for name in ("site", "report", "source", "empty"):
        folder = root / name
        if folder.exists():
            subprocess.run(["rm", "-rf", str(folder)], check=True)
        folder.mkdir()
    return FakeImage(root, str(venv / "bin" / "python"))


@pytest.fixture(scope="session")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("image")
    shutil.copytree(RUNTIME, root / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    venv = root / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    line = (RUNTIME / "reprise.pth").read_text()
    assert line.count("\n") == 1, "site executes a .pth line by line"
    (site / "reprise.pth").write_text(line.replace(IN_IMAGE, str(root / "runtime")))
    (site / "shared.py").write_text('version = "of the base"\n')
    torch = importlib.util.find_spec("torch")
    if torch is not None and torch.origin is not None:
        (site / "zz-packages.pth").write_text(f"{Path(torch.origin).parent.parent}\n")
    return venv
