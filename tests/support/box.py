"""A box of one's own to type commands on, and jobs made on the spot."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.digest import Digest
from orchestrator.image.base.base_pins import list_pins
from orchestrator.record.store.folder_store import BlobStore
from orchestrator.settings import Settings, load
from support.fresh_record import plant
from support.warm_command import COMMAND, WarmCommand

SMALL_IMAGE = "reprise-test:os"  # of which the base of the fixture `small` is made


@dataclass(frozen=True)
class Outcome:
    """What a typed command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Box:
    """A home with the shared base in it, and the `reprise` command over it."""

    settings: Settings
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "REPRISE_HOME": str(self.settings.home), "NO_COLOR": "1", **self.variables}

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        return WarmCommand(
            [*COMMAND, *words],
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def type(self, *words: str, timeout: float = 180, **environ: str) -> Outcome:
        process = self.start(*words, **environ)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"reprise {' '.join(words)}: still running after {timeout} s\n{out}\n{err}")
        return Outcome(process.returncode, out, err)

    def queue(self, spec: Path, *words: str, on: str = "worker", **environ: str) -> str:
        """Submit a run that nobody here waits for; its id."""
        done = self.type("submit", str(spec), "--on", on, "--detach", "-q", *words, **environ)
        assert done.code == 0, done.err
        return done.out.strip()

    def json(self, *words: str, code: int = 0) -> Any:
        outcome = self.type(*words, "--json")
        assert outcome.code == code, (
            f"reprise {' '.join(words)}: exit {outcome.code}\n{outcome.out}\n{outcome.err}"
        )
        return outcome.json


def make_box(home: Path, shared: Settings, **variables: str) -> Box:
    """A home with an empty record and the shared base, whose blobs are links, so this costs nothing.

    `variables` go into the environment of what is typed there.
    """
    settings = load({"REPRISE_HOME": str(home)})
    blobs = settings.layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for pin in list_pins(shared):
        for name in _blobs(shared, pin.digest):
            _link(shared.layout / "blobs" / "sha256" / name.hex, blobs / name.hex)
    settings.pins.write_bytes(shared.pins.read_bytes())
    if shared.wheels.exists():
        settings.wheels.symlink_to(shared.wheels)
    if "REPRISE_DATABASE_URL" not in variables:
        plant(settings.home / "reprise.db")
    return Box(settings, variables)


def forget_base(box: Box) -> Box:
    """Of the base, the box keeps the pin and nothing more."""
    for blob in (box.settings.layout / "blobs" / "sha256").iterdir():
        blob.unlink()
    return box


def stored(store: Path, digest: str) -> Path:
    """The file of a blob in a store that is a folder."""
    return BlobStore(store).path(Digest(digest))


def _link(there: Path, here: Path) -> None:
    """A hard link where the folder for temporary files is on the same file system, else a symbolic one."""
    try:
        here.hardlink_to(there)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        here.symlink_to(there)


def _blobs(shared: Settings, manifest: Digest) -> list[Digest]:
    parsed = json.loads((shared.layout / "blobs" / "sha256" / manifest.hex).read_bytes())
    return [manifest, *(Digest(part["digest"]) for part in (parsed["config"], *parsed["layers"]))]


def write_job(folder: Path, script: str, extra: str = "") -> Path:
    """A job of one Python script, over `cpu` if `extra`, more YAML, names no other base. The spec's path."""
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(script + "\n")
    spec = folder / "job.yaml"
    base = "" if extra.startswith("base:") or "\nbase:" in extra else "base: cpu\n"
    spec.write_text(f"name: test\n{base}command: [python, main.py]\n{extra}\n")
    return spec


def small_job(folder: Path, script: str, extra: str = "") -> Path:
    """The same over `os`, the base of the fixture `small`, whose Python is called python3."""
    spec = write_job(folder, script, f"base: os\n{extra}")
    spec.write_text(spec.read_text().replace("[python,", "[python3,"))
    return spec


# A line, and then nothing until `let_go`: what a test waits for is there for as long as it looks.
WAITS = """
import os, time
print('up', flush=True)
while not os.path.exists('go'):
    time.sleep(0.1)
os.remove('go')
"""


def submit_until_up(box: Box, spec: Path) -> tuple[subprocess.Popen[str], str]:
    """A submission whose job has printed `up`, and its run, the only one of the box."""
    process = box.start("submit", str(spec))
    assert process.stdout is not None
    while "up" not in process.stdout.readline():
        assert process.poll() is None, process.communicate()
    (line,) = box.json("history")["runs"]
    return process, str(line["id"])


def let_go(box: Box, run: str, attempt: int = 1) -> None:
    """A job that begins with WAITS goes on, once it has its source: it begins in an empty folder only."""
    workspace = box.settings.attempts / f"{run}-{attempt}" / "workspace"
    end = time.monotonic() + 120
    while not (workspace / "main.py").exists():
        assert time.monotonic() < end, f"attempt {attempt} of run {run} does not begin"
        time.sleep(0.05)
    (workspace / "go").touch()


def containers(run: str, *filters: str) -> list[str]:
    """The names of a run's containers in this machine's engine."""
    command = ["docker", "ps", "--all", "--filter", f"label=reprise.run={run}", *filters]
    found = subprocess.run([*command, "--format", "{{.Names}}"], capture_output=True, text=True, check=True)
    return found.stdout.split()


def git(folder: Path, *words: str, given: str | None = None, **environ: str) -> str:
    """A git command's output, without white space at its ends. `given`: the command's input."""
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    command, variables = ["git", *identity, *words], os.environ | environ
    data = None if given is None else os.fsencode(given)
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, env=variables, input=data)
    return os.fsdecode(done.stdout).strip()


def committed_job(folder: Path, script: str, spec: str) -> Path:
    """The job file of a repository whose one commit has it, and the script as train.py."""
    folder.mkdir()
    (folder / "train.py").write_text(script)
    (folder / "job.yaml").write_text(spec)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "First try")
    return folder / "job.yaml"
