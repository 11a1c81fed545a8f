"""From a module that is missing to a job that has it, with the package index of this machine's pip."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.box import Box, write_job

from orchestrator.image.wheels.read_lock import read_lock
from orchestrator.launch.locking.lock_target import lock_target

pytestmark = pytest.mark.engine

SCRIPT = "import six, numpy\nopen('found.txt', 'w').write(six.__version__)\n"


def test_the_two_commands_that_a_missing_module_names_mend_it(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "job"
    spec = write_job(folder, SCRIPT, "base: cpu")
    run = box.json("submit", str(spec), code=1)
    assert "echo six >> requirements.in; reprise lock; reprise submit" in run["message"]

    monkeypatch.chdir(folder)
    Path("requirements.in").write_text("six==1.16.0\nnumpy>=2\ntorch\n")
    locked = box.json("lock")
    assert [(one["name"], one["version"]) for one in locked["packages"]] == [("six", "1.16.0")]
    assert {"numpy", "torch"} <= set(locked["provided"])
    text = Path("requirements.lock").read_text()
    assert "http" not in text
    python = lock_target(box.settings, "cpu").python
    assert [pin.name for pin in read_lock(Path("requirements.lock"), python).pins] == ["six"]

    with spec.open("a") as added:
        added.write("requirements: requirements.in\n")
    said = box.type("submit", str(spec))
    assert said.code == 2
    message, hint = said.err.splitlines()[-2:]
    assert message == f"reprise: {folder / 'requirements.in'} is not locked"
    assert hint.startswith("  hint: run: reprise lock ")

    spec.write_text(spec.read_text().replace("requirements.in", "requirements.lock"))
    again = box.json("submit", str(spec))
    assert (again["state"], again["packages"]["six"]) == ("succeeded", "1.16.0")


def test_a_job_that_downloads_without_a_network_is_told(box: Box, tmp_path: Path) -> None:
    """Its own handler catches the exception: the end of the log says it."""
    script = (
        "import sys, urllib.request\n"
        "try:\n    urllib.request.urlopen('http://data.example/x', timeout=5)\n"
        "except OSError as error:\n    sys.exit(f'no data: {error}')\n"
    )
    run = box.json("submit", str(write_job(tmp_path / "job", script, "base: cpu")), code=1)
    assert "give it the data as `inputs`, or set resources.network to bridge" in run["message"]
