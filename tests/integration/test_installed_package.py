"""The package alone: a wheel in an environment of its own, no checkout; a base, a job and its rerun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, make_box

from orchestrator.image.base.base_pins import list_pins
from orchestrator.image.base.recipe import read_recipe
from orchestrator.settings import Settings, load

pytestmark = pytest.mark.engine

REPO = Path(__file__).parents[2]


def run(*words: str | Path, **more: Any) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that has the wheel. Its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=REPO)
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    # A path file that this environment has for the checkout is not read there: only its own folder's are.
    (site,) = (folder / "venv" / "lib").glob("python3*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = run(python, "-P", "-c", "import orchestrator; print(orchestrator.__file__)", cwd=folder)
    assert found.startswith(str(site)), "the checkout was imported"
    return folder / "venv" / "bin"


def environment(box: Box) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REPRISE_", "PYTHON"))}
    return {**kept, "REPRISE_HOME": str(box.settings.home), "NO_COLOR": "1"}


def job(folder: Path) -> Path:
    folder.mkdir()
    (folder / "main.py").write_text("import torch\ntorch.manual_seed(3)\ntorch.save(torch.rand(3), 'x.pt')\n")
    (folder / "job.yaml").write_text("name: alone\nbase: cpu\ncommand: python main.py\n")
    return folder


def submit_and_rerun(installed: Path, box: Box, folder: Path) -> None:
    more = {"cwd": folder, "env": environment(box)}
    first = json.loads(run(installed / "reprise", "submit", "job.yaml", "--json", **more))
    again = json.loads(run(installed / "reprise", "rerun", first["image"], "--json", **more))
    assert (first["state"], again["verdict"]["outcome"]) == ("succeeded", "identical")


@pytest.mark.acceptance
def test_a_script_is_drafted_run_and_rerun(installed: Path, box: Box, tmp_path: Path) -> None:
    """From `reprise init`: its recipes, its lock and its payload come from the wheel alone."""
    folder = job(tmp_path / "job")
    (folder / "job.yaml").unlink()
    more = {"cwd": folder, "env": environment(box)}
    drafted = json.loads(run(installed / "reprise", "init", "--yes", "--json", **more))
    assert (drafted["written"], drafted["command"]) == (True, "python main.py")
    submit_and_rerun(installed, box, folder)


def test_its_recipes_are_the_checkouts(installed: Path, box: Box, tmp_path: Path) -> None:
    """One key: what was made from a checkout is not made again by the package."""
    code = (
        "from orchestrator.settings import load; from orchestrator.image.base.recipe import read_recipe\n"
        "print(*(read_recipe(load(), name).key() for name in ('cpu', 'cuda')))"
    )
    keys = run(installed / "python", "-P", "-c", code, cwd=tmp_path, env=environment(box)).split()
    checkout = load({"REPRISE_HOME": str(box.settings.home)})
    assert keys == [read_recipe(checkout, name).key() for name in ("cpu", "cuda")]


@pytest.mark.acceptance
def test_it_makes_the_base_too(installed: Path, shared_base: Settings, tmp_path: Path) -> None:
    box = make_box(tmp_path / "home", shared_base)
    before = {pin.name: pin for pin in list_pins(box.settings)}["cpu"]
    box.settings.pins.unlink()
    made = json.loads(
        run(installed / "reprise", "base", "build", "cpu", "--json", cwd=tmp_path, env=environment(box))
    )
    assert made["python"]["torch"] == before.python.torch
    submit_and_rerun(installed, box, job(tmp_path / "job"))
