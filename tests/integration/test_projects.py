"""Projects in the styles in which people publish them: from `reprise init` to a rerun with the same bytes.

None of them knows of Reprise. A notebook, those whose packages come from an index, and the one that needs the
cuda base (gigabytes), are tried by `make acceptance` only.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.box import Box

from orchestrator.image.base.base_pins import list_pins

pytestmark = pytest.mark.engine
PROJECTS = Path(__file__).parent / "projects"

# Project -> what it writes, apart from logs.
HERE = {"src_layout": {"ckpt.pt", "metrics.json"}}
BY_ACCEPTANCE = {
    "no_training": {"result.json", "metrics.json"},
    "notebook": {"curve.pt"},
    "requirements_only": {"report.txt", "model.pt"},
    "uv_lock": {"centers.npy", "metrics.json"},
    "environment_yml": {"result.toml", "model.pth"},
    "hydra_config": {"model.pt"},
    "lightning_module": {"lightning_logs/version_0/checkpoints/epoch=1-step=16.ckpt"},
    "console_script": {"letters.pt", "metrics.json"},
}
ON_CUDA = {"torchvision_images": {"model.pt"}}


def drafted(box: Box, tmp_path: Path, project: str) -> Path:
    """A copy of the project, with what init drafts for it; nothing else of it changes."""
    folder = tmp_path / project
    shutil.copytree(PROJECTS / project, folder)
    if project == "uv_lock":  # a lock names the index that it was made with, so none can be committed
        subprocess.run([sys.executable, "-m", "uv", "lock"], cwd=folder, check=True, capture_output=True)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    words = [str(folder / "explore.py")] if project == "notebook" else [str(folder)]
    document = box.json("init", *words, "--yes")
    assert {path: path.read_bytes() for path in before} == before
    assert set(document["files"]) == {path.name for path in folder.rglob("*") if path.is_file()} - {
        path.name for path in before
    }
    return folder


def runs_twice(box: Box, folder: Path) -> dict[str, Any]:
    """The first run, after a rerun of its digest has given the same bytes."""
    run = box.json("submit", str(folder / "job.yaml"))
    assert run["state"] == "succeeded", box.type("logs", run["id"]).out
    again = box.json("rerun", run["image"])
    assert again["verdict"]["outcome"] == "identical", again["explanation"]
    return dict(run)


@pytest.mark.parametrize(
    ("project", "written"),
    [
        *HERE.items(),
        *(pytest.param(*item, marks=pytest.mark.acceptance) for item in BY_ACCEPTANCE.items()),
    ],
    ids=[*HERE, *BY_ACCEPTANCE],
)
def test_from_init_to_an_identical_rerun(box: Box, tmp_path: Path, project: str, written: set[str]) -> None:
    folder = drafted(box, tmp_path, project)
    run = runs_twice(box, folder)
    assert written <= {output["path"] for output in run["outputs"]}
    traced = project not in ("no_training", "uv_lock")
    assert sum(trace["steps"] for trace in run["traces"]) > 0 if traced else not run["traces"]


@pytest.mark.acceptance
def test_torchvision_runs_on_the_cuda_base_without_a_gpu(box: Box, tmp_path: Path) -> None:
    if not any(pin.name == "cuda" for pin in list_pins(box.settings)):
        pytest.fail("the cuda base is not made here: `reprise base build cuda` makes it (gigabytes)")
    folder = drafted(box, tmp_path, "torchvision_images")
    assert "base:" not in (folder / "job.yaml").read_text(), "cuda is the default"
    run = runs_twice(box, folder)
    assert {output["path"] for output in run["outputs"]} >= ON_CUDA["torchvision_images"]


def test_a_job_drafted_for_a_folder_of_notebooks_says_how_to_export_them(box: Box, tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    shutil.copy(PROJECTS / "notebook" / "explore.ipynb", tmp_path / "only")
    told = box.type("init", str(tmp_path / "only"), "--yes", "--json")
    assert told.code == 2
    assert "jupyter nbconvert --to script explore.ipynb" in json.loads(told.err)["error"]["hint"]
