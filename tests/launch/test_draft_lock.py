"""The packages of a drafted job: locks that are there, and what is said where none can be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.launch.locking.base_clashes import LockError
from orchestrator.launch.project_survey import draft_lock
from orchestrator.launch.project_survey.draft_project import DraftedProject, draft_project
from orchestrator.settings import load

MAKE = "reprise base new NAME --from cpu --requirement 'torch==2.9.1'"
HASHED = "tabulate==0.9.0 --hash=sha256:" + "0" * 64 + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "train.py").write_text("import torch\n")
    return tmp_path / "project"


def drafted(folder: Path) -> DraftedProject:
    """On a box without any base, so that nothing can be locked."""
    return draft_project(load({"REPRISE_HOME": str(folder.parent / "home")}), folder)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.lock", HASHED),
        ("requirements.txt", HASHED),
        ("uv.lock", "version = 1\n"),
        ("pylock.toml", "lock-version = '1.0'\n"),
    ],
)
def test_a_lock_that_is_there_is_named_as_it_is(folder: Path, name: str, text: str) -> None:
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\ndependencies = ['tabulate']\n")
    (folder / name).write_text(text)
    found = drafted(folder)
    assert found.spec.requirements == str(folder / name)
    assert set(found.files) == {"job.yaml"}
    assert not any("reprise lock" in command for command in found.next)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", "tabulate\n"),
        ("pyproject.toml", "[project]\nname = 'x'\ndependencies = ['tabulate']\n"),
        ("environment.yml", "dependencies: [tabulate]\n"),
    ],
)
def test_where_no_lock_can_be_made_the_next_command_makes_it(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    found = drafted(folder)
    assert set(found.files) == {"job.yaml"}
    assert "requirements: requirements.lock  # `reprise lock` is still to write it" in found.files["job.yaml"]
    assert [command.split()[:2] for command in found.next] == [
        ["reprise", "base"],
        ["reprise", "lock"],
        ["reprise", "submit"],
    ]
    assert any("not locked yet" in note and "reprise base build" in note for note in found.notes)


def test_what_imports_need_is_a_guess_and_is_called_one(folder: Path) -> None:
    (folder / "train.py").write_text(
        "import os, yaml, numpy, helper\nfrom sklearn import svm\n"
        "try:\n    import apex\nexcept ImportError:\n"
        "    apex = None\n"
    )
    (folder / "helper.py").write_text("import torch.nn\nimport einops.layers\n")
    found = drafted(folder)
    lines = [line for line in found.files["requirements.in"].splitlines() if not line.startswith("#")]
    assert lines == ["einops", "pyyaml", "scikit-learn"]
    assert any("guessed from imports" in note for note in found.notes)
    assert list(found.files)[-1] == "job.yaml"


def test_a_project_that_needs_nothing_has_no_requirements(folder: Path) -> None:
    found = drafted(folder)
    assert (found.spec.requirements, found.spec.base, set(found.files)) == (None, None, {"job.yaml"})


def test_a_clash_with_the_base_is_mended_by_what_is_said_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`reprise lock` would fail again: another base is made first, or the one that fits is named."""
    (folder / "requirements.txt").write_text("torch==2.9.1\n")

    def refuse(settings: object, place: object, needs: object, base: str) -> object:
        if base == "old":
            raise UsageError("no index")
        raise LockError("torch==2.9.1 is asked for", base=fits, make=None if fits else MAKE)

    monkeypatch.setattr(draft_lock, "_locked", refuse)
    fits: str | None = None
    found = drafted(folder)
    assert found.spec.base == "torch-2-9-1"
    assert [command.split(" --")[0] for command in found.next[:2]] == [
        "reprise base new torch-2-9-1",
        "reprise base build torch-2-9-1",
    ]
    assert [command.split()[:2] for command in found.next[2:]] == [["reprise", "lock"], ["reprise", "submit"]]

    fits = "old"
    found = drafted(folder)
    assert found.spec.base == "old"
    assert "base: old" in found.files["job.yaml"] and "fits the requirements" in found.files["job.yaml"]
    assert found.next[0].split()[:3] == ["reprise", "base", "build"]
